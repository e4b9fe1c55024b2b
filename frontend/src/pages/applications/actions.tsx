import { Alert, Button, Group, Kbd, Modal, Stack, Text, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useHotkeys } from '@mantine/hooks';
import { IconCheck, IconCircleX, IconX } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ApiError } from '../../api/problem';
import { keys, statusQuery } from '../../api/queries';
import type { Application, ApplicationStatus } from '../../api/types';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { fieldErrors, notifySuccess, useErrorText } from '../../ui/errors';

type Change = Extract<ApplicationStatus, 'APPROVED' | 'REJECTED' | 'CANCELLED'>;

const CHANGES: Record<Change, { color: string; icon: typeof IconX; hotkey: string }> = {
    APPROVED: { color: 'teal', icon: IconCheck, hotkey: 'Alt+A' },
    REJECTED: { color: 'red', icon: IconX, hotkey: 'Alt+R' },
    CANCELLED: { color: 'gray', icon: IconCircleX, hotkey: 'Alt+C' },
};

function isChange(status: ApplicationStatus): status is Change {
    return status in CHANGES;
}

/** The changes of status that the account may make now. Each has a key of its own. */
export function Actions({ application, etag }: { application: Application; etag: string | undefined }) {
    const { t } = useTranslation();
    const session = useSession();
    const status = useQuery(statusQuery(application.id));
    const [change, setChange] = useState<Change>();
    const isStaff = session !== undefined && isAtLeast(session.role, 'analyst');
    const offered = (status.data?.allowed ?? [])
        .filter(isChange)
        .filter((allowed) => isStaff || allowed === 'CANCELLED');
    useHotkeys(offered.map((each) => [CHANGES[each].hotkey, () => setChange(each), { usePhysicalKeys: true }]));
    return (
        <>
            {offered.map((each) => {
                const { color, icon: Icon, hotkey } = CHANGES[each];
                return (
                    <Button
                        key={each}
                        color={color}
                        variant={each === 'APPROVED' ? 'filled' : 'light'}
                        leftSection={<Icon size={18} aria-hidden />}
                        rightSection={
                            <Kbd size="xs" visibleFrom="md" aria-hidden>
                                {hotkey}
                            </Kbd>
                        }
                        aria-keyshortcuts={hotkey}
                        onClick={() => setChange(each)}
                    >
                        {t(`change.${each}`)}
                    </Button>
                );
            })}
            <Modal
                opened={change !== undefined}
                onClose={() => setChange(undefined)}
                title={change && t(`change.${change}_title`, { name: application.full_name })}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                {change && (
                    <ChangeForm
                        change={change}
                        application={application}
                        etag={etag}
                        isStaff={isStaff}
                        onDone={() => setChange(undefined)}
                    />
                )}
            </Modal>
        </>
    );
}

function ChangeForm(props: {
    change: Change;
    application: Application;
    etag: string | undefined;
    isStaff: boolean;
    onDone: () => void;
}) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const { application, change, etag } = props;
    // The version that the reader decides on. If it changes while the dialog is open, the server refuses the change.
    const [version] = useState(etag);
    const form = useForm({
        initialValues: { reason: '', internal_note: '' },
        validate: { reason: (value) => (change !== 'CANCELLED' && value.trim() === '' ? t('field.required') : null) },
    });
    const reload = () => queryClient.invalidateQueries({ queryKey: keys.application(application.id) });
    const save = useMutation({
        mutationFn: ({ reason, internal_note }: typeof form.values) =>
            unwrap(
                api.PUT('/api/v1/applications/{id}/status', {
                    params: { path: { id: application.id }, header: version ? { 'If-Match': version } : {} },
                    body: {
                        status: change,
                        ...(reason.trim() && { reason: reason.trim() }),
                        ...(internal_note.trim() && { internal_note: internal_note.trim() }),
                    },
                }),
            ),
        onSuccess: () => {
            notifySuccess(t(`change.${change}_done`));
            props.onDone();
            return reload();
        },
        onError: (error) => {
            const errors = fieldErrors(error);
            if (errors['/reason']) form.setFieldError('reason', errors['/reason']);
            if (errors['/internal_note']) form.setFieldError('internal_note', errors['/internal_note']);
            void reload();
        },
    });
    const isStale = save.error instanceof ApiError && [409, 412].includes(save.error.status);
    return (
        <form onSubmit={form.onSubmit((values) => save.mutate(values))} noValidate>
            <Stack>
                {isStale ? (
                    <Alert color="orange" role="alert" title={t('change.stale')}>
                        {t('change.stale_hint', { status: t(`status.${application.status}`) })}
                    </Alert>
                ) : (
                    save.isError && (
                        <Alert color="red" role="alert">
                            {errorText(save.error)}
                        </Alert>
                    )
                )}
                <Text size="sm" c="dimmed">
                    {t(`change.${change}_hint`)}
                </Text>
                <Textarea
                    label={t('change.reason')}
                    description={t('change.reason_hint')}
                    autosize
                    minRows={2}
                    maxRows={8}
                    data-autofocus
                    withAsterisk={change !== 'CANCELLED'}
                    {...form.getInputProps('reason')}
                />
                {props.isStaff && (
                    <Textarea
                        label={t('change.internal_note')}
                        description={t('change.internal_note_hint')}
                        autosize
                        minRows={1}
                        maxRows={6}
                        {...form.getInputProps('internal_note')}
                    />
                )}
                <Group justify="flex-end">
                    <Button variant="default" onClick={props.onDone}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" color={CHANGES[change].color} loading={save.isPending}>
                        {t(`change.${change}`)}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
