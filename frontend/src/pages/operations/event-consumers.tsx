import { Anchor, Badge, Card, Stack, Text, Title } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { Schema } from '../../api/types';
import { formatDecimal, formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { type Column, DataTable } from '../../ui/data-table';
import { DetailsDrawer } from '../../ui/details-drawer';
import { OpenButton } from '../../ui/open-button';
import { Empty, QueryView } from '../../ui/states';
import { ConsumerDetails } from './event-consumer-details';

type Consumer = Schema<'ConsumerView'>;

/** The consumers of events: how far they are behind, and what they could not handle. */
export function EventConsumers(props: {
    query: UseQueryResult<Schema<'ConsumerList'>>;
    /** Shows the dead letters of a consumer. It must be stable between renders. */
    onDeadLetters: (consumer: string) => void;
}) {
    const { t } = useTranslation();
    const [opened, setOpened] = useState<string>();
    const columns = useColumns(setOpened, props.onDeadLetters);
    const consumer = props.query.data?.consumers.find(({ name }) => name === opened);
    return (
        <Stack component="section" gap="sm" aria-labelledby="consumers">
            <Title order={2} size="h4" id="consumers">
                {t('events.consumers')}
            </Title>
            <Card padding={0}>
                <QueryView
                    query={props.query}
                    lines={2}
                    isEmpty={({ consumers }) => consumers.length === 0}
                    empty={<Empty title={t('events.no_consumers')} hint={t('events.no_consumers_hint')} />}
                >
                    {({ consumers }) => (
                        <DataTable
                            label={t('events.consumers')}
                            columns={columns}
                            rows={consumers}
                            rowId={({ name }) => name}
                        />
                    )}
                </QueryView>
            </Card>
            <DetailsDrawer
                title={t('events.consumer')}
                opened={consumer}
                onClose={() => setOpened(undefined)}
                size="xl"
            >
                {(shown) => <ConsumerDetails consumer={shown} />}
            </DetailsDrawer>
        </Stack>
    );
}

function useColumns(open: (name: string) => void, showDeadLetters: (consumer: string) => void): Column<Consumer>[] {
    const { t } = useTranslation();
    const language = useLanguage();
    return useMemo(() => {
        const figure = (id: string, header: string, value: (consumer: Consumer) => string): Column<Consumer> => ({
            id,
            header,
            meta: { align: 'right' },
            cell: ({ row }) => value(row.original),
        });
        return [
            {
                id: 'name',
                header: t('events.consumer'),
                cell: ({ row: { original } }) => (
                    <>
                        <OpenButton name={original.name} onOpen={() => open(original.name)} />
                        {!original.registered && <Badge color="gray">{t('events.unregistered')}</Badge>}
                    </>
                ),
            },
            figure('pending', t('events.pending'), ({ pending }) => formatDecimal(pending, language)),
            figure('lag', t('events.lag'), ({ lag_seconds }) => formatDuration(lag_seconds * 1000, language)),
            figure('deferred', t('events.deferred'), ({ deferred }) => formatDecimal(deferred, language)),
            {
                id: 'dead_letters',
                header: t('events.dead_letters'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <DeadLetterCount consumer={original} onShow={() => showDeadLetters(original.name)} />
                ),
            },
            figure('owned', t('events.owned_partitions'), ({ partitions }) => {
                const owned = partitions.filter(({ owner }) => owner !== null).length;
                return t('actors.usage', { used: owned, capacity: partitions.length });
            }),
        ];
    }, [t, language, open, showDeadLetters]);
}

/** The number of dead letters, which leads to their list if there are any. */
function DeadLetterCount({ consumer, onShow }: { consumer: Consumer; onShow: () => void }) {
    const { t } = useTranslation();
    const number = formatDecimal(consumer.dead_letters, useLanguage());
    if (consumer.dead_letters === 0) return <Text size="sm">{number}</Text>;
    return (
        <Anchor
            component="button"
            size="sm"
            fw={600}
            aria-label={t('events.show_dead_letters', { number, consumer: consumer.name })}
            onClick={onShow}
        >
            {number}
        </Anchor>
    );
}
