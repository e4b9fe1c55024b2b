import { Badge, Group, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import type { ApplicationStatus, RiskBand } from '../api/types';
import { formatScore } from '../format/locale';
import { useLanguage } from '../i18n/i18n';
import { RISK_COLORS, STATUS_COLORS } from '../theme';

export function StatusBadge({ status, size }: { status: ApplicationStatus; size?: 'md' | 'lg' }) {
    const { t } = useTranslation();
    return (
        <Badge color={STATUS_COLORS[status]} size={size ?? 'md'}>
            {t(`status.${status}`)}
        </Badge>
    );
}

export function Risk({ score, band }: { score: string | null; band: RiskBand | null }) {
    const { t } = useTranslation();
    const language = useLanguage();
    if (score === null || band === null) return <Text c="dimmed">–</Text>;
    return (
        <Group gap="xs" wrap="nowrap" justify="flex-end">
            <Text size="sm" ff="monospace">
                {formatScore(score, language)}
            </Text>
            <Badge color={RISK_COLORS[band]}>{t(`risk.${band}`)}</Badge>
        </Group>
    );
}
