import { Button, Group } from '@mantine/core';
import { IconChevronLeft, IconChevronRight, IconChevronsLeft } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';

/** The cursors of the pages before the current one, oldest first; the first page has no cursor. */
export type CursorTrail = string[];

/** Buttons to the first, previous and next page of a list with cursors. Hidden if there is only one page. */
export function CursorPager(props: {
    trail: CursorTrail;
    next: string | null | undefined;
    onChange: (trail: CursorTrail) => void;
}) {
    const { t } = useTranslation();
    const { trail, next } = props;
    if (trail.length === 0 && !next) return null;
    return (
        <Group component="nav" aria-label={t('pager.label')} justify="flex-end" gap="xs">
            <Button
                variant="default"
                leftSection={<IconChevronsLeft size={16} aria-hidden />}
                disabled={trail.length === 0}
                onClick={() => props.onChange([])}
            >
                {t('pager.first')}
            </Button>
            <Button
                variant="default"
                leftSection={<IconChevronLeft size={16} aria-hidden />}
                disabled={trail.length === 0}
                onClick={() => props.onChange(trail.slice(0, -1))}
            >
                {t('pager.previous')}
            </Button>
            <Button
                variant="default"
                rightSection={<IconChevronRight size={16} aria-hidden />}
                disabled={!next}
                onClick={() => next && props.onChange([...trail, next])}
            >
                {t('pager.next')}
            </Button>
        </Group>
    );
}
