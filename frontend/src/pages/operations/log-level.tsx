import {
    Alert,
    Badge,
    Button,
    Card,
    Group,
    Modal,
    NativeSelect,
    Stack,
    Text,
    Textarea,
    TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconAdjustments } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { LOG_LEVELS, type Schema } from '../../api/types';
import { type Column, DataTable } from '../../ui/data-table';
import { fieldErrors, notifySuccess, useErrorText } from '../../ui/errors';
import { Page } from '../../ui/page';
import { Empty, QueryView } from '../../ui/states';
import { Time } from '../../ui/text';

type Change = Schema<'LevelChangeView'>;
type Level = Schema<'LogLevelName'>;

const LEVEL_COLORS: Record<Level, string> = {
    trace: 'gray',
    debug: 'gray',
    info: 'blue',
    warning: 'orange',
    error: 'red',
    critical: 'red',
};

/** How long a change lasts, in minutes. The server allows 24 hours at most. */
const LIFETIMES = [15, 60, 480] as const;
const MINUTE_MS = 60_000;

const QUERY_KEY = ['log-level'];

/** The log levels of one instance, which can be changed for a limited time. */
export function LogLevelPage() {
    const { t } = useTranslation();
    const [isChanging, setChanging] = useState(false);
    const query = useQuery({
        queryKey: QUERY_KEY,
        queryFn: () => unwrap(api.GET('/api/v1/admin/log-level')),
        refetchInterval: 15_000,
    });
    const columns = useColumns();
    return (
        <Page
            title={t('log_level.title')}
            subtitle={t('log_level.hint')}
            actions={
                <Button leftSection={<IconAdjustments size={18} aria-hidden />} onClick={() => setChanging(true)}>
                    {t('log_level.change')}
                </Button>
            }
        >
            <QueryView query={query} lines={4}>
                {(data) => (
                    <Stack gap="lg">
                        <Group gap="xs">
                            <Text size="sm">{t('log_level.configured')}</Text>
                            <Badge color={LEVEL_COLORS[data.configured]}>{data.configured}</Badge>
                        </Group>
                        <Card padding={0}>
                            {data.changes.length === 0 ? (
                                <Empty title={t('log_level.none')} hint={t('log_level.none_hint')} />
                            ) : (
                                <DataTable
                                    label={t('log_level.title')}
                                    columns={columns}
                                    rows={data.changes}
                                    rowId={({ module }) => module ?? ''}
                                />
                            )}
                        </Card>
                        <Text size="xs" c="dimmed" className="wrap-anywhere">
                            {t('operate.instance', { instance: data.instance })}
                        </Text>
                    </Stack>
                )}
            </QueryView>
            <Modal
                opened={isChanging}
                onClose={() => setChanging(false)}
                title={t('log_level.change')}
                closeButtonProps={{ 'aria-label': t('action.close') }}
            >
                <ChangeLevel onDone={() => setChanging(false)} />
            </Modal>
        </Page>
    );
}

function useColumns(): Column<Change>[] {
    const { t } = useTranslation();
    return useMemo(
        () => [
            {
                id: 'module',
                header: t('log_level.module'),
                cell: ({ row: { original } }) => (
                    <Text size="sm" fw={600} className="wrap-anywhere" {...(original.module && { ff: 'monospace' })}>
                        {original.module ?? t('log_level.all_modules')}
                    </Text>
                ),
            },
            {
                id: 'level',
                header: t('log_level.level'),
                cell: ({ row: { original } }) => <Badge color={LEVEL_COLORS[original.level]}>{original.level}</Badge>,
            },
            {
                id: 'reason',
                header: t('change.reason'),
                cell: ({ row: { original } }) => (
                    <>
                        <Text size="sm" className="wrap-anywhere">
                            {original.reason}
                        </Text>
                        <Text size="xs" c="dimmed">
                            {t('audit.by', { account: original.set_by })} · <Time time={original.set_at} />
                        </Text>
                    </>
                ),
            },
            {
                id: 'expires',
                header: t('operate.until'),
                meta: { align: 'right' },
                cell: ({ row }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                        <Time time={row.original.expires_at} />
                    </Text>
                ),
            },
        ],
        [t],
    );
}

function ChangeLevel({ onDone }: { onDone: () => void }) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const queryClient = useQueryClient();
    const form = useForm({
        initialValues: { level: 'debug' as Level, module: '', reason: '', minutes: '15' },
        validate: { reason: (value) => (value.trim() === '' ? t('field.required') : null) },
    });
    const save = useMutation({
        mutationFn: ({ level, module, reason, minutes }: typeof form.values) =>
            unwrap(
                api.PUT('/api/v1/admin/log-level', {
                    body: {
                        level,
                        reason: reason.trim(),
                        expires_at: new Date(Date.now() + Number(minutes) * MINUTE_MS).toISOString(),
                        ...(module.trim() && { module: module.trim() }),
                    },
                }),
            ),
        onSuccess: (levels) => {
            queryClient.setQueryData(QUERY_KEY, levels);
            notifySuccess(t('log_level.saved'));
            onDone();
        },
        onError: (error) => {
            for (const [pointer, text] of Object.entries(fieldErrors(error)))
                form.setFieldError(pointer.slice(1), text);
        },
    });
    return (
        <form noValidate onSubmit={form.onSubmit((values) => save.mutate(values))}>
            <Stack>
                <Text size="sm" c="dimmed">
                    {t('log_level.change_hint')}
                </Text>
                {save.isError && (
                    <Alert color="red" role="alert">
                        {errorText(save.error)}
                    </Alert>
                )}
                <NativeSelect
                    label={t('log_level.level')}
                    data={LOG_LEVELS}
                    data-autofocus
                    {...form.getInputProps('level')}
                />
                <TextInput
                    label={t('log_level.module')}
                    description={t('log_level.module_hint')}
                    autoComplete="off"
                    spellCheck={false}
                    {...form.getInputProps('module')}
                />
                <Textarea
                    label={t('change.reason')}
                    withAsterisk
                    autosize
                    minRows={2}
                    maxRows={6}
                    {...form.getInputProps('reason')}
                />
                <NativeSelect
                    label={t('operate.lasts')}
                    data={LIFETIMES.map((minutes) => ({
                        value: String(minutes),
                        label: t(`operate.minutes_${minutes}`),
                    }))}
                    {...form.getInputProps('minutes')}
                />
                <Group justify="flex-end">
                    <Button variant="default" onClick={onDone}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" loading={save.isPending}>
                        {t('log_level.change')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
