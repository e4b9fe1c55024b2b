import { Button, Card, Group, Kbd, Tabs } from '@mantine/core';
import { IconPlayerTrackNext } from '@tabler/icons-react';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback, useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { ASSIGNMENTS, loadReviews, type ReviewFilters, reviewKeys } from '../../api/review-queries';
import type { Review } from '../../api/types';
import { useLiveReviews } from '../../live/use-live';
import { useSession } from '../../session/session';
import { CountryFilter } from '../../ui/country-select';
import { CursorPager } from '../../ui/cursor-pager';
import { useCursorList } from '../../ui/cursor-list';
import { DataTable } from '../../ui/data-table';
import { Page } from '../../ui/page';
import { Shortcuts } from '../../ui/shortcuts';
import { Empty, QueryView } from '../../ui/states';
import { type Change, ChangeDialog } from '../applications/change-dialog';
import { keepReadingOrder } from '../applications/reading-order';
import { SavedViews } from '../applications/saved-views';
import { holderOf, rowLinkId, useReviewColumns } from './columns';
import { useAssignment } from './use-assignment';

const ROUTE = '/console/reviews';
const NEXT = 'Alt+N';
const REFETCH_MS = 30_000;
const NO_ROWS: Review[] = [];

/** The applications under review, with their assignments. All actions have keyboard shortcuts. */
export function ReviewsPage() {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const { country, assignment } = useSearch({ from: ROUTE });
    const filters: ReviewFilters = { country, assignment: assignment ?? 'unassigned' };
    const set = (change: Partial<ReviewFilters>) => void navigate({ to: ROUTE, search: { ...filters, ...change } });
    useLiveReviews();
    const { query, pager } = useCursorList({
        queryKey: reviewKeys.queue(filters),
        load: (page) => loadReviews(filters, page),
        refetchInterval: REFETCH_MS,
    });
    const rows = query.data?.items ?? NO_ROWS;
    useEffect(() => {
        const ids = rows.map(({ application }) => application.id);
        keepReadingOrder({ ids, list: 'reviews', search: { country, assignment } });
    }, [rows, country, assignment]);

    const { assign, release, next, isBusy } = useAssignment();
    const { mutate: assignTo } = assign;
    const { mutate: releaseOf } = release;
    const columns = useReviewColumns({
        hasAssignments: filters.assignment !== 'unassigned',
        assign: useCallback((id: string) => assignTo(id), [assignTo]),
        release: useCallback((id: string) => releaseOf(id), [releaseOf]),
    });
    const takeNext = () => {
        if (!isBusy) next.mutate(country);
    };
    const row = useCurrentRow(rows);
    const [change, setChange] = useState<{ change: Change; review: Review }>();

    return (
        <Page
            title={t('reviews.title')}
            subtitle={t('reviews.hint')}
            actions={
                <>
                    <SavedViews
                        page="reviews"
                        filters={{ country, assignment }}
                        hasDocument={false}
                        onApply={(saved) => void navigate({ to: ROUTE, search: saved })}
                    />
                    <QueueShortcuts
                        row={row}
                        onAssign={(id) => assign.mutate(id)}
                        onRelease={(id) => release.mutate(id)}
                        onNext={takeNext}
                        onChange={(review, change) => setChange({ review, change })}
                    />
                    <Button
                        leftSection={<IconPlayerTrackNext size={18} aria-hidden />}
                        rightSection={
                            <Kbd size="xs" visibleFrom="md" aria-hidden>
                                {NEXT}
                            </Kbd>
                        }
                        aria-keyshortcuts={NEXT}
                        loading={next.isPending}
                        onClick={takeNext}
                    >
                        {t('reviews.next')}
                    </Button>
                </>
            }
        >
            <Tabs
                value={filters.assignment}
                onChange={(value) => set({ assignment: ASSIGNMENTS.find((each) => each === value) ?? 'unassigned' })}
            >
                <Group justify="space-between" align="flex-end" mb="md">
                    <Tabs.List>
                        {ASSIGNMENTS.map((each) => (
                            <Tabs.Tab key={each} value={each}>
                                {t(`reviews.tab_${each}`)}
                            </Tabs.Tab>
                        ))}
                    </Tabs.List>
                    <CountryFilter value={country} onChange={(value) => set({ country: value })} />
                </Group>
                <Tabs.Panel value={filters.assignment}>
                    <Card padding={0} aria-busy={query.isPlaceholderData} mb="md">
                        <QueryView
                            query={query}
                            lines={8}
                            isEmpty={({ items }) => items.length === 0}
                            empty={
                                <Empty
                                    title={t(`reviews.empty_${filters.assignment}`)}
                                    hint={t('reviews.empty_hint')}
                                />
                            }
                        >
                            {({ items }) => (
                                <DataTable
                                    label={t('reviews.title')}
                                    columns={columns}
                                    rows={items}
                                    rowId={({ application }) => application.id}
                                    current={row.current?.application.id}
                                    onCurrent={row.select}
                                />
                            )}
                        </QueryView>
                    </Card>
                    <CursorPager {...pager} />
                </Tabs.Panel>
            </Tabs>
            <ChangeDialog
                change={change?.change}
                application={change?.review.application}
                isStaff
                onClose={() => setChange(undefined)}
            />
        </Page>
    );
}

interface CurrentRow {
    current: Review | undefined;
    select: (id: string) => void;
    /** Moves the focus to the row after or before the current one. */
    move: (step: 1 | -1) => void;
}

/** The row that shortcuts apply to: the row that had the focus last or, if it has left the list, the row in its position. */
function useCurrentRow(rows: Review[]): CurrentRow {
    const [position, setPosition] = useState<{ id: string; index: number }>();
    const found = position ? rows.findIndex(({ application }) => application.id === position.id) : -1;
    const index = found >= 0 ? found : Math.min(position?.index ?? 0, rows.length - 1);
    const current = position ? rows[index] : undefined;
    const select = (id: string) =>
        setPosition({ id, index: rows.findIndex(({ application }) => application.id === id) });
    const move = (step: 1 | -1) => {
        const target = rows[current ? index + step : 0];
        if (target) document.getElementById(rowLinkId(target.application.id))?.focus();
    };
    return { current, select, move };
}

function QueueShortcuts(props: {
    row: CurrentRow;
    onAssign: (id: string) => void;
    onRelease: (id: string) => void;
    onNext: () => void;
    onChange: (review: Review, change: Change) => void;
}) {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const session = useSession();
    const { current, move } = props.row;
    const id = current?.application.id;
    const holder = current && holderOf(current, session?.account);
    return (
        <Shortcuts
            shortcuts={[
                { keys: NEXT, name: t('reviews.next'), run: props.onNext },
                { keys: 'Alt+J', name: t('reviews.move_down'), run: () => move(1) },
                { keys: 'Alt+K', name: t('reviews.move_up'), run: () => move(-1) },
                {
                    keys: 'Alt+O',
                    name: t('reviews.open'),
                    run: id && (() => void navigate({ to: '/console/applications/$id', params: { id } })),
                },
                { keys: 'Alt+M', name: t('reviews.assign'), run: id && (() => props.onAssign(id)) },
                { keys: 'Alt+L', name: t('reviews.release'), run: id && (() => props.onRelease(id)) },
                {
                    keys: 'Alt+A',
                    name: t('change.APPROVED'),
                    run: current && holder !== 'other' ? () => props.onChange(current, 'APPROVED') : undefined,
                },
                {
                    keys: 'Alt+R',
                    name: t('change.REJECTED'),
                    run: current && holder !== 'other' ? () => props.onChange(current, 'REJECTED') : undefined,
                },
            ]}
        />
    );
}
