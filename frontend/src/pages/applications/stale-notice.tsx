import { Alert, Button, Stack, Text } from '@mantine/core';
import { useQuery, type UseQueryResult } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { auditQuery } from '../../api/queries';
import type { Schema } from '../../api/types';
import { QueryView } from '../../ui/states';
import type { Change, ChangeTarget } from './change-dialog';
import { Timeline } from './timeline';

/** The changes of an application after a version. */
export function NewerChanges({ application, since }: { application: ChangeTarget; since: number }) {
    const { t } = useTranslation();
    const audit = useQuery(auditQuery(application.id));
    return (
        <QueryView query={audit} lines={2}>
            {({ entries }) => {
                const newer = entries.filter((entry) => entry.version > since);
                return newer.length > 0 ? (
                    <Timeline entries={newer} country={application.country} />
                ) : (
                    <Text size="sm">{t('stale.no_entries')}</Text>
                );
            }}
        </QueryView>
    );
}

/** Explains what has changed since the version that the reader decided on, and offers to decide on the current one. */
export function StaleNotice(props: {
    application: ChangeTarget;
    /** The version that the reader has seen. */
    since: number;
    change: Change;
    status: UseQueryResult<Schema<'StatusView'>>;
    onAccept: (version: number) => void;
}) {
    const { t } = useTranslation();
    const { application, since, change } = props;
    const current = props.status.data;
    const isPossible = current?.allowed.includes(change) ?? false;
    return (
        <Alert color="orange" role="alert" title={t('change.stale')}>
            <Stack gap="sm" align="flex-start">
                <Text size="sm">{t('stale.nothing_saved')}</Text>
                <NewerChanges application={application} since={since} />
                {current &&
                    (isPossible ? (
                        <Button size="xs" variant="default" onClick={() => props.onAccept(current.version)}>
                            {t('stale.decide_again')}
                        </Button>
                    ) : (
                        <Text size="sm" fw={600}>
                            {t('stale.impossible', { status: t(`status.${current.status}`) })}
                        </Text>
                    ))}
            </Stack>
        </Alert>
    );
}
