import { Button, Group, Skeleton, Text } from '@mantine/core';
import { CatchBoundary } from '@tanstack/react-router';
import { type ReactNode, Suspense } from 'react';
import { useTranslation } from 'react-i18next';

/**
 * The place of a chart whose file is loaded when it is first shown. The file can be missing after an upgrade of the server,
 * because a new version of the console has other files. Only the chart is replaced in this case: every page with a chart
 * also has its figures as text.
 */
export function ChartArea({ height, children }: { height: number; children: ReactNode }) {
    return (
        <CatchBoundary getResetKey={() => 'chart'} errorComponent={ChartFailure}>
            <Suspense fallback={<Skeleton height={height} />}>{children}</Suspense>
        </CatchBoundary>
    );
}

function ChartFailure() {
    const { t } = useTranslation();
    return (
        <Group>
            <Text size="sm">{t('chart.failed')}</Text>
            <Button size="xs" variant="default" onClick={() => globalThis.location.reload()}>
                {t('chart.reload')}
            </Button>
        </Group>
    );
}
