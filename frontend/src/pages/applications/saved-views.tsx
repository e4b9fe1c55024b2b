import { ActionIcon, Button, Divider, Group, Modal, Popover, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDisclosure } from '@mantine/hooks';
import { IconBookmark, IconBookmarkPlus, IconTrash } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ApiError } from '../../api/problem';
import { savedViewsQuery } from '../../api/review-queries';
import type { SavedView } from '../../api/types';
import { confirmAction } from '../../ui/confirm';
import { errorText, fieldErrors, notifyError, notifySuccess } from '../../ui/errors';
import { Failure } from '../../ui/states';

/** The longest name of a view. */
const MAX_NAME = 60;

/** Named filters of a list. A document is never part of a view, because it is personal data. */
export function SavedViews(props: {
    page: SavedView['page'];
    filters: Record<string, string | undefined>;
    /** Whether the list is limited to a document, which cannot be saved. */
    hasDocument: boolean;
    onApply: (filters: Record<string, string>) => void;
}) {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const options = savedViewsQuery(props.page);
    const query = useQuery(options);
    const [isListOpen, setListOpen] = useState(false);
    const [isOpen, { open, close }] = useDisclosure();
    const filters = Object.entries(props.filters).flatMap(([name, value]) => (value ? [[name, value] as const] : []));
    const remove = useMutation({
        mutationFn: ({ id }: SavedView) =>
            unwrap(api.DELETE('/api/v1/auth/me/views/{id}', { params: { path: { id } } })),
        onSuccess: () => queryClient.invalidateQueries({ queryKey: options.queryKey }),
        onError: notifyError,
    });
    const askToRemove = (view: SavedView) =>
        confirmAction({
            title: t('saved_view.delete_title', { name: view.name }),
            hint: t('saved_view.delete_hint'),
            confirm: t('saved_view.delete'),
            isDestructive: true,
            onConfirm: () => remove.mutate(view),
        });
    const views = query.data ?? [];
    // Why the current filters cannot be saved.
    const obstacle = props.hasDocument
        ? 'saved_view.no_document'
        : filters.length === 0
          ? 'saved_view.no_filter'
          : undefined;
    return (
        <>
            <Popover opened={isListOpen} onChange={setListOpen} position="bottom-end" width={300} trapFocus returnFocus>
                <Popover.Target>
                    <Button
                        variant="default"
                        leftSection={<IconBookmark size={18} aria-hidden />}
                        onClick={() => setListOpen(!isListOpen)}
                    >
                        {t('saved_view.title')}
                    </Button>
                </Popover.Target>
                <Popover.Dropdown aria-label={t('saved_view.title')}>
                    <Stack gap="xs">
                        {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
                        {query.isSuccess && views.length === 0 && (
                            <Text size="sm" c="dimmed">
                                {t('saved_view.none')}
                            </Text>
                        )}
                        {views.map((view) => (
                            <Group key={view.id} gap={4} wrap="nowrap">
                                <Button
                                    variant="subtle"
                                    flex={1}
                                    miw={0}
                                    justify="flex-start"
                                    onClick={() => {
                                        setListOpen(false);
                                        props.onApply(view.filters);
                                    }}
                                >
                                    {view.name}
                                </Button>
                                <ActionIcon
                                    variant="subtle"
                                    color="red"
                                    size="lg"
                                    aria-label={t('saved_view.delete_of', { name: view.name })}
                                    onClick={() => {
                                        setListOpen(false);
                                        askToRemove(view);
                                    }}
                                >
                                    <IconTrash size={16} aria-hidden />
                                </ActionIcon>
                            </Group>
                        ))}
                        <Divider />
                        <Button
                            variant="default"
                            leftSection={<IconBookmarkPlus size={16} aria-hidden />}
                            disabled={obstacle !== undefined}
                            onClick={() => {
                                setListOpen(false);
                                open();
                            }}
                        >
                            {t('saved_view.save')}
                        </Button>
                        {obstacle && (
                            <Text size="xs" c="dimmed">
                                {t(obstacle)}
                            </Text>
                        )}
                    </Stack>
                </Popover.Dropdown>
            </Popover>
            <Modal
                opened={isOpen}
                onClose={close}
                title={t('saved_view.save')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <SaveForm page={props.page} filters={Object.fromEntries(filters)} onDone={close} />
            </Modal>
        </>
    );
}

function SaveForm(props: { page: SavedView['page']; filters: Record<string, string>; onDone: () => void }) {
    const { t } = useTranslation();
    const queryClient = useQueryClient();
    const form = useForm({
        initialValues: { name: '' },
        validate: { name: (value) => (value.trim() === '' ? t('field.required') : null) },
    });
    const save = useMutation({
        mutationFn: ({ name }: { name: string }) =>
            unwrap(
                api.POST('/api/v1/auth/me/views', {
                    body: { page: props.page, name: name.trim(), filters: props.filters },
                }),
            ),
        onSuccess: () => {
            notifySuccess(t('saved_view.saved'));
            props.onDone();
            return queryClient.invalidateQueries({ queryKey: savedViewsQuery(props.page).queryKey });
        },
        onError: (error) => {
            const isTaken = error instanceof ApiError && error.code === 'duplicate_view';
            form.setFieldError('name', isTaken ? errorText(error) : (fieldErrors(error)['/name'] ?? errorText(error)));
        },
    });
    return (
        <form onSubmit={form.onSubmit((values) => save.mutate(values))} noValidate>
            <Stack>
                <Text size="sm" c="dimmed">
                    {t('saved_view.hint')}
                </Text>
                <TextInput
                    label={t('saved_view.name')}
                    withAsterisk
                    maxLength={MAX_NAME}
                    autoComplete="off"
                    data-autofocus
                    {...form.getInputProps('name')}
                />
                <Group justify="flex-end">
                    <Button variant="default" onClick={props.onDone}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" loading={save.isPending}>
                        {t('saved_view.submit')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
