import { Anchor, Button, Text, Tooltip } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import type { Review } from '../../api/types';
import { formatDuration } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { useSession } from '../../session/session';
import { ActionColumn } from '../../ui/action-column';
import { Risk } from '../../ui/badges';
import type { Column } from '../../ui/data-table';
import { Amount, Country, Time } from '../../ui/text';
import { useNow } from '../../ui/use-now';
import { AssignmentState } from './assignment';

/** The element that shortcuts move the focus to. */
export const rowLinkId = (id: string) => `review-${id}`;

export function useReviewColumns(options: {
    /** Whether any application of the list can have an assignment. */
    hasAssignments: boolean;
    assign: (id: string) => void;
    release: (id: string) => void;
}): Column<Review>[] {
    const { t } = useTranslation();
    const { hasAssignments, assign, release } = options;
    return useMemo(() => {
        const columns: Column<Review>[] = [
            {
                id: 'applicant',
                header: t('application.applicant'),
                cell: ({ row: { original } }) => (
                    <Anchor
                        component={Link}
                        id={rowLinkId(original.application.id)}
                        to={`/console/applications/${original.application.id}`}
                        fw={600}
                        size="sm"
                        className="wrap-anywhere"
                        display="block"
                        miw={160}
                    >
                        {original.application.full_name}
                    </Anchor>
                ),
            },
            {
                id: 'country',
                header: t('application.country'),
                cell: ({ row }) => <Country code={row.original.application.country} />,
            },
            {
                id: 'amount',
                header: t('application.requested_amount'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Text size="sm" style={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}>
                        <Amount
                            amount={original.application.requested_amount}
                            currency={original.application.currency}
                            country={original.application.country}
                        />
                    </Text>
                ),
            },
            {
                id: 'risk',
                header: t('application.risk'),
                meta: { align: 'right' },
                cell: ({ row: { original } }) => (
                    <Risk score={original.application.risk_score} band={original.application.risk_band} />
                ),
            },
            {
                id: 'reason',
                header: t('reviews.reason'),
                cell: ({ row }) => <MainReason reasons={row.original.reasons} />,
            },
            {
                id: 'waiting',
                header: t('reviews.waiting'),
                meta: { align: 'right' },
                cell: ({ row }) => <Waiting since={row.original.waiting_since} />,
            },
            {
                id: 'assignment',
                header: t('reviews.assignment'),
                cell: ({ row }) => <Assignment review={row.original} />,
            },
            {
                id: 'action',
                header: () => <ActionColumn />,
                meta: { align: 'right' },
                cell: ({ row }) => <RowAction review={row.original} assign={assign} release={release} />,
            },
        ];
        return hasAssignments ? columns : columns.filter(({ id }) => id !== 'assignment');
    }, [t, hasAssignments, assign, release]);
}

/** Whether an application is assigned to the reader, to another account, or not at all. */
export function holderOf(review: Review, account: string | undefined): 'nobody' | 'reader' | 'other' {
    if (review.assignment === null) return 'nobody';
    return review.assignment.assigned_to_name === account ? 'reader' : 'other';
}

/** The most significant reason in one line; the others are in a tooltip. */
function MainReason({ reasons }: { reasons: Review['reasons'] }) {
    const { t } = useTranslation();
    const [main, ...others] = reasons;
    if (main === undefined) {
        return (
            <Text size="sm" c="dimmed">
                {t('reviews.no_reason')}
            </Text>
        );
    }
    return (
        <Text size="sm" truncate maw={280} title={t(`reason.${main}`)}>
            {t(`reason.${main}`)}
            {others.length > 0 && (
                <Tooltip
                    label={others.map((each) => t(`reason.${each}`)).join(' · ')}
                    events={{ hover: true, focus: true, touch: true }}
                    multiline
                >
                    <Text span size="sm" c="dimmed" tabIndex={0}>
                        {' '}
                        {t('reviews.more_reasons', { count: others.length })}
                    </Text>
                </Tooltip>
            )}
        </Text>
    );
}

function Waiting({ since }: { since: string }) {
    const language = useLanguage();
    const now = useNow(30_000);
    return (
        <Tooltip label={<Time time={since} />}>
            <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                {formatDuration(Math.max(0, now - Date.parse(since)), language)}
            </Text>
        </Tooltip>
    );
}

function Assignment({ review }: { review: Review }) {
    const session = useSession();
    return <AssignmentState assignment={review.assignment} isMine={holderOf(review, session?.account) === 'reader'} />;
}

function RowAction(props: { review: Review; assign: (id: string) => void; release: (id: string) => void }) {
    const { t } = useTranslation();
    const session = useSession();
    const { review } = props;
    const { id, full_name: name } = review.application;
    const holder = holderOf(review, session?.account);
    // Administrators can release the assignments of others.
    const canRelease = holder === 'reader' || (holder === 'other' && session?.role === 'admin');
    if (holder === 'nobody') {
        return (
            <Button
                size="compact-sm"
                variant="light"
                aria-label={`${t('reviews.assign')}: ${name}`}
                onClick={() => props.assign(id)}
            >
                {t('reviews.assign')}
            </Button>
        );
    }
    return canRelease ? (
        <Button
            size="compact-sm"
            variant="default"
            aria-label={`${t('reviews.release')}: ${name}`}
            onClick={() => props.release(id)}
        >
            {t('reviews.release')}
        </Button>
    ) : null;
}
