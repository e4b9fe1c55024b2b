import { Stack, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import type { Schema } from '../../api/types';
import { formatDecimal, formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { useConnectionState } from '../../live/connection';
import { useDecisionsPerMinute } from '../../live/throughput';
import { Figures } from '../../ui/figures';
import { QueryView } from '../../ui/states';

/** The age of the queue and the rate at which it is processed, for admins. */
export function QueueFigures() {
    const { t } = useTranslation();
    const language = useLanguage();
    const perMinute = useDecisionsPerMinute();
    const isLive = useConnectionState() === 'live';
    const query = useQuery({
        queryKey: ['job-stats'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/jobs/stats')),
        refetchInterval: 5000,
    });
    return (
        <Stack gap="sm" component="section" aria-labelledby="queue">
            <Title order={2} size="h4" id="queue">
                {t('overview.queue')}
            </Title>
            <QueryView query={query} lines={2}>
                {(stats) => (
                    <Figures
                        figures={[
                            [t('overview.queue_age'), formatDuration(queueAgeMs(stats), language)],
                            [t('jobs.depth'), formatDecimal(stats.depth, language)],
                            [
                                t('overview.slots_in_use'),
                                t('actors.usage', {
                                    used: formatDecimal(stats.running_here, language),
                                    capacity: formatDecimal(stats.pool_size, language),
                                }),
                            ],
                            [t('overview.per_minute'), isLive ? formatDecimal(perMinute, language) : '–'],
                        ]}
                    />
                )}
            </QueryView>
        </Stack>
    );
}

/** The age of the oldest waiting job in milliseconds; 0 if none waits. */
function queueAgeMs(stats: Schema<'JobStats'>): number {
    const waiting = stats.lanes.filter(({ status }) => status === 'pending');
    return Math.max(0, ...waiting.map(({ oldest_age_ms }) => oldest_age_ms ?? 0));
}
