import { Button, Group, Modal, Stack, Textarea, TextInput, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal, formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CountedForm } from '../../ui/counted-form';
import { type Column, DataTable } from '../../ui/data-table';
import { Details } from '../../ui/details';
import { notifySuccess } from '../../ui/errors';
import { Optional } from '../../ui/text';

type Consumer = Schema<'ConsumerView'>;
type Partition = Schema<'ConsumerPartitionView'>;

/** Offsets are whole numbers from 1 on. */
const OFFSET = /^[1-9]\d{0,15}$/;

/** A consumer with the owners of its partitions, and its replay from an offset. */
export function ConsumerDetails({ consumer }: { consumer: Consumer }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const [isReplaying, setReplaying] = useState(false);
    const columns = usePartitionColumns();
    const duration = (seconds: number) => formatDuration(seconds * 1000, language);
    return (
        <Stack>
            <Details
                entries={[
                    [t('events.consumer'), consumer.name],
                    [t('events.registered'), t(consumer.registered ? 'value.yes' : 'value.no')],
                    [t('events.position'), formatDecimal(consumer.position, language)],
                    [t('events.pending'), formatDecimal(consumer.pending, language)],
                    [t('events.lag'), duration(consumer.lag_seconds)],
                    [t('events.deferred'), formatDecimal(consumer.deferred, language)],
                    [t('events.oldest_deferred'), duration(consumer.oldest_deferred_seconds)],
                    [t('events.dead_letters'), formatDecimal(consumer.dead_letters, language)],
                ]}
            />
            <Group>
                <Button size="xs" variant="default" onClick={() => setReplaying(true)}>
                    {t('events.replay_consumer')}
                </Button>
            </Group>
            <Title order={3} size="h4">
                {t('events.partitions')}
            </Title>
            <DataTable
                label={t('events.partitions')}
                columns={columns}
                rows={consumer.partitions}
                rowId={({ partition }) => String(partition)}
            />
            <Modal
                opened={isReplaying}
                onClose={() => setReplaying(false)}
                title={t('events.replay_title', { consumer: consumer.name })}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <ReplayConsumer consumer={consumer.name} onClose={() => setReplaying(false)} />
            </Modal>
        </Stack>
    );
}

function usePartitionColumns(): Column<Partition>[] {
    const { t } = useTranslation();
    const language = useLanguage();
    return useMemo(
        () => [
            { id: 'partition', header: t('events.partition'), cell: ({ row }) => row.original.partition },
            {
                id: 'position',
                header: t('events.position'),
                meta: { align: 'right' },
                cell: ({ row }) => formatDecimal(row.original.position, language),
            },
            {
                id: 'owner',
                header: t('events.owner'),
                cell: ({ row }) => <Optional value={row.original.owner} />,
            },
        ],
        [t, language],
    );
}

/** Makes a consumer handle all events from an offset on again, which repeats their effects. */
function ReplayConsumer({ consumer, onClose }: { consumer: string; onClose: () => void }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const queryClient = useQueryClient();
    const counted = (count: number) => ({ count, number: formatDecimal(count, language) });
    return (
        <CountedForm
            hint={t('events.replay_hint')}
            color="red"
            initialValues={{ from_offset: '', reason: '' }}
            validate={{
                from_offset: (value) => (OFFSET.test(value.trim()) ? null : t('field.invalid')),
                reason: (value) => (value.trim() === '' ? t('field.required') : null),
            }}
            send={({ from_offset, reason }, dry_run) =>
                unwrap(
                    api.POST('/api/v1/admin/events/consumers/{consumer}/replay', {
                        params: { path: { consumer } },
                        body: { from_offset: Number(from_offset), reason: reason.trim(), dry_run },
                    }),
                )
            }
            matched={({ events }) => events}
            texts={({ events }) => ({
                counted: t('events.replay_counted', counted(events)),
                confirm: t('events.replay_confirm'),
            })}
            onDone={({ handled }) => {
                notifySuccess(t('events.replay_done', counted(handled ?? 0)));
                return queryClient.invalidateQueries({ queryKey: ['events'] });
            }}
            onClose={onClose}
            fields={(form) => (
                <>
                    <TextInput
                        label={t('events.from_offset')}
                        inputMode="numeric"
                        withAsterisk
                        autoComplete="off"
                        data-autofocus
                        {...form.getInputProps('from_offset')}
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
