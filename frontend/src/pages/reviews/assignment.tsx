import { Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { ReviewAssignment } from '../../api/types';
import { useNow } from '../../ui/use-now';

/** The remaining time below which the countdown is highlighted, in milliseconds. */
const SOON_MS = 2 * 60_000;

/** The time until an assignment expires, counted down by the second. Screen readers read it on demand only. */
export function Countdown({ until }: { until: string }) {
    const { t } = useTranslation();
    const left = Date.parse(until) - useNow(1000);
    if (left <= 0) {
        return (
            <Text span size="sm" c="dimmed">
                {t('reviews.expired')}
            </Text>
        );
    }
    const seconds = Math.floor(left / 1000);
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    return (
        <Text
            span
            size="sm"
            role="timer"
            aria-live="off"
            c={left < SOON_MS ? 'var(--mantine-color-error)' : 'dimmed'}
            style={{ fontVariantNumeric: 'tabular-nums', whiteSpace: 'nowrap' }}
        >
            {t('reviews.time_left', { time })}
        </Text>
    );
}

/** Who an application is assigned to, and for how long. */
export function AssignmentState(props: { assignment: ReviewAssignment | null; isMine: boolean }) {
    const { t } = useTranslation();
    const { assignment, isMine } = props;
    if (assignment === null) return <Text size="sm">{t('reviews.not_assigned')}</Text>;
    return (
        <>
            <Text size="sm" className="wrap-anywhere">
                {isMine
                    ? t('reviews.assigned_to_you')
                    : t('reviews.assigned_to', { account: assignment.assigned_to_name })}
            </Text>
            <Countdown until={assignment.expires_at} />
        </>
    );
}
