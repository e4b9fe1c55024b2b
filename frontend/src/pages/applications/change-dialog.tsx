import { Alert, Button, Group, type MantineColor, Modal, Stack, Text, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconCheck, IconCircleX, IconX } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ApiError } from '../../api/problem';
import { etagOf, keys, statusQuery } from '../../api/queries';
import { reviewKeys } from '../../api/review-queries';
import type { ApplicationStatus, ListedApplication } from '../../api/types';
import { useLiveApplication } from '../../live/use-live';
import { fieldErrors, notifySuccess, useErrorText } from '../../ui/errors';
import { StaleNotice } from './stale-notice';

/** A status that a person can set. */
export type Change = Extract<ApplicationStatus, 'APPROVED' | 'REJECTED' | 'CANCELLED'>;

export const CHANGES: Record<Change, { color: MantineColor; icon: typeof IconX; hotkey: string }> = {
    APPROVED: { color: 'teal', icon: IconCheck, hotkey: 'Alt+A' },
    REJECTED: { color: 'red', icon: IconX, hotkey: 'Alt+R' },
    CANCELLED: { color: 'gray', icon: IconCircleX, hotkey: 'Alt+C' },
};

/** The members of an application that the dialog needs. A row of a list contains them, too. */
export type ChangeTarget = Pick<ListedApplication, 'id' | 'full_name' | 'country' | 'version'>;

/** Asks for the reason of a change of status and saves it. Closed if there is no change. */
export function ChangeDialog(props: {
    change: Change | undefined;
    application: ChangeTarget | undefined;
    isStaff: boolean;
    /** `isDone` is true if the change was saved. */
    onClose: (isDone: boolean) => void;
}) {
    const { t } = useTranslation();
    const { change, application, isStaff, onClose } = props;
    return (
        <Modal
            opened={change !== undefined && application !== undefined}
            onClose={() => onClose(false)}
            title={change && application && t(`change.${change}_title`, { name: application.full_name })}
            closeButtonProps={{ 'aria-label': t('action.close') }}
        >
            {change && application && (
                <ChangeForm change={change} application={application} isStaff={isStaff} onClose={onClose} />
            )}
        </Modal>
    );
}

/** Whether the application has changed since it was read, so that the same request cannot succeed. */
function isStale(error: unknown): boolean {
    return error instanceof ApiError && ['precondition_failed', 'conflict', 'illegal_transition'].includes(error.code);
}

function ChangeForm(props: {
    change: Change;
    application: ChangeTarget;
    isStaff: boolean;
    onClose: (isDone: boolean) => void;
}) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const { application, change } = props;
    const { id } = application;
    useLiveApplication(id);
    const status = useQuery(statusQuery(id));
    // The version that the reader decides on. If the application changes while the dialog is open, the server refuses the change.
    const [version, setVersion] = useState(application.version);
    const form = useForm({
        initialValues: { reason: '', internal_note: '' },
        validate: { reason: (value) => (change !== 'CANCELLED' && value.trim() === '' ? t('field.required') : null) },
    });
    const reload = () =>
        Promise.all([
            queryClient.invalidateQueries({ queryKey: keys.lists, refetchType: 'none' }),
            queryClient.invalidateQueries({ queryKey: keys.application(id) }),
            queryClient.invalidateQueries({ queryKey: reviewKeys.all }),
        ]);
    const save = useMutation({
        mutationFn: ({ reason, internal_note }: typeof form.values) =>
            unwrap(
                api.PUT('/api/v1/applications/{id}/status', {
                    params: { path: { id }, header: { 'If-Match': etagOf(version) } },
                    body: {
                        status: change,
                        ...(reason.trim() && { reason: reason.trim() }),
                        ...(internal_note.trim() && { internal_note: internal_note.trim() }),
                    },
                }),
            ),
        onSuccess: () => {
            notifySuccess(t(`change.${change}_done`));
            props.onClose(true);
            return reload();
        },
        onError: (error) => {
            const errors = fieldErrors(error);
            if (errors['/reason']) form.setFieldError('reason', errors['/reason']);
            if (errors['/internal_note']) form.setFieldError('internal_note', errors['/internal_note']);
            void reload();
        },
    });
    const hasChanged = isStale(save.error) || (status.data !== undefined && status.data.version > version);
    const decideAgain = (current: number) => {
        setVersion(current);
        save.reset();
    };
    return (
        <form onSubmit={form.onSubmit((values) => save.mutate(values))} noValidate>
            <Stack>
                {hasChanged ? (
                    <StaleNotice
                        application={application}
                        since={version}
                        change={change}
                        status={status}
                        onAccept={decideAgain}
                    />
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
                    <Button variant="default" onClick={() => props.onClose(false)}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" color={CHANGES[change].color} loading={save.isPending} disabled={hasChanged}>
                        {t(`change.${change}`)}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
