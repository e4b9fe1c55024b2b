import { Button, Group, Skeleton, Text } from '@mantine/core';
import { CatchBoundary } from '@tanstack/react-router';
import { type ReactNode, Suspense } from 'react';
import { useTranslation } from 'react-i18next';

/**
 * Loads the code of a chart when the chart is first shown. After an upgrade of the server the file may be missing, because
 * the files of each version have other names. In that case, only the chart is replaced with a message: every page with a
 * chart also shows its figures as text.
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
