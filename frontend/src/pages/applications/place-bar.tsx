import { Anchor, Button, Group } from '@mantine/core';
import { IconArrowLeft, IconChevronLeft, IconChevronRight } from '@tabler/icons-react';
import { Link, useNavigate } from '@tanstack/react-router';
import { useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { Shortcuts } from '../../ui/shortcuts';
import { useAssignment } from '../reviews/use-assignment';
import { placeOf } from './reading-order';

/** Links to the list that the application was opened from, and to the previous and the next application in that list. */
export function PlaceBar({ id }: { id: string }) {
    const { t } = useTranslation();
    const place = useMemo(() => placeOf(id), [id]);
    const navigate = useNavigate();
    const session = useSession();
    const isStaff = session !== undefined && isAtLeast(session.role, 'analyst');
    const { next: takeNext, isBusy } = useAssignment();
    const open = (target: string | undefined) =>
        target && (() => void navigate({ to: '/console/applications/$id', params: { id: target } }));
    const adjacent = [
        { keys: 'Alt+J' as const, name: t('place.next'), run: open(place?.next) },
        { keys: 'Alt+K' as const, name: t('place.previous'), run: open(place?.previous) },
    ];
    const staff = [
        { keys: 'Alt+N' as const, name: t('reviews.next'), run: () => !isBusy && takeNext.mutate(undefined) },
        // These are only listed here. The buttons of the page handle them.
        { keys: 'Alt+A' as const, name: t('change.APPROVED') },
        { keys: 'Alt+R' as const, name: t('change.REJECTED') },
    ];
    return (
        <Group justify="space-between">
            <Anchor
                component={Link}
                to={`/console/${place?.list ?? 'applications'}`}
                search={place?.search as never}
                size="sm"
            >
                <Group gap={4} component="span">
                    <IconArrowLeft size={16} aria-hidden />
                    {place?.list === 'reviews' ? t('reviews.title') : t('nav.applications')}
                </Group>
            </Anchor>
            <Group gap="xs">
                {place && (
                    <Group component="nav" aria-label={t('place.label')} gap="xs">
                        <Button
                            size="xs"
                            variant="default"
                            leftSection={<IconChevronLeft size={16} aria-hidden />}
                            aria-keyshortcuts="Alt+K"
                            disabled={place.previous === undefined}
                            onClick={open(place.previous) || undefined}
                        >
                            {t('place.previous')}
                        </Button>
                        <Button
                            size="xs"
                            variant="default"
                            rightSection={<IconChevronRight size={16} aria-hidden />}
                            aria-keyshortcuts="Alt+J"
                            disabled={place.next === undefined}
                            onClick={open(place.next) || undefined}
                        >
                            {t('place.next')}
                        </Button>
                    </Group>
                )}
                <Shortcuts shortcuts={isStaff ? [...adjacent, ...staff] : adjacent} size="xs" />
            </Group>
        </Group>
    );
}
