import { Badge, Card, Stack, Table, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { useOperationsFeed } from '../../live/operations-feed';
import type { OperationsUpdate } from '../../live/connection';
import { LazyJson } from '../../ui/lazy-json';
import { Page } from '../../ui/page';
import { Empty } from '../../ui/states';
import { Time } from '../../ui/text';

/** The newest events of accounts and circuit breakers since sign-in. */
export function LivePage() {
    const { t } = useTranslation();
    const events = useOperationsFeed();
    return (
        <Page title={t('nav.live')} subtitle={t('live.hint')}>
            <Card padding={events.length === 0 ? 'lg' : 0}>
                {events.length === 0 ? (
                    <Empty title={t('live.none')} hint={t('live.none_hint')} />
                ) : (
                    <Table.ScrollContainer
                        minWidth={640}
                        type="native"
                        tabIndex={0}
                        role="region"
                        aria-label={t('nav.live')}
                    >
                        <Table aria-label={t('nav.live')}>
                            <Table.Thead>
                                <Table.Tr>
                                    <Table.Th scope="col">{t('live.time')}</Table.Th>
                                    <Table.Th scope="col">{t('live.event')}</Table.Th>
                                    <Table.Th scope="col">{t('live.data')}</Table.Th>
                                </Table.Tr>
                            </Table.Thead>
                            <Table.Tbody>
                                {events.map((event) => (
                                    <Event key={String(event.offset)} event={event} />
                                ))}
                            </Table.Tbody>
                        </Table>
                    </Table.ScrollContainer>
                )}
            </Card>
        </Page>
    );
}

/** Beginnings of the types of events that report a problem. */
const PROBLEMS = ['circuit.opened', 'account.disabled', 'dead_letter.created'];

function Event({ event }: { event: OperationsUpdate }) {
    const { t, i18n } = useTranslation();
    // The version of the event's schema is not displayed.
    const name = event.event_type.replace(/\.v\d+$/, '').replaceAll('.', '_');
    const key = `event.${name}`;
    const isProblem = PROBLEMS.some((problem) => event.event_type.startsWith(problem));
    return (
        <Table.Tr>
            <Table.Td>
                <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                    <Time time={event.time} seconds />
                </Text>
            </Table.Td>
            <Table.Td>
                <Stack gap={2} align="flex-start">
                    <Badge color={isProblem ? 'red' : 'blue'}>
                        {i18n.exists(key) ? t(key as 'event.account_created') : event.event_type}
                    </Badge>
                    <Text size="xs" c="dimmed" ff="monospace">
                        {event.event_type}
                    </Text>
                </Stack>
            </Table.Td>
            <Table.Td>
                <LazyJson value={event.data} about={event.event_type} />
            </Table.Td>
        </Table.Tr>
    );
}
