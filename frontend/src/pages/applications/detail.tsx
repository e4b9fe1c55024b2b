import { Alert, Button, Card, CopyButton, Grid, Group, List, Stack, Text, Title } from '@mantine/core';
import { IconAlertTriangle, IconCheck, IconCopy } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { applicationQuery, auditQuery } from '../../api/queries';
import type { Application } from '../../api/types';
import { useLiveApplication } from '../../live/use-live';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { Details } from '../../ui/details';
import { StatusBadge } from '../../ui/badges';
import { Page } from '../../ui/page';
import { QueryView } from '../../ui/states';
import { Amount, Country, Time } from '../../ui/text';
import { Actions } from './actions';
import { AssignmentCard } from './assignment-card';
import { BankingData } from './banking';
import { DecisionCard } from './decision';
import { MemberValues } from './members';
import { MoreActions } from './more-actions';
import { PlaceBar } from './place-bar';
import { Timeline } from './timeline';

export function ApplicationPage() {
    const { id } = useParams({ from: '/console/applications/$id' });
    useLiveApplication(id);
    const query = useQuery(applicationQuery(id));
    return (
        <Stack gap="md">
            <PlaceBar id={id} />
            <QueryView query={query} lines={8}>
                {(application) => <Detail key={id} application={application} />}
            </QueryView>
        </Stack>
    );
}

function Detail({ application }: { application: Application }) {
    const { t } = useTranslation();
    const session = useSession();
    const isStaff = session !== undefined && isAtLeast(session.role, 'analyst');
    const audit = useQuery(auditQuery(application.id));
    const { country, currency } = application;
    return (
        <Page
            title={application.full_name}
            subtitle={
                <Group gap="sm">
                    <StatusBadge status={application.status} size="lg" />
                    <Text fw={600} c="var(--mantine-color-text)">
                        <Amount amount={application.requested_amount} currency={currency} country={country} />
                    </Text>
                    <Text>
                        <Country code={country} />
                    </Text>
                </Group>
            }
            actions={
                <>
                    <Actions application={application} />
                    <MoreActions application={application} />
                </>
            }
        >
            {application.processing_errors && application.processing_errors.length > 0 && (
                <Alert
                    color="orange"
                    icon={<IconAlertTriangle aria-hidden />}
                    title={t('application.processing_errors')}
                >
                    <List size="sm">
                        {application.processing_errors.map((error) => (
                            <List.Item key={error}>{error}</List.Item>
                        ))}
                    </List>
                </Alert>
            )}
            <Grid gap="lg">
                <Grid.Col span={{ base: 12, lg: 8 }}>
                    <Stack gap="lg">
                        <DecisionCard application={application} />
                        {application.banking_data && (
                            <BankingData report={application.banking_data} country={country} currency={currency} />
                        )}
                    </Stack>
                </Grid.Col>
                <Grid.Col span={{ base: 12, lg: 4 }}>
                    <Stack gap="lg">
                        {isStaff && application.status === 'UNDER_REVIEW' && (
                            <AssignmentCard application={application} />
                        )}
                        <Card>
                            <Title order={2} size="h4" mb="md">
                                {t('application.request')}
                            </Title>
                            <Details
                                entries={[
                                    [t('application.identity_document'), application.identity_document],
                                    [
                                        t('application.requested_amount'),
                                        <Amount
                                            key="a"
                                            amount={application.requested_amount}
                                            currency={currency}
                                            country={country}
                                        />,
                                    ],
                                    [
                                        t('application.monthly_income'),
                                        <Amount
                                            key="i"
                                            amount={application.monthly_income}
                                            currency={currency}
                                            country={country}
                                        />,
                                    ],
                                    [
                                        t('application.term'),
                                        t('application.months', { count: application.term_months }),
                                    ],
                                    [t('application.created_by'), application.created_by],
                                    [
                                        t('application.created_at'),
                                        <Time key="t" time={application.created_at} country={country} />,
                                    ],
                                    [t('application.id'), <Identifier key="id" id={application.id} />],
                                ]}
                            />
                            <MemberValues application={application} />
                        </Card>
                        <Card>
                            <Title order={2} size="h4" mb="md">
                                {t('audit.title')}
                            </Title>
                            <QueryView query={audit} lines={4}>
                                {(trail) => <Timeline entries={trail.entries} country={country} />}
                            </QueryView>
                        </Card>
                    </Stack>
                </Grid.Col>
            </Grid>
        </Page>
    );
}

function Identifier({ id }: { id: string }) {
    const { t } = useTranslation();
    return (
        <CopyButton value={id}>
            {({ copied, copy }) => (
                <Button
                    variant="default"
                    size="compact-xs"
                    onClick={copy}
                    title={id}
                    leftSection={copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden />}
                >
                    {copied ? t('action.copied') : t('action.copy')}
                </Button>
            )}
        </CopyButton>
    );
}
