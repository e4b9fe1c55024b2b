import { NativeSelect, Textarea } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CountedForm } from '../../ui/counted-form';
import { Details } from '../../ui/details';
import { notifySuccess } from '../../ui/errors';
import type { EventDeadLetterFilters } from './event-dead-letters';

/** The largest number of dead letters that the server changes in one request. */
const LIMIT = 1000;

/** Replays or skips the dead letters that match the filters of the list, oldest first. */
export function ActOnMany({ filters, onClose }: { filters: EventDeadLetterFilters; onClose: () => void }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const queryClient = useQueryClient();
    const counted = (count: number) => ({ count, number: formatDecimal(count, language) });
    return (
        <CountedForm
            hint={t('events.bulk_hint')}
            initialValues={{ action: 'replay', reason: '' }}
            validate={{ reason: (value) => (value.trim() === '' ? t('field.required') : null) }}
            send={({ action, reason }, dry_run) => {
                const body = { ...filters, reason: reason.trim(), limit: LIMIT, dry_run };
                return unwrap(
                    action === 'skip'
                        ? api.POST('/api/v1/admin/events/dead-letters/skip', { body })
                        : api.POST('/api/v1/admin/events/dead-letters/replay', { body }),
                );
            }}
            matched={({ matched }) => matched}
            texts={({ matched, more }, { action }) => ({
                counted: more ? t('events.more_match', counted(matched)) : t('dead_letters.matched', counted(matched)),
                confirm:
                    action === 'skip'
                        ? t('events.skip_counted', counted(matched))
                        : t('events.replay_count', counted(matched)),
            })}
            onDone={({ changed }, { action }) => {
                notifySuccess(
                    action === 'skip' ? t('events.skipped', counted(changed)) : t('events.replayed', counted(changed)),
                );
                return queryClient.invalidateQueries({ queryKey: ['events'] });
            }}
            onClose={onClose}
            fields={(form) => (
                <>
                    <ChosenFilters filters={filters} />
                    <NativeSelect
                        label={t('events.action')}
                        description={t(
                            form.values.action === 'skip' ? 'events.one_skip_hint' : 'events.one_replay_hint',
                        )}
                        data={[
                            { value: 'replay', label: t('events.replay') },
                            { value: 'skip', label: t('events.skip') },
                        ]}
                        {...form.getInputProps('action')}
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

/** The filters of the list that the action is limited to. */
function ChosenFilters({ filters }: { filters: EventDeadLetterFilters }) {
    const { t } = useTranslation();
    const names = {
        consumer: t('events.consumer'),
        event_type: t('events.event_type'),
        subject: t('events.subject'),
        error_type: t('dead_letters.error_type'),
        from: t('record.from'),
        to: t('record.to'),
    };
    const chosen = Object.entries(names).flatMap<[string, string]>(([key, name]) => {
        const value = filters[key as keyof EventDeadLetterFilters];
        return value === undefined ? [] : [[name, value]];
    });
    return <Details entries={chosen.length === 0 ? [[t('events.filters'), t('filter.all')]] : chosen} />;
}
