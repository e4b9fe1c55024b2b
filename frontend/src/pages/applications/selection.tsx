import { Button, Checkbox, Group, Paper, Text } from '@mantine/core';
import { useCallback, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { BulkTarget, ListedApplication } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import type { Column } from '../../ui/data-table';
import { BulkDialog } from './bulk-dialog';

/** The selected applications: a set of identifiers, or all that match the filters. */
export type Selection = ReadonlySet<string> | 'all';

const NONE: Selection = new Set<string>();

export interface SelectionState {
    selection: Selection;
    select: (selection: Selection) => void;
}

/** The selection in a list. It is cleared when the filters change. */
export function useSelection(filterText: string): SelectionState {
    const [state, setState] = useState({ filterText, selection: NONE });
    const select = useCallback((selection: Selection) => setState({ filterText, selection }), [filterText]);
    return { selection: state.filterText === filterText ? state.selection : NONE, select };
}

/** The column with a checkbox for each row and one for the page. */
export function useSelectionColumn(rows: ListedApplication[], state: SelectionState): Column<ListedApplication> {
    const { t } = useTranslation();
    const { selection, select } = state;
    return useMemo(() => {
        const has = (id: string) => selection === 'all' || selection.has(id);
        const chosen = rows.filter(({ id }) => has(id)).length;
        // If one row is deselected, "all that match" becomes a selection of the other rows of the page.
        const ids = () => new Set(selection === 'all' ? rows.map(({ id }) => id) : selection);
        const toggle = (id: string) => {
            const next = ids();
            if (!next.delete(id)) next.add(id);
            select(next);
        };
        const togglePage = () => {
            const next = ids();
            for (const { id } of rows) {
                if (chosen === rows.length) next.delete(id);
                else next.add(id);
            }
            select(next);
        };
        return {
            id: 'selection',
            header: () => (
                <Checkbox
                    aria-label={t('bulk_status.select_page')}
                    checked={rows.length > 0 && chosen === rows.length}
                    indeterminate={chosen > 0 && chosen < rows.length}
                    onChange={togglePage}
                />
            ),
            cell: ({ row: { original } }) => (
                <Checkbox
                    aria-label={t('bulk_status.select_one', { name: original.full_name })}
                    checked={has(original.id)}
                    onChange={() => toggle(original.id)}
                />
            ),
        };
    }, [t, rows, selection, select]);
}

/** The actions for the selection. Nothing is shown if nothing is selected. */
export function SelectionBar(props: {
    state: SelectionState;
    /** The filters of the list; undefined if they contain a document, because such a list cannot be selected as a whole. */
    filter: BulkTarget['filter'] | undefined;
    total: { total: number; isExact: boolean } | undefined;
}) {
    const { t } = useTranslation();
    const language = useLanguage();
    const { filter, total } = props;
    const { selection, select } = props.state;
    const [target, setTarget] = useState<BulkTarget>();
    const isAll = selection === 'all';
    const count = isAll ? (total?.total ?? 0) : selection.size;
    const isNone = !isAll && selection.size === 0;
    const number = (value: number) => formatDecimal(value, language);
    const matching = total && { count: total.total, number: number(total.total) };
    return (
        <>
            <div role="status">
                {!isNone && (
                    <Paper withBorder p="sm">
                        <Group justify="space-between">
                            <Text size="sm" fw={600}>
                                {isAll && total && !total.isExact
                                    ? t('bulk_status.more_than_selected', { number: number(count) })
                                    : t('bulk_status.selected', { count, number: number(count) })}
                            </Text>
                            <Group gap="xs">
                                {!isAll && filter && matching && matching.count > selection.size && (
                                    <Button size="xs" variant="subtle" onClick={() => select('all')}>
                                        {t('bulk_status.select_all', matching)}
                                    </Button>
                                )}
                                <Button size="xs" variant="subtle" onClick={() => select(NONE)}>
                                    {t('bulk_status.clear')}
                                </Button>
                                <Button
                                    size="xs"
                                    onClick={() =>
                                        setTarget(isAll ? { filter: filter ?? {} } : { ids: [...selection] })
                                    }
                                >
                                    {t('bulk_status.change')}
                                </Button>
                            </Group>
                        </Group>
                    </Paper>
                )}
            </div>
            <BulkDialog
                target={target}
                onClose={(hasChanged) => {
                    setTarget(undefined);
                    if (hasChanged) select(NONE);
                }}
            />
        </>
    );
}
