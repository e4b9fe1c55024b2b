import { Card, Group, type MantineColor, Stack, Text, Timeline, Title } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { CircuitChange, CountryCode } from '../../api/types';
import { CountrySelect } from '../../ui/country-select';
import { useCursorList } from '../../ui/cursor-list';
import { CursorPager } from '../../ui/cursor-pager';
import { Empty, QueryView } from '../../ui/states';
import { Country, Time } from '../../ui/text';

const KIND_COLORS: Record<CircuitChange['kind'], MantineColor> = {
    opened: 'red',
    half_opened: 'orange',
    closed: 'green',
    forced_open: 'red',
    forced_closed: 'blue',
    automatic: 'gray',
};

/** The changes of state of the breakers and the overrides by operators, newest first. */
export function CircuitHistory() {
    const { t } = useTranslation();
    const [country, setCountry] = useState<CountryCode>();
    const { query, pager } = useCursorList({
        queryKey: ['circuits', 'history', country],
        load: ({ page_size: limit, ...page }) =>
            unwrap(api.GET('/api/v1/admin/circuits/history', { params: { query: { ...page, limit, country } } })),
    });
    return (
        <Card component="section" aria-labelledby="circuit-history">
            <Group justify="space-between" mb="lg">
                <Title order={2} size="h4" id="circuit-history">
                    {t('circuit_history.title')}
                </Title>
                <CountrySelect value={country} onChange={setCountry} />
            </Group>
            <QueryView
                query={query}
                isEmpty={({ items }) => items.length === 0}
                empty={<Empty title={t('circuit_history.none')} hint={t('circuit_history.none_hint')} />}
            >
                {({ items }) => (
                    <Timeline bulletSize={16} lineWidth={2} active={items.length}>
                        {items.map((entry) => (
                            <Timeline.Item
                                key={entry.id}
                                color={KIND_COLORS[entry.kind]}
                                title={
                                    <>
                                        <Country code={entry.country} />: {t(`circuit_history.kind_${entry.kind}`)}
                                    </>
                                }
                            >
                                <Change entry={entry} />
                            </Timeline.Item>
                        ))}
                    </Timeline>
                )}
            </QueryView>
            <CursorPager {...pager} />
        </Card>
    );
}

function Change({ entry }: { entry: CircuitChange }) {
    const { t, i18n } = useTranslation();
    const cause = `circuit_history.cause_${entry.cause}`;
    // A newer server may report a cause that has no text here.
    const why = i18n.exists(cause) ? t(cause as 'circuit_history.cause_forced') : entry.cause;
    return (
        <Stack gap={2}>
            <Text size="sm" className="wrap-anywhere">
                {entry.reason ?? why}
            </Text>
            <Text size="xs" c="dimmed" className="wrap-anywhere">
                <Time time={entry.time} seconds />
                {entry.provider && ` · ${entry.provider}`}
                {entry.by && ` · ${t('audit.by', { account: entry.by })}`}
                {entry.instance && ` · ${entry.instance}`}
                {entry.expires_at && (
                    <>
                        {' · '}
                        {t('operate.until')} <Time time={entry.expires_at} />
                    </>
                )}
            </Text>
        </Stack>
    );
}
