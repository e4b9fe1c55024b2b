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
    /** The row that shortcuts apply to. */
    current?: string | undefined;
    /** Called when the focus moves to a row. */
    onCurrent?: (id: string) => void;
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
                        <Table.Tr
                            key={row.id}
                            className={props.changed?.has(row.id) ? 'changed' : undefined}
                            bg={row.id === props.current ? 'var(--mantine-primary-color-light)' : undefined}
                            aria-current={row.id === props.current ? true : undefined}
                            onFocus={() => props.onCurrent?.(row.id)}
                        >
                            <Cells row={row.original} columns={props.columns}>
                                {() =>
                                    row.getAllCells().map((cell) => (
                                        <Table.Td key={cell.id} ta={align(cell.column)}>
                                            <table.FlexRender cell={cell} />
                                        </Table.Td>
                                    ))
                                }
                            </Cells>
                        </Table.Tr>
                    ))}
                </Table.Tbody>
            </Table>
        </ScrollArea>
    );
}

/** The cells of a row. They are rendered again only if the row or the columns have changed: an update changes few rows. */
const Cells = memo(
    ({ children }: { row: unknown; columns: unknown; children: () => ReactNode }) => children(),
    (before, after) => before.row === after.row && before.columns === after.columns,
);
Cells.displayName = 'Cells';
