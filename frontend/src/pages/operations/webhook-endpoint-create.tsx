import { Alert, Button, Checkbox, Group, NativeSelect, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ALGORITHMS, COUNTRY_CODES } from '../../api/types';
import { countryName } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { fieldErrors, useErrorText } from '../../ui/errors';
import { ShownOnce } from '../../ui/shown-once';

const separated = (text: string) => text.split(/[\s,]+/).filter((each) => each !== '');

/** Creates an endpoint, and shows its secret once. */
export function CreateEndpoint({ onDone }: { onDone: () => void }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const form = useForm({
        initialValues: {
            url: '',
            event_types: 'application.*',
            description: '',
            countries: [] as string[],
            ordered: false,
            algorithm: 'v1',
        },
        validate: {
            url: (value) => (value.trim() === '' ? t('field.required') : null),
            event_types: (value) => (separated(value).length === 0 ? t('field.required') : null),
        },
    });
    const create = useMutation({
        mutationFn: ({ url, event_types, description, countries, ordered, algorithm }: typeof form.values) =>
            unwrap(
                api.POST('/api/v1/webhook-endpoints', {
                    body: {
                        url: url.trim(),
                        event_types: separated(event_types),
                        description: description.trim(),
                        countries: COUNTRY_CODES.filter((code) => countries.includes(code)),
                        ordered,
                        algorithm: ALGORITHMS.find((each) => each === algorithm) ?? 'v1',
                    },
                }),
            ),
        onSuccess: ({ secret }) => {
            // The public key of a key pair is shown with the endpoint.
            if (!secret) onDone();
            return queryClient.invalidateQueries({ queryKey: ['webhook-endpoints'] });
        },
        onError: (error) => {
            for (const [pointer, text] of Object.entries(fieldErrors(error))) {
                form.setFieldError(pointer.split('/')[1] ?? '', text);
            }
        },
    });
    if (create.data?.secret) {
        return (
            <ShownOnce
                title={t('webhook_endpoints.secret_once')}
                hint={t('webhook_endpoints.secret_once_hint')}
                secret={create.data.secret}
                onDone={onDone}
            />
        );
    }
    return (
        <form noValidate onSubmit={form.onSubmit((values) => create.mutate(values))}>
            <Stack>
                {create.isError && (
                    <Alert color="red" role="alert">
                        {errorText(create.error)}
                    </Alert>
                )}
                <TextInput
                    label={t('webhook_endpoints.url')}
                    withAsterisk
                    data-autofocus
                    type="url"
                    autoComplete="off"
                    {...form.getInputProps('url')}
                />
                <TextInput
                    label={t('webhook_endpoints.event_types')}
                    description={t('webhook_endpoints.event_types_hint')}
                    withAsterisk
                    autoComplete="off"
                    {...form.getInputProps('event_types')}
                />
                <TextInput label={t('webhook_endpoints.description')} {...form.getInputProps('description')} />
                <Checkbox.Group
                    label={t('webhook_endpoints.countries')}
                    description={t('webhook_endpoints.countries_hint')}
                    {...form.getInputProps('countries')}
                >
                    <Group gap="md" mt="xs">
                        {COUNTRY_CODES.map((code) => (
                            <Checkbox key={code} value={code} label={countryName(code, language)} />
                        ))}
                    </Group>
                </Checkbox.Group>
                <NativeSelect
                    label={t('webhook_endpoints.algorithm')}
                    data={ALGORITHMS.map((value) => ({ value, label: t(`webhook_endpoints.algorithm_${value}`) }))}
                    {...form.getInputProps('algorithm')}
                />
                <Checkbox
                    label={t('webhook_endpoints.ordered')}
                    {...form.getInputProps('ordered', { type: 'checkbox' })}
                />
                <Group justify="flex-end">
                    <Button variant="default" onClick={onDone}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" loading={create.isPending}>
                        {t('webhook_endpoints.create')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
