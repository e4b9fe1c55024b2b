import { ScrollArea, Table } from '@mantine/core';
import { type ColumnDef, type RowData, tableFeatures, useTable } from '@tanstack/react-table';
import { memo, type ReactNode } from 'react';

const features = tableFeatures({});

/** A column of a {@link DataTable}. */
export type Column<Row extends RowData> = ColumnDef<typeof features, Row> & {
    meta?: { align?: 'right' };
};

/**
 * A table of one page of rows, in the order of the server. On narrow screens the table scrolls inside its frame.
 * Columns must be stable between renders.
 */
export function DataTable<Row extends RowData>(props: {
    label: string;
    columns: Column<Row>[];
    rows: Row[];
    rowId: (row: Row) => string;
    /** Rows that have just changed. */
    changed?: ReadonlySet<string>;
}) {
    const table = useTable({ features, columns: props.columns, data: props.rows, getRowId: props.rowId });
    const align = (column: { columnDef: { meta?: unknown } }) => (column.columnDef.meta as Column<Row>['meta'])?.align;
    return (
        <ScrollArea
            type="auto"
            scrollbars="x"
            viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': props.label }}
        >
            <Table aria-label={props.label} miw={720}>
                <Table.Thead>
                    {table.getHeaderGroups().map((group) => (
                        <Table.Tr key={group.id}>
                            {group.headers.map((header) => (
                                <Table.Th
                                    key={header.id}
                                    ta={align(header.column)}
                                    scope="col"
                                    style={{ whiteSpace: 'nowrap' }}
                                >
                                    <table.FlexRender header={header} />
                                </Table.Th>
                            ))}
                        </Table.Tr>
                    ))}
                </Table.Thead>
                <Table.Tbody>
                    {table.getRowModel().rows.map((row) => (
                        <MemoizedRow
                            key={row.id}
                            content={row.original}
                            columns={props.columns}
                            isChanged={props.changed?.has(row.id) ?? false}
                        >
                            {() =>
                                row.getAllCells().map((cell) => (
                                    <Table.Td key={cell.id} ta={align(cell.column)}>
                                        <table.FlexRender cell={cell} />
                                    </Table.Td>
                                ))
                            }
                        </MemoizedRow>
                    ))}
                </Table.Tbody>
            </Table>
        </ScrollArea>
    );
}

interface RowProps {
    content: unknown;
    columns: unknown;
    isChanged: boolean;
    children: () => ReactNode;
}

/** A row that is rendered again only if its content or the columns have changed. An update of a list changes few rows. */
const MemoizedRow = memo(
    ({ isChanged, children }: RowProps) => (
        <Table.Tr className={isChanged ? 'changed' : undefined}>{children()}</Table.Tr>
    ),
    (before, after) =>
        before.content === after.content && before.columns === after.columns && before.isChanged === after.isChanged,
);
MemoizedRow.displayName = 'MemoizedRow';
