import {
    Alert,
    Badge,
    Button,
    Checkbox,
    Group,
    Modal,
    NativeSelect,
    Stack,
    Text,
    TextInput,
    VisuallyHidden,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { modals } from '@mantine/modals';
import { IconKey } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { type Role, ROLES, SCOPES, type Schema } from '../../api/types';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { fieldErrors, notifyError, notifySuccess, useErrorText } from '../../ui/errors';
import { Page } from '../../ui/page';
import { ShownOnce } from '../../ui/shown-once';
import { Empty } from '../../ui/states';
import { Time } from '../../ui/text';

type ApiKey = Schema<'ApiKeyView'>;

export function ApiKeysPage() {
    const { t } = useTranslation();
    const [isCreating, setCreating] = useState(false);
    const list = useCursorList({
        queryKey: ['api-keys'],
        load: (page) => unwrap(api.GET('/api/v1/api-keys', { params: { query: page } })),
    });
    const columns = useColumns();
    return (
        <Page
            title={t('nav.api_keys')}
            subtitle={t('api_keys.hint')}
            actions={
                <Button leftSection={<IconKey size={18} aria-hidden />} onClick={() => setCreating(true)}>
                    {t('api_keys.create')}
                </Button>
            }
        >
            <CursorTable
                list={list}
                rows={({ api_keys }) => api_keys}
                label={t('nav.api_keys')}
                columns={columns}
                rowId={({ id }) => id}
                empty={<Empty title={t('api_keys.none')} hint={t('api_keys.none_hint')} />}
            />
            <Modal
                opened={isCreating}
                onClose={() => setCreating(false)}
                title={t('api_keys.create')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
                // The key is shown only once, so a click outside the dialog must not close it.
                closeOnClickOutside={false}
            >
                <CreateKey onDone={() => setCreating(false)} />
            </Modal>
        </Page>
    );
}

function useColumns(): Column<ApiKey>[] {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const { mutate: revoke } = useMutation({
        mutationFn: (id: string) => unwrap(api.DELETE('/api/v1/api-keys/{id}', { params: { path: { id } } })),
        onSuccess: () => {
            notifySuccess(t('api_keys.revoked_done'));
            return queryClient.invalidateQueries({ queryKey: ['api-keys'] });
        },
        onError: notifyError,
    });
    return useMemo(
        () => [
            {
                id: 'name',
                header: t('api_keys.name'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" fw={600} className="wrap-anywhere">
                            {original.name}
                        </Text>
                        <Text size="xs" c="dimmed" ff="monospace">
                            {original.prefix}…
                        </Text>
                    </>
                ),
            },
            {
                id: 'role',
                header: t('users.role'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm">{t(`role.${original.role}`)}</Text>
                        <Text size="xs" c="dimmed">
                            {original.scopes
                                .map((scope) => t(`scope.${scope.replace(':', '_')}` as 'scope.metrics_read'))
                                .join(', ')}
                        </Text>
                    </>
                ),
            },
            {
                id: 'used',
                header: t('api_keys.last_used'),
                cell: ({ row: { original } }) =>
                    original.last_used_at ? (
                        <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                            <Time time={original.last_used_at} />
                        </Text>
                    ) : (
                        t('api_keys.never')
                    ),
            },
            {
                id: 'expires',
                header: t('api_keys.expires'),
                cell: ({ row: { original } }) =>
                    original.expires_at ? (
                        <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                            <Time time={original.expires_at} />
                        </Text>
                    ) : (
                        t('api_keys.never')
                    ),
            },
            {
                id: 'actions',
                header: () => <VisuallyHidden>{t('action.column')}</VisuallyHidden>,
                meta: { align: 'right' },
                cell: ({ row: { original } }) =>
                    original.revoked_at ? (
                        <Badge color="gray">{t('api_keys.revoked')}</Badge>
                    ) : (
                        <Button
                            size="xs"
                            variant="default"
                            aria-label={t('api_keys.revoke_of', { name: original.name })}
                            onClick={() =>
                                modals.openConfirmModal({
                                    title: t('api_keys.revoke_of', { name: original.name }),
                                    children: <Text size="sm">{t('api_keys.revoke_hint')}</Text>,
                                    labels: { confirm: t('api_keys.revoke'), cancel: t('action.cancel') },
                                    confirmProps: { color: 'red' },
                                    closeButtonProps: { 'aria-label': t('action.close') },
                                    onConfirm: () => revoke(original.id),
                                })
                            }
                        >
                            {t('api_keys.revoke')}
                        </Button>
                    ),
            },
        ],
        [t, revoke],
    );
}

/** The lifetimes of new keys, in days; 0 is unlimited. */
const LIFETIMES = [30, 90, 365, 0] as const;
const DAY_MS = 86_400_000;

function CreateKey({ onDone }: { onDone: () => void }) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const form = useForm({
        initialValues: { name: '', role: 'user' as Role, scopes: ['applications:read'] as string[], days: '90' },
        validate: {
            name: (value) => (value.trim() === '' ? t('field.required') : null),
            scopes: (value) => (value.length === 0 ? t('field.required') : null),
        },
    });
    const create = useMutation({
        mutationFn: ({ name, role, scopes, days }: typeof form.values) =>
            unwrap(
                api.POST('/api/v1/api-keys', {
                    body: {
                        name: name.trim(),
                        role,
                        scopes: SCOPES.filter((scope) => scopes.includes(scope)),
                        ...(days !== '0' && {
                            expires_at: new Date(Date.now() + Number(days) * DAY_MS).toISOString(),
                        }),
                    },
                }),
            ),
        onSuccess: () => queryClient.invalidateQueries({ queryKey: ['api-keys'] }),
        onError: (error) => {
            for (const [pointer, text] of Object.entries(fieldErrors(error))) {
                form.setFieldError(pointer.split('/')[1] ?? '', text);
            }
        },
    });
    if (create.data?.key) {
        return (
            <ShownOnce
                title={t('api_keys.shown_once')}
                hint={t('api_keys.shown_once_hint')}
                secret={create.data.key}
                onDone={onDone}
            />
        );
    }
    return (
        <form noValidate onSubmit={form.onSubmit((values) => create.mutate(values))}>
            <Stack>
                {create.isError && (
                    <Alert color="red" role="alert">
                        {errorText(create.error)}
                    </Alert>
                )}
                <TextInput
                    label={t('api_keys.name')}
                    withAsterisk
                    data-autofocus
                    autoComplete="off"
                    {...form.getInputProps('name')}
                />
                <NativeSelect
                    label={t('users.role')}
                    data={ROLES.map((role) => ({ value: role, label: t(`role.${role}`) }))}
                    {...form.getInputProps('role')}
                />
                <Checkbox.Group label={t('api_keys.scopes')} withAsterisk {...form.getInputProps('scopes')}>
                    <Stack gap="xs" mt="xs">
                        {SCOPES.map((scope) => (
                            <Checkbox
                                key={scope}
                                value={scope}
                                label={t(`scope.${scope.replace(':', '_')}` as 'scope.metrics_read')}
                            />
                        ))}
                    </Stack>
                </Checkbox.Group>
                <NativeSelect
                    label={t('api_keys.lifetime')}
                    data={LIFETIMES.map((days) => ({ value: String(days), label: t(`api_keys.days_${days}`) }))}
                    {...form.getInputProps('days')}
                />
                <Group justify="flex-end">
                    <Button variant="default" onClick={onDone}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" loading={create.isPending}>
                        {t('api_keys.create')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
