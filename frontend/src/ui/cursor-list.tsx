import { Card } from '@mantine/core';
import { hashKey, keepPreviousData, useQuery, type UseQueryResult } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { CursorPager, type CursorTrail } from './cursor-pager';
import { type Column, DataTable } from './data-table';
import { QueryView } from './states';

const PAGE_SIZE = 20;

/** The parameters of a request for one page. */
export interface PageRequest {
    page_size: number;
    cursor?: string;
}

/** The current page of a list with cursors, and its position. */
export interface CursorList<Page> {
    query: UseQueryResult<Page>;
    pager: {
        trail: CursorTrail;
        next: string | null | undefined;
        onChange: (trail: CursorTrail) => void;
    };
}

/**
 * Reads a list with cursors page by page. `queryKey` contains the filters, because a cursor is valid only for the filters
 * that it was issued for: other filters start at the first page.
 */
export function useCursorList<Page extends { next_cursor: string | null }>(list: {
    queryKey: readonly unknown[];
    load: (page: PageRequest) => Promise<Page>;
    pageSize?: number;
    /** Time between reloads, in milliseconds. */
    refetchInterval?: number;
}): CursorList<Page> {
    const { queryKey, load, pageSize = PAGE_SIZE } = list;
    const filters = hashKey(queryKey);
    const [position, setPosition] = useState<{ filters: string; trail: CursorTrail }>({ filters, trail: [] });
    const trail = position.filters === filters ? position.trail : [];
    const cursor = trail.at(-1);
    const query = useQuery({
        queryKey: [...queryKey, { cursor }],
        queryFn: () => load({ page_size: pageSize, ...(cursor && { cursor }) }),
        placeholderData: keepPreviousData,
        ...(list.refetchInterval && { refetchInterval: list.refetchInterval }),
    });
    return {
        query,
        pager: {
            trail,
            next: query.isPlaceholderData ? undefined : query.data?.next_cursor,
            onChange: (trail) => setPosition({ filters, trail }),
        },
    };
}

/** The table of the current page, its states while it has no rows, and the buttons to the other pages. */
export function CursorTable<Page, Row extends object>(props: {
    list: CursorList<Page>;
    rows: (page: Page) => Row[];
    label: string;
    columns: Column<Row>[];
    rowId: (row: Row) => string;
    empty?: ReactNode;
}) {
    const { query, pager } = props.list;
    return (
        <>
            <Card padding={0} aria-busy={query.isPlaceholderData}>
                <QueryView query={query} isEmpty={(page) => props.rows(page).length === 0} empty={props.empty}>
                    {(page) => (
                        <DataTable
                            label={props.label}
                            columns={props.columns}
                            rows={props.rows(page)}
                            rowId={props.rowId}
                        />
                    )}
                </QueryView>
            </Card>
            <CursorPager {...pager} />
        </>
    );
}
