import { Alert, Button, Group, Modal, NativeSelect, Stack, Text, Textarea, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { notifySuccess, useErrorText } from '../../ui/errors';

/** The statuses of dead letters that can be retried. */
const RETRIABLE: Schema<'FailedJobStatus'>[] = ['pending', 'reviewed'];

/** Retries the dead letters that match a filter. They can be retried only after a dry run has counted them. */
export function BulkRetry({ opened, onClose }: { opened: boolean; onClose: () => void }) {
    const { t } = useTranslation();
    return (
        <Modal
            opened={opened}
            onClose={onClose}
            title={t('dead_letters.retry_many')}
            closeButtonProps={{ 'aria-label': t('action.close') }}
        >
            <BulkForm onClose={onClose} />
        </Modal>
    );
}

function BulkForm({ onClose }: { onClose: () => void }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const form = useForm({
        initialValues: { status: 'pending', lane: '', error_type: '', reason: '' },
        validate: { reason: (value) => (value.trim() === '' ? t('field.required') : null) },
        // A count is only valid for the filter that it was made with.
        onValuesChange: () => count.reset(),
    });
    const send = (dry_run: boolean) => {
        const { status, lane, error_type, reason } = form.getValues();
        return unwrap(
            api.POST('/api/v1/admin/failed-jobs/retry', {
                body: {
                    reason: reason.trim(),
                    dry_run,
                    status: RETRIABLE.find((each) => each === status) ?? 'pending',
                    ...(lane.trim() && { lane: lane.trim() }),
                    ...(error_type.trim() && { error_type: error_type.trim() }),
                },
            }),
        );
    };
    const count = useMutation({ mutationFn: () => send(true) });
    const retry = useMutation({
        mutationFn: () => send(false),
        onSuccess: ({ retried }) => {
            notifySuccess(t('dead_letters.retried', { count: retried, number: formatDecimal(retried, language) }));
            onClose();
            return queryClient.invalidateQueries({ queryKey: ['dead-letters'] });
        },
    });
    const error = count.error ?? retry.error;
    const matched = count.data?.matched;
    return (
        <form
            noValidate
            onSubmit={form.onSubmit(() => (matched === undefined || matched === 0 ? count.mutate() : retry.mutate()))}
        >
            <Stack>
                <Text size="sm" c="dimmed">
                    {t('dead_letters.retry_many_hint')}
                </Text>
                {error && (
                    <Alert color="red" role="alert">
                        {errorText(error)}
                    </Alert>
                )}
                <NativeSelect
                    label={t('application.status')}
                    data={RETRIABLE.map((status) => ({ value: status, label: t(`failed_job.${status}`) }))}
                    {...form.getInputProps('status')}
                />
                <TextInput
                    label={t('jobs.lane')}
                    description={t('dead_letters.empty_is_all')}
                    {...form.getInputProps('lane')}
                />
                <TextInput
                    label={t('dead_letters.error_type')}
                    description={t('dead_letters.empty_is_all')}
                    {...form.getInputProps('error_type')}
                />
                <Textarea
                    label={t('change.reason')}
                    withAsterisk
                    autosize
                    minRows={2}
                    {...form.getInputProps('reason')}
                />
                <div role="status">
                    {matched !== undefined && (
                        <Alert color={matched === 0 ? 'gray' : 'blue'}>
                            {t('dead_letters.matched', { count: matched, number: formatDecimal(matched, language) })}
                        </Alert>
                    )}
                </div>
                <Group justify="flex-end">
                    <Button variant="default" onClick={onClose}>
                        {t('action.cancel')}
                    </Button>
                    {matched === undefined || matched === 0 ? (
                        <Button type="submit" loading={count.isPending}>
                            {t('dead_letters.count')}
                        </Button>
                    ) : (
                        <Button type="submit" loading={retry.isPending}>
                            {t('dead_letters.retry_counted', {
                                count: matched,
                                number: formatDecimal(matched, language),
                            })}
                        </Button>
                    )}
                </Group>
            </Stack>
        </form>
    );
}
