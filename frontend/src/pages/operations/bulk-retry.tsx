import { Modal, NativeSelect, Textarea, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CountedForm } from '../../ui/counted-form';
import { notifySuccess } from '../../ui/errors';

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
    const queryClient = useQueryClient();
    const counted = (count: number) => ({ count, number: formatDecimal(count, language) });
    return (
        <CountedForm
            hint={t('dead_letters.retry_many_hint')}
            initialValues={{ status: 'pending', lane: '', error_type: '', reason: '' }}
            validate={{ reason: (value) => (value.trim() === '' ? t('field.required') : null) }}
            send={({ status, lane, error_type, reason }, dry_run) =>
                unwrap(
                    api.POST('/api/v1/admin/failed-jobs/retry', {
                        body: {
                            reason: reason.trim(),
                            dry_run,
                            status: RETRIABLE.find((each) => each === status) ?? 'pending',
                            ...(lane.trim() && { lane: lane.trim() }),
                            ...(error_type.trim() && { error_type: error_type.trim() }),
                        },
                    }),
                )
            }
            matched={({ matched }) => matched}
            texts={({ matched }) => ({
                counted: t('dead_letters.matched', counted(matched)),
                confirm: t('dead_letters.retry_counted', counted(matched)),
            })}
            onDone={({ retried }) => {
                notifySuccess(t('dead_letters.retried', counted(retried)));
                return queryClient.invalidateQueries({ queryKey: ['dead-letters'] });
            }}
            onClose={onClose}
            fields={(form) => (
                <>
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
                </>
            )}
        />
    );
}
