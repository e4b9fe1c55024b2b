import { Badge, Button, Group, Modal, Stack, Text, Title } from '@mantine/core';
import { IconListCheck } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { DetailsDrawer } from '../../ui/details-drawer';
import { FilterBar, FilterChoice, FilterDate, FilterText, isUuid } from '../../ui/filter-bar';
import { OpenButton } from '../../ui/open-button';
import { Empty } from '../../ui/states';
import { Optional, Time } from '../../ui/text';
import { ActOnMany } from './event-dead-letter-bulk';
import { EventDeadLetterDetails } from './event-dead-letter-details';

type DeadLetter = Schema<'EventDeadLetterView'>;

/** The filters of the list; absent unless chosen. */
export interface EventDeadLetterFilters {
    consumer?: string | undefined;
    event_type?: string | undefined;
    subject?: string | undefined;
    error_type?: string | undefined;
    from?: string | undefined;
    to?: string | undefined;
}

/** The events that consumers could not handle, with actions on one of them or on all that match the filters. */
export function EventDeadLetters(props: {
    filters: EventDeadLetterFilters;
    /** The names of the consumers. */
    consumers: string[];
    onFilters: (filters: EventDeadLetterFilters) => void;
}) {
    const { t } = useTranslation();
    const { filters } = props;
    const [opened, setOpened] = useState<string>();
    const [isBulk, setBulk] = useState(false);
    const list = useCursorList({
        queryKey: ['events', 'dead-letters', 'list', filters],
        load: (page) =>
            unwrap(api.GET('/api/v1/admin/events/dead-letters', { params: { query: { ...page, ...filters } } })),
        refetchInterval: 15_000,
    });
    const columns = useColumns(setOpened);
    return (
        <Stack component="section" aria-labelledby="event-dead-letters">
            <Group justify="space-between">
                <Title order={2} size="h4" id="event-dead-letters">
                    {t('events.dead_letters')}
                </Title>
                <Button leftSection={<IconListCheck size={18} aria-hidden />} onClick={() => setBulk(true)}>
                    {t('events.bulk')}
                </Button>
            </Group>
            <Filters {...props} />
            <CursorTable
                list={list}
                rows={({ dead_letters }) => dead_letters}
                label={t('events.dead_letters')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('events.no_dead_letters')} hint={t('events.no_dead_letters_hint')} />}
            />
            <DetailsDrawer title={t('events.dead_letter')} opened={opened} onClose={() => setOpened(undefined)}>
                {(id) => <EventDeadLetterDetails id={id} onDone={() => setOpened(undefined)} />}
            </DetailsDrawer>
            <Modal
                opened={isBulk}
                onClose={() => setBulk(false)}
                title={t('events.bulk')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <ActOnMany filters={filters} onClose={() => setBulk(false)} />
            </Modal>
        </Stack>
    );
}

function Filters({ filters, consumers, onFilters }: Parameters<typeof EventDeadLetters>[0]) {
    const { t } = useTranslation();
    const set = (change: EventDeadLetterFilters) => onFilters({ ...filters, ...change });
    // The consumer in the address may have no partitions any more.
    const names = [...new Set([...consumers, ...(filters.consumer ? [filters.consumer] : [])])];
    return (
        <FilterBar>
            <FilterChoice
                label={t('events.consumer')}
                value={filters.consumer}
                choices={names.map((name) => [name, name])}
                onChange={(consumer) => set({ consumer })}
            />
            <FilterText
                label={t('events.event_type')}
                value={filters.event_type}
                onChange={(event_type) => set({ event_type })}
            />
            <FilterText
                label={t('events.subject')}
                value={filters.subject}
                isValid={isUuid}
                onChange={(subject) => set({ subject })}
            />
            <FilterText
                label={t('dead_letters.error_type')}
                value={filters.error_type}
                onChange={(error_type) => set({ error_type })}
            />
            <FilterDate label={t('record.from')} value={filters.from} onChange={(from) => set({ from })} />
            <FilterDate label={t('record.to')} value={filters.to} onChange={(to) => set({ to })} />
        </FilterBar>
    );
}

function useColumns(open: (id: string) => void): Column<DeadLetter>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'event',
                header: t('events.event_type'),
                cell: ({ row: { original } }) => (
                    <OpenButton name={original.event_type} onOpen={() => open(original.id)}>
                        <Text size="xs" c="dimmed" ff="monospace" className="wrap-anywhere">
                            {original.subject}
                        </Text>
                    </OpenButton>
                ),
            },
            { id: 'consumer', header: t('events.consumer'), cell: ({ row }) => row.original.consumer },
            {
                id: 'error',
                header: t('jobs.error'),
                cell: ({ row: { original } }) => (
                    <>
                        <Optional value={original.error_type} />
                        <Text size="xs" c="dimmed" className="wrap-anywhere" lineClamp={2}>
                            {original.error_message}
                        </Text>
                        {original.blocks_subject && <Badge color="orange">{t('events.blocks')}</Badge>}
                    </>
                ),
            },
            {
                id: 'attempts',
                header: t('jobs.attempts'),
                meta: { align: 'right' },
                cell: ({ row }) => row.original.attempts,
            },
            {
                id: 'dead_since',
                header: t('dead_letters.failed_at'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={original.dead_since ?? original.time} />
                    </Text>
                ),
            },
        ],
        [t, open],
    );
}
