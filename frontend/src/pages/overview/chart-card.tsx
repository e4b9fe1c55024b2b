import { Card, Group, ScrollArea, SegmentedControl, Table, Title } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';

export interface ChartTable {
    head: string[];
    /** The first cell of a row is its heading. */
    rows: string[][];
}

/** A chart, or the table of its figures. The table shows exact values and can be read by screen readers. */
export function ChartCard(props: { title: string; table: ChartTable; actions?: ReactNode; children: ReactNode }) {
    const { t } = useTranslation();
    const [view, setView] = useState('chart');
    return (
        <Card>
            <Group justify="space-between" mb="md" gap="sm">
                <Title order={2} size="h4">
                    {props.title}
                </Title>
                <Group gap="sm">
                    {props.actions}
                    <SegmentedControl
                        size="xs"
                        aria-label={t('overview.view_of', { title: props.title })}
                        value={view}
                        onChange={setView}
                        data={[
                            { value: 'chart', label: t('overview.chart') },
                            { value: 'table', label: t('overview.table') },
                        ]}
                    />
                </Group>
            </Group>
            {view === 'chart' ? props.children : <Figures label={props.title} table={props.table} />}
        </Card>
    );
}

function Figures({ label, table }: { label: string; table: ChartTable }) {
    return (
        <ScrollArea.Autosize mah={320} viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': label }}>
            <Table aria-label={label} stickyHeader style={{ fontVariantNumeric: 'tabular-nums' }}>
                <Table.Thead>
                    <Table.Tr>
                        {table.head.map((name, column) => (
                            <Table.Th key={name} scope="col" ta={column === 0 ? undefined : 'right'}>
                                {name}
                            </Table.Th>
                        ))}
                    </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                    {table.rows.map(([heading, ...cells]) => (
                        <Table.Tr key={heading}>
                            <Table.Th scope="row" fw={400}>
                                {heading}
                            </Table.Th>
                            {cells.map((cell, column) => (
                                <Table.Td key={table.head[column + 1]} ta="right">
                                    {cell}
                                </Table.Td>
                            ))}
                        </Table.Tr>
                    ))}
                </Table.Tbody>
            </Table>
        </ScrollArea.Autosize>
    );
}
