import { Badge, Button, NativeSelect, Text } from '@mantine/core';
import { IconRefresh } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { FAILED_JOB_STATUSES, type Schema } from '../../api/types';
import { useOperationsRefresh } from '../../live/use-operations-refresh';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { DetailsDrawer } from '../../ui/details-drawer';
import { OpenButton } from '../../ui/open-button';
import { Page } from '../../ui/page';
import { Empty } from '../../ui/states';
import { Time } from '../../ui/text';
import { BulkRetry } from './bulk-retry';
import { DEAD_LETTER_COLORS, DeadLetterDetails } from './dead-letter-details';
import { useLaneName } from './lane-name';

type DeadLetter = Schema<'DeadLetterView'>;
type Status = Schema<'FailedJobStatus'>;

export function DeadLettersPage() {
    const { t } = useTranslation();
    const laneName = useLaneName();
    const [status, setStatus] = useState<Status>();
    const [opened, setOpened] = useState<string>();
    const [isBulk, setBulk] = useState(false);
    const list = useCursorList({
        queryKey: ['dead-letters', 'list', status],
        load: (page) =>
            unwrap(api.GET('/api/v1/admin/failed-jobs', { params: { query: { ...page, ...(status && { status }) } } })),
    });
    useOperationsRefresh('dead_letter.', 'dead-letters');
    const columns = useMemo<Column<DeadLetter>[]>(
        () => [
            {
                id: 'error',
                header: t('jobs.error'),
                cell: ({ row: { original } }) => (
                    <OpenButton name={original.error_type} onOpen={() => setOpened(original.id)}>
                        <Text size="xs" className="wrap-anywhere" lineClamp={2}>
                            {original.error_message}
                        </Text>
                    </OpenButton>
                ),
            },
            { id: 'task', header: t('jobs.task'), cell: ({ row }) => row.original.task },
            { id: 'lane', header: t('jobs.lane'), cell: ({ row }) => laneName(row.original.lane) },
            {
                id: 'status',
                header: t('application.status'),
                cell: ({ row: { original } }) => (
                    <Badge color={DEAD_LETTER_COLORS[original.status]}>{t(`failed_job.${original.status}`)}</Badge>
                ),
            },
            {
                id: 'attempts',
                header: t('jobs.attempts'),
                meta: { align: 'right' },
                cell: ({ row }) => row.original.attempts,
            },
            {
                id: 'created',
                header: t('dead_letters.failed_at'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.created_at} />
                    </Text>
                ),
            },
        ],
        [t, laneName],
    );
    return (
        <Page
            title={t('nav.dead_letters')}
            subtitle={t('dead_letters.hint')}
            actions={
                <>
                    <NativeSelect
                        aria-label={t('application.status')}
                        value={status ?? ''}
                        data={[
                            { value: '', label: t('filter.all') },
                            ...FAILED_JOB_STATUSES.map((each) => ({ value: each, label: t(`failed_job.${each}`) })),
                        ]}
                        onChange={(event) =>
                            setStatus(FAILED_JOB_STATUSES.find((each) => each === event.currentTarget.value))
                        }
                    />
                    <Button leftSection={<IconRefresh size={18} aria-hidden />} onClick={() => setBulk(true)}>
                        {t('dead_letters.retry_many')}
                    </Button>
                </>
            }
        >
            <CursorTable
                list={list}
                rows={({ failed_jobs }) => failed_jobs}
                label={t('nav.dead_letters')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('dead_letters.none')} hint={t('dead_letters.none_hint')} />}
            />
            <DetailsDrawer title={t('dead_letters.details')} opened={opened} onClose={() => setOpened(undefined)}>
                {(id) => <DeadLetterDetails id={id} />}
            </DetailsDrawer>
            <BulkRetry opened={isBulk} onClose={() => setBulk(false)} />
        </Page>
    );
}
