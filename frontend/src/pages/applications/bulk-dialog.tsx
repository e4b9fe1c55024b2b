import { Alert, Button, Group, List, Modal, NativeSelect, Stack, Text, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { keys } from '../../api/queries';
import { reviewKeys } from '../../api/review-queries';
import type { BulkResult, BulkTarget } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { fieldErrors, problemText, useErrorText } from '../../ui/errors';
import { type Change, CHANGES } from './change-dialog';

const CHOICES = Object.keys(CHANGES) as Change[];

/**
 * Changes the status of many applications: first a dry run shows how many would change, then the change is confirmed.
 * Closed if there is no target.
 */
export function BulkDialog(props: { target: BulkTarget | undefined; onClose: (hasChanged: boolean) => void }) {
    const { t } = useTranslation();
    return (
        <Modal
            opened={props.target !== undefined}
            onClose={() => props.onClose(false)}
            title={t('bulk_status.title')}
            closeButtonProps={{ 'aria-label': t('action.close') }}
        >
            {props.target && <BulkForm target={props.target} onClose={props.onClose} />}
        </Modal>
    );
}

interface Values {
    status: Change;
    reason: string;
}

function BulkForm({ target, onClose }: { target: BulkTarget; onClose: (hasChanged: boolean) => void }) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const form = useForm<Values>({
        initialValues: { status: 'REJECTED', reason: '' },
        validate: { reason: (value) => (value.trim() === '' ? t('field.required') : null) },
        // A dry run is valid only for the values that it was made for.
        onValuesChange: () => dryRun.reset(),
    });
    const showErrors = (error: unknown) => {
        const text = fieldErrors(error)['/reason'];
        if (text) form.setFieldError('reason', text);
    };
    const send = (values: Values, more: { dry_run: boolean; expected_count?: number }) =>
        unwrap<BulkResult>(
            api.POST('/api/v1/applications/bulk-status', {
                body: { ...target, status: values.status, reason: values.reason.trim(), ...more },
            }),
        );
    const dryRun = useMutation({
        mutationFn: (values: Values) => send(values, { dry_run: true }),
        onMutate: () => change.reset(),
        onError: showErrors,
    });
    const change = useMutation({
        mutationFn: ({ values, matched }: { values: Values; matched: number }) =>
            send(values, { dry_run: false, expected_count: matched }),
        onError: (error) => {
            showErrors(error);
            // The number of matching applications has changed.
            dryRun.reset();
        },
        onSettled: () =>
            Promise.all([
                queryClient.invalidateQueries({ queryKey: keys.applications }),
                queryClient.invalidateQueries({ queryKey: reviewKeys.all }),
            ]),
    });
    const counted = dryRun.data;
    const done = change.data;
    const submit = form.onSubmit((values) => {
        if (counted && !done) change.mutate({ values, matched: counted.matched });
        else dryRun.mutate(values);
    });
    const error = change.error ?? dryRun.error;
    const isFinished = done !== undefined && done.remaining === 0;
    return (
        <form onSubmit={submit} noValidate>
            <Stack>
                <Text size="sm" c="dimmed">
                    {target.ids
                        ? t('bulk_status.of_selected', { count: target.ids.length })
                        : t('bulk_status.of_all_matching')}
                </Text>
                {error !== null && (
                    <Alert color="red" role="alert">
                        {errorText(error)}
                    </Alert>
                )}
                <NativeSelect
                    label={t('bulk_status.new_status')}
                    data={CHOICES.map((value) => ({ value, label: t(`status.${value}`) }))}
                    disabled={done !== undefined}
                    {...form.getInputProps('status')}
                />
                <Textarea
                    label={t('change.reason')}
                    description={t('change.reason_hint')}
                    withAsterisk
                    autosize
                    minRows={2}
                    maxRows={6}
                    data-autofocus
                    readOnly={done !== undefined}
                    {...form.getInputProps('reason')}
                />
                <div role="status">{done ? <Done result={done} /> : counted && <Counted result={counted} />}</div>
                <Group justify="flex-end">
                    <Button variant="default" onClick={() => onClose(done !== undefined)}>
                        {t(done ? 'action.close' : 'action.cancel')}
                    </Button>
                    {!isFinished && (
                        <Submit
                            counted={done ? undefined : counted}
                            status={form.values.status}
                            isPending={dryRun.isPending || change.isPending}
                        />
                    )}
                </Group>
            </Stack>
        </form>
    );
}

/** The button for the count and, after a count, for the change. */
function Submit(props: { counted: BulkResult | undefined; status: Change; isPending: boolean }) {
    const { t } = useTranslation();
    const { counted, status } = props;
    return (
        <Button
            type="submit"
            variant={counted ? 'filled' : 'light'}
            {...(counted && { color: CHANGES[status].color })}
            loading={props.isPending}
            disabled={counted?.changeable === 0}
        >
            {counted ? t('bulk_status.confirm', { count: counted.changeable }) : t('bulk_status.count')}
        </Button>
    );
}

/** The result of a dry run. */
function Counted({ result }: { result: BulkResult }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const show = (count: number) => formatDecimal(count, language);
    return (
        <Stack gap="xs">
            <Text size="sm" fw={600}>
                {t('bulk_status.would_change', {
                    changeable: show(result.changeable),
                    matched: show(result.matched),
                })}
            </Text>
            <SkippedReasons result={result} />
        </Stack>
    );
}

/** The result of a change. */
function Done({ result }: { result: BulkResult }) {
    const { t } = useTranslation();
    const language = useLanguage();
    return (
        <Stack gap="xs">
            <Text size="sm" fw={600}>
                {t('bulk_status.changed', { count: result.changed, number: formatDecimal(result.changed, language) })}
            </Text>
            <SkippedReasons result={result} />
            {result.remaining > 0 && (
                <Text size="sm">
                    {t('bulk_status.remaining', {
                        count: result.remaining,
                        number: formatDecimal(result.remaining, language),
                    })}
                </Text>
            )}
        </Stack>
    );
}

/** The reasons why applications are skipped. Each has the number of its applications among those that the server lists. */
function SkippedReasons({ result }: { result: BulkResult }) {
    const { t } = useTranslation();
    const byCode = new Map<string, number>();
    for (const { code } of result.skipped) byCode.set(code, (byCode.get(code) ?? 0) + 1);
    if (byCode.size === 0) return null;
    return (
        <div>
            <Text size="sm">{t('bulk_status.skipped')}</Text>
            <List size="sm">
                {[...byCode].map(([code, count]) => (
                    <List.Item key={code}>
                        {count} × {problemText(code) ?? code}
                    </List.Item>
                ))}
            </List>
        </div>
    );
}
