import {
    Alert,
    Badge,
    Button,
    Group,
    Menu,
    Modal,
    NativeSelect,
    PasswordInput,
    Stack,
    Text,
    TextInput,
    VisuallyHidden,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { modals } from '@mantine/modals';
import { IconChevronDown, IconUserPlus } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { type Role, ROLES, type Schema } from '../../api/types';
import { useSession } from '../../session/session';
import { CursorTable, useCursorList } from '../../ui/cursor-list';
import type { Column } from '../../ui/data-table';
import { fieldErrors, notifyError, notifySuccess, useErrorText } from '../../ui/errors';
import { Page } from '../../ui/page';
import { Time } from '../../ui/text';
import { UserSessions } from './user-sessions';

type User = Schema<'UserView'>;

const ROLE_COLORS: Record<Role, string> = { user: 'gray', analyst: 'blue', admin: 'orange' };

export function UsersPage() {
    const { t } = useTranslation();
    const [isCreating, setCreating] = useState(false);
    const [opened, setOpened] = useState<User>();
    const list = useCursorList({
        queryKey: ['users', 'list'],
        load: (page) => unwrap(api.GET('/api/v1/users', { params: { query: page } })),
    });
    const columns = useColumns(setOpened);
    return (
        <Page
            title={t('nav.users')}
            subtitle={t('users.hint')}
            actions={
                <Button leftSection={<IconUserPlus size={18} aria-hidden />} onClick={() => setCreating(true)}>
                    {t('users.create')}
                </Button>
            }
        >
            <CursorTable
                list={list}
                rows={({ users }) => users}
                label={t('nav.users')}
                columns={columns}
                rowId={({ id }) => id}
            />
            <Modal
                opened={isCreating}
                onClose={() => setCreating(false)}
                title={t('users.create')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <CreateUser onDone={() => setCreating(false)} />
            </Modal>
            <UserSessions user={opened} onClose={() => setOpened(undefined)} />
        </Page>
    );
}

function useColumns(openSessions: (user: User) => void): Column<User>[] {
    const { t } = useTranslation();
    const session = useSession();
    const queryClient = useQueryClient();
    const { mutate: change } = useMutation({
        mutationFn: ({ id, body }: { id: string; body: Schema<'ChangeUserRequest'> }) =>
            unwrap(api.PATCH('/api/v1/users/{id}', { params: { path: { id } }, body })),
        onSuccess: () => {
            notifySuccess(t('users.saved'));
            return queryClient.invalidateQueries({ queryKey: ['users'] });
        },
        onError: notifyError,
    });
    const own = session?.account;
    return useMemo(() => {
        const confirm = (user: User, text: string, body: Schema<'ChangeUserRequest'>) =>
            modals.openConfirmModal({
                title: t('users.confirm', { account: user.username }),
                children: <Text size="sm">{text}</Text>,
                labels: { confirm: t('action.confirm'), cancel: t('action.cancel') },
                closeButtonProps: { 'aria-label': t('action.close') },
                onConfirm: () => change({ id: user.id, body }),
            });
        return [
            {
                id: 'username',
                header: t('account.username'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" fw={600} className="wrap-anywhere" translate="no">
                            {original.username}
                        </Text>
                        {[original.name, original.email].map(
                            (text) =>
                                text && (
                                    <Text key={text} size="xs" c="dimmed" className="wrap-anywhere" translate="no">
                                        {text}
                                    </Text>
                                ),
                        )}
                    </>
                ),
            },
            {
                id: 'role',
                header: t('users.role'),
                cell: ({ row: { original } }) => (
                    <Badge color={ROLE_COLORS[original.role]}>{t(`role.${original.role}`)}</Badge>
                ),
            },
            {
                id: 'state',
                header: t('application.status'),
                cell: ({ row: { original } }) => (
                    <Badge color={original.disabled ? 'red' : 'green'}>
                        {t(original.disabled ? 'users.disabled' : 'users.enabled')}
                    </Badge>
                ),
            },
            {
                id: 'created',
                header: t('application.created_at'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                            <Time time={original.created_at} />
                        </Text>
                        <Text size="xs" c="dimmed">
                            {t('audit.by', { account: original.created_by })}
                        </Text>
                    </>
                ),
            },
            {
                id: 'actions',
                header: () => <VisuallyHidden>{t('action.column')}</VisuallyHidden>,
                meta: { align: 'right' },
                cell: ({ row: { original } }) =>
                    // Prevents admins from locking themselves out.
                    original.username === own ? (
                        <Text size="xs" c="dimmed">
                            {t('users.own')}
                        </Text>
                    ) : (
                        <Menu position="bottom-end">
                            <Menu.Target>
                                <Button
                                    size="xs"
                                    variant="default"
                                    rightSection={<IconChevronDown size={14} aria-hidden />}
                                    aria-label={t('users.change_of', { account: original.username })}
                                >
                                    {t('circuits.change')}
                                </Button>
                            </Menu.Target>
                            <Menu.Dropdown>
                                <Menu.Item onClick={() => openSessions(original)}>{t('sessions.title')}</Menu.Item>
                                <Menu.Divider />
                                {ROLES.filter((role) => role !== original.role).map((role) => (
                                    <Menu.Item
                                        key={role}
                                        onClick={() => confirm(original, t('users.role_hint'), { role })}
                                    >
                                        {t('users.make', { role: t(`role.${role}`) })}
                                    </Menu.Item>
                                ))}
                                <Menu.Divider />
                                {original.disabled ? (
                                    <Menu.Item onClick={() => change({ id: original.id, body: { disabled: false } })}>
                                        {t('users.enable')}
                                    </Menu.Item>
                                ) : (
                                    <Menu.Item
                                        color="red"
                                        onClick={() => confirm(original, t('users.disable_hint'), { disabled: true })}
                                    >
                                        {t('users.disable')}
                                    </Menu.Item>
                                )}
                            </Menu.Dropdown>
                        </Menu>
                    ),
            },
        ];
    }, [t, own, change, openSessions]);
}

function CreateUser({ onDone }: { onDone: () => void }) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const form = useForm({
        initialValues: { username: '', password: '', role: 'analyst' as Role, name: '', email: '' },
        validate: {
            username: (value) => (value.trim() === '' ? t('field.required') : null),
            password: (value) => (value === '' ? t('field.required') : null),
        },
    });
    const create = useMutation({
        mutationFn: (body: Schema<'CreateUserRequest'>) => unwrap(api.POST('/api/v1/users', { body })),
        onSuccess: () => {
            notifySuccess(t('users.created'));
            onDone();
            return queryClient.invalidateQueries({ queryKey: ['users'] });
        },
        onError: (error) => {
            for (const [pointer, text] of Object.entries(fieldErrors(error)))
                form.setFieldError(pointer.slice(1), text);
        },
    });
    return (
        <form
            noValidate
            onSubmit={form.onSubmit(({ username, name, email, ...rest }) =>
                create.mutate({
                    username: username.trim(),
                    ...rest,
                    ...(name.trim() && { name: name.trim() }),
                    ...(email.trim() && { email: email.trim() }),
                }),
            )}
        >
            <Stack>
                {create.isError && (
                    <Alert color="red" role="alert">
                        {errorText(create.error)}
                    </Alert>
                )}
                <TextInput
                    label={t('account.username')}
                    withAsterisk
                    autoComplete="off"
                    autoCapitalize="none"
                    data-autofocus
                    {...form.getInputProps('username')}
                />
                <PasswordInput
                    label={t('account.password')}
                    description={t('users.password_hint')}
                    withAsterisk
                    autoComplete="new-password"
                    visibilityToggleButtonProps={{ 'aria-label': t('sign_in.show_password') }}
                    {...form.getInputProps('password')}
                />
                <NativeSelect
                    label={t('users.role')}
                    data={ROLES.map((role) => ({ value: role, label: t(`role.${role}`) }))}
                    {...form.getInputProps('role')}
                />
                <TextInput
                    label={t('users.full_name')}
                    description={t('users.optional')}
                    autoComplete="off"
                    {...form.getInputProps('name')}
                />
                <TextInput
                    label={t('users.email')}
                    description={t('users.optional')}
                    type="email"
                    autoComplete="off"
                    {...form.getInputProps('email')}
                />
                <Group justify="flex-end">
                    <Button variant="default" onClick={onDone}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" loading={create.isPending}>
                        {t('users.create')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
