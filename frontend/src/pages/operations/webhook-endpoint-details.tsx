import { Button, Code, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { modals } from '@mantine/modals';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { CountedForm } from '../../ui/counted-form';
import { Details } from '../../ui/details';
import { notifyError, notifySuccess } from '../../ui/errors';
import { ShownOnce } from '../../ui/shown-once';
import { QueryView } from '../../ui/states';
import { Optional, Time } from '../../ui/text';
import { Deliveries } from './webhook-deliveries';

type Endpoint = Schema<'WebhookEndpointDetails'>;

/** An endpoint with its deliveries, and what an admin can do with it. */
export function EndpointDetails({ id, onDeleted }: { id: string; onDeleted: () => void }) {
    const query = useQuery({
        queryKey: ['webhook-endpoints', id],
        queryFn: () => unwrap(api.GET('/api/v1/webhook-endpoints/{id}', { params: { path: { id } } })),
    });
    return (
        <QueryView query={query}>
            {(endpoint) => (
                <Stack>
                    <Facts endpoint={endpoint} />
                    <Actions endpoint={endpoint} onDeleted={onDeleted} />
                    <Deliveries endpoint={id} />
                </Stack>
            )}
        </QueryView>
    );
}

function Facts({ endpoint }: { endpoint: Endpoint }) {
    const { t } = useTranslation();
    const entries: [string, ReactNode][] = [
        [t('webhook_endpoints.url'), endpoint.url],
        [t('webhook_endpoints.description'), <Optional key="description" value={endpoint.description} />],
        [t('webhook_endpoints.event_types'), endpoint.event_types.join(', ')],
        [t('webhook_endpoints.countries'), endpoint.countries.join(', ') || t('webhook_endpoints.countries_all')],
        [t('webhook_endpoints.ordered'), t(endpoint.ordered ? 'value.yes' : 'value.no')],
    ];
    const [current] = endpoint.secrets;
    if (current) {
        entries.push([t('webhook_endpoints.algorithm'), t(`webhook_endpoints.algorithm_${current.algorithm}`)]);
    }
    if (current?.public_key) {
        entries.push([
            t('webhook_endpoints.public_key'),
            <Code key="key" className="wrap-anywhere" translate="no">
                {current.public_key}
            </Code>,
        ]);
    }
    if (endpoint.failing_since) {
        entries.push([
            t('webhook_endpoints.failing_since'),
            <Time key="failing" time={endpoint.failing_since} seconds />,
        ]);
    }
    entries.push(
        [t('webhook_endpoints.created_by'), endpoint.created_by],
        [t('webhook_endpoints.created_at'), <Time key="created" time={endpoint.created_at} seconds />],
    );
    return <Details entries={entries} />;
}

function Actions({ endpoint, onDeleted }: { endpoint: Endpoint; onDeleted: () => void }) {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const [secret, setSecret] = useState<string>();
    const [isRecovering, setRecovering] = useState(false);
    const params = { path: { id: endpoint.id } };
    const done = (text: string) => {
        notifySuccess(text);
        return queryClient.invalidateQueries({ queryKey: ['webhook-endpoints'] });
    };
    const test = useMutation({
        mutationFn: () => unwrap(api.POST('/api/v1/webhook-endpoints/{id}/test', { params })),
        onSuccess: () => done(t('webhook_endpoints.tested')),
        onError: notifyError,
    });
    const enable = useMutation({
        mutationFn: (enabled: boolean) =>
            unwrap(api.PATCH('/api/v1/webhook-endpoints/{id}', { params, body: { enabled } })),
        onSuccess: () => done(t('webhook_endpoints.changed')),
        onError: notifyError,
    });
    const rotate = useMutation({
        mutationFn: () => unwrap(api.POST('/api/v1/webhook-endpoints/{id}/rotate-secret', { params, body: {} })),
        onSuccess: (rotated) => {
            setSecret(rotated.secret);
            return done(t('webhook_endpoints.rotated'));
        },
        onError: notifyError,
    });
    const remove = useMutation({
        mutationFn: () => unwrap(api.DELETE('/api/v1/webhook-endpoints/{id}', { params })),
        onSuccess: () => {
            onDeleted();
            return done(t('webhook_endpoints.deleted'));
        },
        onError: notifyError,
    });
    const confirm = (title: string, hint: string, onConfirm: () => void, color?: string) =>
        modals.openConfirmModal({
            title,
            children: <Text size="sm">{hint}</Text>,
            labels: { confirm: title, cancel: t('action.cancel') },
            ...(color && { confirmProps: { color } }),
            closeButtonProps: { 'aria-label': t('action.close') },
            onConfirm,
        });
    return (
        <Group gap="xs">
            <Button size="xs" disabled={!endpoint.enabled} loading={test.isPending} onClick={() => test.mutate()}>
                {t('webhook_endpoints.test')}
            </Button>
            <Button
                size="xs"
                variant="default"
                loading={enable.isPending}
                onClick={() => enable.mutate(!endpoint.enabled)}
            >
                {t(endpoint.enabled ? 'webhook_endpoints.disable' : 'webhook_endpoints.enable')}
            </Button>
            <Button
                size="xs"
                variant="default"
                onClick={() =>
                    confirm(t('webhook_endpoints.rotate'), t('webhook_endpoints.rotate_hint'), () => rotate.mutate())
                }
            >
                {t('webhook_endpoints.rotate')}
            </Button>
            <Button size="xs" variant="default" disabled={!endpoint.enabled} onClick={() => setRecovering(true)}>
                {t('webhook_endpoints.recover')}
            </Button>
            <Button
                size="xs"
                variant="default"
                onClick={() =>
                    confirm(
                        t('webhook_endpoints.delete'),
                        t('webhook_endpoints.delete_hint'),
                        () => remove.mutate(),
                        'red',
                    )
                }
            >
                {t('webhook_endpoints.delete')}
            </Button>
            <Modal
                opened={secret !== undefined}
                onClose={() => setSecret(undefined)}
                title={t('webhook_endpoints.rotate')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
                closeOnClickOutside={false}
            >
                {secret && (
                    <ShownOnce
                        title={t('webhook_endpoints.secret_once')}
                        hint={t('webhook_endpoints.secret_once_hint')}
                        secret={secret}
                        onDone={() => setSecret(undefined)}
                    />
                )}
            </Modal>
            <Modal
                opened={isRecovering}
                onClose={() => setRecovering(false)}
                title={t('webhook_endpoints.recover')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <Recover endpoint={endpoint.id} onDone={() => setRecovering(false)} />
            </Modal>
        </Group>
    );
}

/** Sends again what was not delivered since a day. */
function Recover({ endpoint, onDone }: { endpoint: string; onDone: () => void }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const queryClient = useQueryClient();
    const counted = (count: number) => ({ count, number: formatDecimal(count, language) });
    return (
        <CountedForm
            hint={t('webhook_endpoints.recover_hint')}
            initialValues={{ since: new Date().toISOString().slice(0, 10) }}
            send={({ since }, dry_run) =>
                unwrap(
                    api.POST('/api/v1/webhook-endpoints/{id}/recover', {
                        params: { path: { id: endpoint } },
                        body: { since, dry_run },
                    }),
                )
            }
            matched={({ deliveries }) => deliveries}
            texts={({ deliveries }) => ({
                counted: t('webhook_endpoints.matched', counted(deliveries)),
                confirm: t('webhook_endpoints.recover_counted'),
            })}
            onDone={({ deliveries }) => {
                notifySuccess(t('webhook_endpoints.recovered', counted(deliveries)));
                return queryClient.invalidateQueries({ queryKey: ['webhook-endpoints'] });
            }}
            onClose={onDone}
            fields={(form) => (
                <TextInput type="date" label={t('webhook_endpoints.since')} {...form.getInputProps('since')} />
            )}
        />
    );
}
