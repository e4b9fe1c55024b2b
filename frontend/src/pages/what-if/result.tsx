import { Alert, Card, Group, List, Loader, Stack, Text, Title } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ApiError } from '../../api/problem';
import type { CountryCode, CurrencyCode, Decision, Schema } from '../../api/types';
import { Risk, StatusBadge } from '../../ui/badges';
import { fieldErrorText } from '../../ui/errors';
import { Empty, QueryView } from '../../ui/states';
import { DecisionDetails, RiskScore } from '../applications/decision';
import type { Outcome } from './figures';

/** The decision on a case. While another one is evaluated, the previous decision stays. */
export function Result(props: {
    request: Schema<'CaseRequest'> | undefined;
    country: CountryCode;
    currency: CurrencyCode;
    /** The decision that the application got, if the case started from one. */
    original: Outcome | undefined;
    isTyping: boolean;
}) {
    const { t } = useTranslation();
    const { request, country, currency, original } = props;
    const query = useQuery({
        queryKey: ['evaluations', country, request],
        queryFn: () =>
            unwrap<Decision>(
                api.POST('/api/v1/countries/{code}/evaluations', {
                    params: { path: { code: country } },
                    // The query is disabled without a request.
                    body: request as Schema<'CaseRequest'>,
                }),
            ),
        enabled: request !== undefined,
        placeholderData: keepPreviousData,
        staleTime: Number.POSITIVE_INFINITY,
        gcTime: 60_000,
        // A retry would not make invalid figures valid.
        retry: (failures, error) => failures < 2 && error instanceof ApiError && error.isTemporary,
    });
    const isBusy = props.isTyping || query.isPlaceholderData || query.isFetching;
    return (
        <Card aria-busy={isBusy}>
            <Group justify="space-between" mb="md">
                <Title order={2} size="h4">
                    {t('what_if.result')}
                </Title>
                {isBusy && query.data && <Loader size="sm" aria-hidden />}
            </Group>
            {request === undefined ? (
                <Empty title={t('what_if.incomplete')} hint={t('what_if.incomplete_hint')} />
            ) : (
                <>
                    <InvalidFigures error={query.error} />
                    <QueryView query={query} lines={8}>
                        {(decision) => (
                            <DecisionOnCase
                                decision={decision}
                                original={original}
                                country={country}
                                currency={currency}
                            />
                        )}
                    </QueryView>
                </>
            )}
        </Card>
    );
}

/** The figures that the server refuses, with the reasons. */
function InvalidFigures({ error }: { error: unknown }) {
    const { t, i18n } = useTranslation();
    const fields = (error instanceof ApiError && error.problem?.errors) || [];
    if (fields.length === 0) return null;
    const name = (pointer: string) => {
        const member = pointer.split('/').at(-1) ?? '';
        return i18n.exists(`input.${member}`) ? t(`input.${member}` as 'input.dti') : t('application.term');
    };
    return (
        <Alert color="orange" mb="md">
            <List size="sm">
                {fields.map(({ pointer, code }) => (
                    <List.Item key={pointer}>
                        {name(pointer)}: {fieldErrorText(code)}
                    </List.Item>
                ))}
            </List>
        </Alert>
    );
}

function DecisionOnCase(props: {
    decision: Decision;
    original: Outcome | undefined;
    country: CountryCode;
    currency: CurrencyCode;
}) {
    const { t } = useTranslation();
    const { decision, original, country, currency } = props;
    return (
        <Stack gap="lg">
            <Group align="flex-start" grow preventGrowOverflow={false} gap="xl">
                <Stack gap={4} miw={200}>
                    <Text size="sm" c="dimmed">
                        {t('decision.outcome')}
                    </Text>
                    <Text fw={650} size="lg" role="status">
                        {t(`status.${decision.status}`)}
                    </Text>
                    {original && (
                        <Group gap="xs">
                            <Text size="sm" c="dimmed">
                                {t('what_if.original')}
                            </Text>
                            <StatusBadge status={original.status} />
                            <Risk score={original.risk_score} band={original.risk_band} />
                        </Group>
                    )}
                </Stack>
                <RiskScore score={decision.risk_score} band={decision.risk_band} />
            </Group>
            <DecisionDetails decision={decision} place={{ country, currency }} />
        </Stack>
    );
}
