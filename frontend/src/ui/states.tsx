import { Alert, Button, Code, Group, Skeleton, Stack, Text, ThemeIcon, Title } from '@mantine/core';
import { IconAlertTriangle, IconInbox, IconPlugConnectedX } from '@tabler/icons-react';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../api/problem';
import { useErrorText } from './errors';

/** Shows the data of a query, or that it is being loaded, could not be loaded, or is empty. */
export function QueryView<Data>(props: {
    query: UseQueryResult<Data>;
    /** Number of placeholder lines while loading. */
    lines?: number;
    isEmpty?: (data: Data) => boolean;
    empty?: ReactNode;
    children: (data: Data) => ReactNode;
}) {
    const { query } = props;
    if (query.isPending) return <Loading lines={props.lines ?? 6} />;
    if (query.isError && query.data === undefined)
        return <Failure error={query.error} retry={() => void query.refetch()} />;
    const data = query.data as Data;
    return (
        <>
            {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
            {props.isEmpty?.(data) ? props.empty : props.children(data)}
        </>
    );
}

function Loading({ lines }: { lines: number }) {
    const { t } = useTranslation();
    return (
        <Stack gap="sm" role="status" aria-label={t('state.loading')}>
            {Array.from({ length: lines }, (_, line) => (
                <Skeleton key={line} height={28} radius="sm" />
            ))}
        </Stack>
    );
}

/** An error with what to do about it. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
    const { t } = useTranslation();
    const text = useErrorText();
    const problem = error instanceof ApiError ? error : undefined;
    const isOffline = problem?.code === 'offline';
    return (
        <Alert
            color={isOffline ? 'gray' : 'red'}
            variant="light"
            title={isOffline ? t('state.offline') : t('state.failed')}
            icon={isOffline ? <IconPlugConnectedX aria-hidden /> : <IconAlertTriangle aria-hidden />}
            role="alert"
            mb="md"
        >
            <Stack gap="sm" align="flex-start">
                <Text size="sm">{text(error)}</Text>
                {problem?.problem?.request_id && (
                    <Group gap="xs">
                        <Text size="xs">{t('state.request_id')}</Text>
                        <Code>{problem.problem.request_id}</Code>
                    </Group>
                )}
                {retry && (
                    <Button size="xs" variant="default" onClick={retry}>
                        {t('action.retry_loading')}
                    </Button>
                )}
            </Stack>
        </Alert>
    );
}

export function Empty({ title, hint, action }: { title: string; hint?: string; action?: ReactNode }) {
    return (
        <Stack align="center" gap="xs" py={48} px="md">
            <ThemeIcon size={48} radius="xl" variant="light" color="gray" aria-hidden>
                <IconInbox size={26} />
            </ThemeIcon>
            <Title order={2} size="h4" ta="center">
                {title}
            </Title>
            {hint && (
                <Text c="dimmed" size="sm" ta="center" maw={440}>
                    {hint}
                </Text>
            )}
            {action}
        </Stack>
    );
}
