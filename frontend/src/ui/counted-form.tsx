import { Alert, Button, Group, type MantineColor, Stack, Text } from '@mantine/core';
import { type FormRulesRecord, useForm, type UseFormReturnType } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { fieldErrors, useErrorText } from './errors';

/**
 * A form for an action on everything that matches its values. The action is possible only after a dry run has counted what
 * matches, and only for the values that were counted.
 */
export function CountedForm<Values extends Record<string, string>, Result>(props: {
    hint: string;
    initialValues: Values;
    validate?: FormRulesRecord<Values, Values>;
    fields: (form: UseFormReturnType<Values>) => ReactNode;
    send: (values: Values, dry_run: boolean) => Promise<Result>;
    /** How many matches a dry run has counted. */
    matched: (result: Result) => number;
    /** What the dry run has counted, and the name of the button for the action. */
    texts: (result: Result, values: Values) => { counted: ReactNode; confirm: string };
    color?: MantineColor;
    onDone: (result: Result, values: Values) => unknown;
    onClose: () => void;
}) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const form = useForm<Values>({
        initialValues: props.initialValues,
        ...(props.validate && { validate: props.validate }),
        onValuesChange: () => count.reset(),
    });
    const showErrors = (error: unknown) => {
        for (const [pointer, text] of Object.entries(fieldErrors(error))) form.setFieldError(pointer.slice(1), text);
    };
    const count = useMutation({
        mutationFn: (values: Values) => props.send(values, true),
        onMutate: () => act.reset(),
        onError: showErrors,
    });
    const act = useMutation({
        mutationFn: (values: Values) => props.send(values, false),
        onSuccess: (result, values) => {
            props.onClose();
            return props.onDone(result, values);
        },
        onError: showErrors,
    });
    const error = count.error ?? act.error;
    const counted = count.data;
    const hasMatches = counted !== undefined && props.matched(counted) > 0;
    const texts = counted && props.texts(counted, form.values);
    return (
        <form noValidate onSubmit={form.onSubmit((values) => (hasMatches ? act : count).mutate(values))}>
            <Stack>
                <Text size="sm" c="dimmed">
                    {props.hint}
                </Text>
                {error !== null && (
                    <Alert color="red" role="alert">
                        {errorText(error)}
                    </Alert>
                )}
                {props.fields(form)}
                <div role="status">
                    {texts && <Alert color={hasMatches ? (props.color ?? 'blue') : 'gray'}>{texts.counted}</Alert>}
                </div>
                <Group justify="flex-end">
                    <Button variant="default" onClick={props.onClose}>
                        {t('action.cancel')}
                    </Button>
                    <Button
                        type="submit"
                        {...(hasMatches && props.color && { color: props.color })}
                        loading={count.isPending || act.isPending}
                    >
                        {hasMatches ? texts?.confirm : t('dead_letters.count')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
