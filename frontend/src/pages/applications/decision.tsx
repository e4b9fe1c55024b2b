import { Badge, Card, Code, Group, List, Progress, Stack, Table, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { decisionQuery } from '../../api/queries';
import { ApiError } from '../../api/problem';
import type { Application, Decision, Schema } from '../../api/types';
import { formatAmount, formatDecimal, formatScore, formatShare } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { RISK_COLORS } from '../../theme';
import { Empty, Failure, QueryView } from '../../ui/states';
import { Time } from '../../ui/text';
import { RiskComponents } from './risk-components';

/** The latest decision of the rules, explained rule by rule. */
export function DecisionCard({ application }: { application: Application }) {
    const { t } = useTranslation();
    const query = useQuery(decisionQuery(application.id));
    const isUndecided = query.error instanceof ApiError && query.error.status === 404;
    return (
        <Card>
            <Title order={2} size="h4" mb="md">
                {t('decision.title')}
            </Title>
            {isUndecided ? (
                <Empty title={t('decision.none')} hint={t('decision.none_hint')} />
            ) : query.isError ? (
                <Failure error={query.error} retry={() => void query.refetch()} />
            ) : (
                <QueryView query={query}>
                    {(decision) => <StoredDecision decision={decision} application={application} />}
                </QueryView>
            )}
        </Card>
    );
}

function StoredDecision(props: { decision: Schema<'StoredDecisionView'> & Decision; application: Application }) {
    const { t } = useTranslation();
    const { decision, application } = props;
    return (
        <Stack gap="lg">
            <Group align="flex-start" grow preventGrowOverflow={false} gap="xl">
                <Stack gap={4} miw={220}>
                    <Text size="sm" c="dimmed">
                        {t('decision.outcome')}
                    </Text>
                    <Text fw={650} size="lg">
                        {t(`status.${decision.status}`)}
                    </Text>
                    <Text size="sm" c="dimmed">
                        <Time time={decision.decided_at} country={application.country} />
                    </Text>
                </Stack>
                <RiskScore score={decision.risk_score} band={decision.risk_band} />
            </Group>
            <DecisionDetails decision={decision} place={application} />
            <Text size="xs" c="dimmed">
                {t('decision.rules_version')} <Code>{decision.rules_version}</Code>
            </Text>
        </Stack>
    );
}

/** The reasons, the parts of the risk score and the rules of a decision. */
export function DecisionDetails({ decision, place }: { decision: Decision; place: Place }) {
    const { t } = useTranslation();
    return (
        <>
            {decision.reasons.length > 0 && (
                <div>
                    <Text size="sm" c="dimmed" mb={4}>
                        {t('decision.reasons')}
                    </Text>
                    <List size="sm">
                        {decision.reasons.map((reason) => (
                            <List.Item key={reason}>{t(`reason.${reason}`)}</List.Item>
                        ))}
                    </List>
                </div>
            )}
            {decision.risk_score !== null && decision.risk_components && (
                <RiskComponents components={decision.risk_components} score={decision.risk_score} />
            )}
            <Rules rules={decision.rules} place={place} />
        </>
    );
}

export function RiskScore({ score, band }: { score: string | null; band: Application['risk_band'] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    return (
        <Stack gap={6} miw={240}>
            <Text size="sm" c="dimmed">
                {t('application.risk')}
            </Text>
            {score === null || band === null ? (
                <Text size="sm">{t('decision.no_score')}</Text>
            ) : (
                <>
                    <Group gap="sm">
                        <Text fw={650} size="lg">
                            {t('decision.score_of', { score: formatScore(score, language) })}
                        </Text>
                        <Badge color={RISK_COLORS[band]}>{t(`risk.${band}`)}</Badge>
                    </Group>
                    <Progress
                        value={Number(score)}
                        color={RISK_COLORS[band]}
                        aria-label={t('application.risk')}
                        size="md"
                    />
                </>
            )}
        </Stack>
    );
}

type Rule = Schema<'RuleView'>;

const RESULT_COLORS: Record<Rule['result'], string> = { passed: 'green', broken: 'red', not_evaluated: 'gray' };

/** The country and currency of amounts, which determine their format. */
type Place = Pick<Application, 'country' | 'currency'>;

/** The rules with the values that they were evaluated on. */
function Rules({ rules, place }: { rules: Rule[]; place: Place }) {
    const { t } = useTranslation();
    const show = useValueFormat(place);
    return (
        <Table.ScrollContainer minWidth={620} type="native" tabIndex={0} role="region" aria-label={t('decision.rules')}>
            <Table aria-label={t('decision.rules')}>
                <Table.Thead>
                    <Table.Tr>
                        <Table.Th scope="col">{t('decision.rule')}</Table.Th>
                        <Table.Th scope="col">{t('decision.inputs')}</Table.Th>
                        <Table.Th scope="col" ta="right">
                            {t('decision.threshold')}
                        </Table.Th>
                        <Table.Th scope="col">{t('decision.result')}</Table.Th>
                    </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                    {rules.map((rule) => (
                        <Table.Tr key={rule.code}>
                            <Table.Td>
                                <Text size="sm" fw={600}>
                                    {t(`rule.${rule.code}`)}
                                </Text>
                                <Text size="xs" c="dimmed">
                                    {t(`rule_kind.${rule.kind}`)}
                                </Text>
                            </Table.Td>
                            <Table.Td>
                                <Stack gap={2}>
                                    {Object.entries(rule.inputs).map(([name, value]) => (
                                        <Group key={name} gap="xs" justify="space-between" wrap="nowrap">
                                            <Text size="sm" c="dimmed">
                                                {show.name(name)}
                                            </Text>
                                            <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                                                {show.input(name, value)}
                                            </Text>
                                        </Group>
                                    ))}
                                </Stack>
                            </Table.Td>
                            <Table.Td ta="right">
                                <Text size="sm" style={{ whiteSpace: 'nowrap' }}>
                                    {show.threshold(rule)}
                                </Text>
                            </Table.Td>
                            <Table.Td>
                                <Badge color={RESULT_COLORS[rule.result]}>{t(`rule_result.${rule.result}`)}</Badge>
                            </Table.Td>
                        </Table.Tr>
                    ))}
                </Table.Tbody>
            </Table>
        </Table.ScrollContainer>
    );
}

const AMOUNTS = new Set([
    'average_monthly_income',
    'instalment',
    'monthly_income',
    'monthly_obligations',
    'requested_amount',
]);
const SHARES = new Set(['dti', 'pti', 'deviation']);

type Unit = 'amount' | 'share' | 'number';

/** The unit of the threshold of each rule. */
const THRESHOLD_UNITS: Record<Rule['code'], Unit> = {
    ACTIVE_DEFAULTS: 'number',
    AMOUNT_NEEDS_REVIEW: 'amount',
    AMOUNT_TOO_HIGH: 'amount',
    DTI_TOO_HIGH: 'share',
    INCOME_MISMATCH: 'share',
    INCOME_TOO_LOW: 'amount',
    LTI_TOO_HIGH: 'number',
    PTI_TOO_HIGH: 'share',
    RECORD_NOT_VERIFIED: 'number',
    SCORE_TOO_LOW: 'number',
};

function useValueFormat({ country, currency }: Place) {
    const { t, i18n } = useTranslation();
    const language = useLanguage();
    const format = (value: string, unit: Unit) => {
        if (unit === 'amount') return formatAmount(value, currency, country);
        return unit === 'share' ? formatShare(value, language) : formatDecimal(value, language);
    };
    return {
        name: (name: string) => (i18n.exists(`input.${name}`) ? t(`input.${name}` as 'input.dti') : name),
        input: (name: string, value: unknown): string => {
            if (value === null || value === undefined) return t('value.not_reported');
            if (typeof value === 'boolean') return t(value ? 'value.yes' : 'value.no');
            return format(String(value), AMOUNTS.has(name) ? 'amount' : SHARES.has(name) ? 'share' : 'number');
        },
        threshold: (rule: Rule) => (rule.threshold === null ? '–' : format(rule.threshold, THRESHOLD_UNITS[rule.code])),
    };
}
