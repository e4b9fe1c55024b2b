import { Badge, Button, Modal, Stack, Text } from '@mantine/core';
import { IconSend } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { DetailsDrawer } from '../../ui/details-drawer';
import { OpenButton } from '../../ui/open-button';
import { Page } from '../../ui/page';
import { Empty } from '../../ui/states';
import { Time } from '../../ui/text';
import { CreateEndpoint } from './webhook-endpoint-create';
import { EndpointDetails } from './webhook-endpoint-details';

type Endpoint = Schema<'WebhookEndpointView'>;

/** The URLs of other systems that events are sent to. */
export function WebhookEndpointsPage() {
    const { t } = useTranslation();
    const [isCreating, setCreating] = useState(false);
    const [opened, setOpened] = useState<string>();
    const list = useCursorList({
        queryKey: ['webhook-endpoints'],
        load: (page) => unwrap(api.GET('/api/v1/webhook-endpoints', { params: { query: page } })),
        refetchInterval: 15_000,
    });
    const columns = useColumns(setOpened);
    return (
        <Page
            title={t('webhook_endpoints.title')}
            subtitle={t('webhook_endpoints.hint')}
            actions={
                <Button leftSection={<IconSend size={18} aria-hidden />} onClick={() => setCreating(true)}>
                    {t('webhook_endpoints.create')}
                </Button>
            }
        >
            <CursorTable
                list={list}
                rows={({ endpoints }) => endpoints}
                label={t('webhook_endpoints.title')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('webhook_endpoints.none')} hint={t('webhook_endpoints.none_hint')} />}
            />
            <Modal
                opened={isCreating}
                onClose={() => setCreating(false)}
                title={t('webhook_endpoints.create')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
                // A secret is shown once; a click outside the dialog must not discard it.
                closeOnClickOutside={false}
            >
                <CreateEndpoint onDone={() => setCreating(false)} />
            </Modal>
            <DetailsDrawer
                title={t('webhook_endpoints.details')}
                opened={opened}
                onClose={() => setOpened(undefined)}
                size="xl"
            >
                {(id) => <EndpointDetails id={id} onDeleted={() => setOpened(undefined)} />}
            </DetailsDrawer>
        </Page>
    );
}

function useColumns(open: (id: string) => void): Column<Endpoint>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'url',
                header: t('webhook_endpoints.url'),
                cell: ({ row: { original } }) => (
                    <OpenButton name={original.url} onOpen={() => open(original.id)}>
                        <Text size="xs" c="dimmed">
                            {original.description}
                        </Text>
                    </OpenButton>
                ),
            },
            {
                id: 'event_types',
                header: t('webhook_endpoints.event_types'),
                cell: ({ row: { original } }) => (
                    <Stack gap={2}>
                        {original.event_types.map((each) => (
                            <Text key={each} size="xs" ff="monospace">
                                {each}
                            </Text>
                        ))}
                    </Stack>
                ),
            },
            {
                id: 'state',
                header: t('webhook_endpoints.state'),
                cell: ({ row }) => <EndpointState endpoint={row.original} />,
            },
            {
                id: 'created',
                header: t('webhook_endpoints.created_at'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.created_at} />
                    </Text>
                ),
            },
        ],
        [t, open],
    );
}

/** Whether the endpoint gets events, and why not. */
function EndpointState({ endpoint }: { endpoint: Endpoint }) {
    const { t } = useTranslation();
    if (endpoint.disabled_reason) {
        return <Badge color="gray">{t(`webhook_endpoints.disabled_${endpoint.disabled_reason}`)}</Badge>;
    }
    return endpoint.failing_since ? (
        <Badge color="orange">{t('webhook_endpoints.failing')}</Badge>
    ) : (
        <Badge color="green">{t('webhook_endpoints.enabled')}</Badge>
    );
}
