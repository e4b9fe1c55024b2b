import { Timeline as Entries, Group, Spoiler, Stack, Text } from '@mantine/core';
import { IconCalculator, IconFilePlus, IconPencil, IconRefresh, IconRestore, IconTrash } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import type { CountryCode, Schema } from '../../api/types';
import { STATUS_COLORS } from '../../theme';
import { LazyJson } from '../../ui/lazy-json';
import { Time } from '../../ui/text';
import { useMemberLabel } from './members';

type Entry = Schema<'AuditEntryView'>;

const ICONS: Record<Entry['action'], typeof IconTrash> = {
    created: IconFilePlus,
    status_changed: IconRefresh,
    evaluated: IconCalculator,
    data_changed: IconPencil,
    deleted: IconTrash,
    restored: IconRestore,
};

/** The history of the application: who changed it, when and why. The newest change is first. */
export function Timeline({ entries, country }: { entries: Entry[]; country: CountryCode }) {
    const { t } = useTranslation();
    const newestFirst = entries.toReversed();
    return (
        <Entries bulletSize={26} lineWidth={2} active={entries.length}>
            {newestFirst.map((entry) => {
                const Icon = ICONS[entry.action];
                return (
                    <Entries.Item
                        key={entry.id}
                        color={STATUS_COLORS[entry.new_status]}
                        bullet={<Icon size={14} aria-hidden />}
                        title={
                            <Text size="sm" fw={600}>
                                {entry.action === 'status_changed'
                                    ? t(`status.${entry.new_status}`)
                                    : t(`audit.${entry.action}`)}
                            </Text>
                        }
                    >
                        <Stack gap={2}>
                            <Text size="xs" c="dimmed">
                                <Time time={entry.created_at} country={country} />
                            </Text>
                            <Author name={entry.changed_by} />
                            <Reason reason={entry.reason} />
                            {entry.internal_note && (
                                <Text size="sm" className="wrap-anywhere">
                                    {t('audit.internal_note', { note: entry.internal_note })}
                                </Text>
                            )}
                            {entry.changes?.map((change) => (
                                <Change key={change.pointer} change={change} />
                            ))}
                        </Stack>
                    </Entries.Item>
                );
            })}
        </Entries>
    );
}

function Author({ name }: { name: string }) {
    const { t } = useTranslation();
    const isSystem = name.startsWith('system:');
    return (
        <Text size="xs" c="dimmed" className="wrap-anywhere">
            {isSystem ? t('audit.automatic') : t('audit.by', { account: name })}
        </Text>
    );
}

/** A reason that a person has written, or the codes of the rules. */
function Reason({ reason }: { reason: string | null }) {
    const { t, i18n } = useTranslation();
    if (reason === null) return null;
    const parts = reason.split(/,\s*/);
    const areCodes = parts.every((part) => i18n.exists(`reason.${part}`));
    const text = areCodes ? parts.map((part) => t(`reason.${part}` as 'reason.THIN_FILE')).join(' · ') : reason;
    return (
        <Spoiler maxHeight={80} showLabel={t('action.show_more')} hideLabel={t('action.show_less')}>
            <Text size="sm" className="wrap-anywhere">
                {text}
            </Text>
        </Spoiler>
    );
}

function Change({ change }: { change: Schema<'ValueChangeView'> }) {
    const label = useMemberLabel();
    const name = change.pointer.split('/').at(-1) ?? change.pointer;
    const isLong = (value: unknown) => typeof value === 'object' && value !== null;
    const show = (value: unknown) => (value === null || value === undefined ? '–' : String(value));
    if (isLong(change.old) || isLong(change.new)) {
        return <LazyJson value={{ old: change.old, new: change.new }} about={label(name, name)} />;
    }
    return (
        <Group gap={6}>
            <Text size="xs" c="dimmed">
                {label(name, name)}
            </Text>
            <Text size="xs" className="wrap-anywhere">
                {show(change.old)} → {show(change.new)}
            </Text>
        </Group>
    );
}
