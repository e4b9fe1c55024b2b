import { Badge, Card, Group, Progress, SimpleGrid, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { type Column, DataTable } from '../../ui/data-table';
import { Page } from '../../ui/page';
import { QueryView } from '../../ui/states';
import { Time } from '../../ui/text';

type Actor = Schema<'ActorView'>;

/** The actors of one instance: use of the pool, depths of mailboxes, restarts. */
export function ActorsPage() {
    const { t } = useTranslation();
    const query = useQuery({
        queryKey: ['actors'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/actors')),
        refetchInterval: 2000,
    });
    const columns = useColumns();
    return (
        <Page title={t('actors.title')} subtitle={t('actors.hint')}>
            <QueryView query={query}>
                {(data) => (
                    <Stack gap="lg">
                        <SimpleGrid cols={{ base: 1, sm: 2 }}>
                            <Card padding="md">
                                <Text size="sm" c="dimmed" mb="xs">
                                    {t('actors.pool')}
                                </Text>
                                <Usage
                                    label={t('actors.pool')}
                                    used={data.applications.running}
                                    capacity={data.applications.size}
                                />
                            </Card>
                            <Card padding="md">
                                <Text size="sm" c="dimmed" mb="xs">
                                    {t('actors.roles')}
                                </Text>
                                <Group gap="xs">
                                    {data.roles.map((role) => (
                                        <Badge key={role} color="gray">
                                            {role}
                                        </Badge>
                                    ))}
                                </Group>
                            </Card>
                        </SimpleGrid>
                        <Card padding={0}>
                            <DataTable
                                label={t('actors.title')}
                                columns={columns}
                                rows={data.actors}
                                rowId={({ actor }) => actor}
                            />
                        </Card>
                        <Text size="xs" c="dimmed" className="wrap-anywhere">
                            {t('operate.instance', { instance: data.instance })}
                            {' · '}
                            {t('record.as_of')} <Time time={new Date(query.dataUpdatedAt).toISOString()} seconds />
                        </Text>
                    </Stack>
                )}
            </QueryView>
        </Page>
    );
}

function useColumns(): Column<Actor>[] {
    const { t } = useTranslation();
    const language = useLanguage();
    return useMemo(
        () => [
            {
                id: 'actor',
                header: t('actors.actor'),
                cell: ({ row }) => (
                    <Text size="sm" fw={600}>
                        {row.original.actor}
                    </Text>
                ),
            },
            {
                id: 'alive',
                header: t('actors.state'),
                cell: ({ row: { original } }) => (
                    <Badge color={original.alive ? 'green' : 'red'}>
                        {t(original.alive ? 'actors.alive' : 'actors.stopped')}
                    </Badge>
                ),
            },
            {
                id: 'waiting',
                header: t('actors.waiting'),
                cell: ({ row: { original } }) => (
                    <Usage
                        label={t('actors.waiting_of', { actor: original.actor })}
                        used={original.waiting}
                        capacity={original.capacity}
                    />
                ),
            },
            {
                id: 'restarts',
                header: t('actors.restarts'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Text size="sm" {...(original.restarts > 0 && { fw: 600, c: 'orange.9' })}>
                        {formatDecimal(original.restarts, language)}
                    </Text>
                ),
            },
        ],
        [t, language],
    );
}

/** A mailbox is highlighted as nearly full from this share of its capacity. A full mailbox refuses messages. */
const NEARLY_FULL = 0.8;

function Usage({ label, used, capacity }: { label: string; used: number; capacity: number }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const share = capacity === 0 ? 0 : Math.min(used / capacity, 1);
    const [part, whole] = [used, capacity].map((each) => formatDecimal(each, language));
    return (
        <Stack gap={4} miw={140}>
            <Text size="sm">{t('actors.usage', { used: part, capacity: whole })}</Text>
            <Progress value={share * 100} color={share >= NEARLY_FULL ? 'red' : 'cyan'} aria-label={label} />
        </Stack>
    );
}
