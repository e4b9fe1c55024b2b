import { Button, Card, Group, Stack, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { assignmentQuery } from '../../api/review-queries';
import type { Application } from '../../api/types';
import { useLiveReviews } from '../../live/use-live';
import { useSession } from '../../session/session';
import { QueryView } from '../../ui/states';
import { AssignmentState } from '../reviews/assignment';
import { useAssignment } from '../reviews/use-assignment';

/** The assignment of the application, with the actions that the reader may take. For staff only. */
export function AssignmentCard({ application }: { application: Application }) {
    const { t } = useTranslation();
    const session = useSession();
    useLiveReviews();
    const query = useQuery(assignmentQuery(application.id));
    const { assign, release, isBusy } = useAssignment();
    const { id } = application;
    return (
        <Card>
            <Title order={2} size="h4" mb="md">
                {t('reviews.assignment')}
            </Title>
            <QueryView query={query} lines={2}>
                {({ assignment = null }) => {
                    const isMine = assignment?.assigned_to_name === session?.account;
                    return (
                        <Stack gap="sm">
                            <Group justify="space-between">
                                <AssignmentState assignment={assignment} isMine={isMine} />
                            </Group>
                            <Group gap="xs">
                                {(assignment === null || isMine) && (
                                    <Button
                                        size="xs"
                                        variant="light"
                                        disabled={isBusy}
                                        onClick={() => assign.mutate(id)}
                                    >
                                        {isMine ? t('reviews.extend') : t('reviews.assign')}
                                    </Button>
                                )}
                                {assignment !== null && (isMine || session?.role === 'admin') && (
                                    <Button
                                        size="xs"
                                        variant="default"
                                        disabled={isBusy}
                                        onClick={() => release.mutate(id)}
                                    >
                                        {t('reviews.release')}
                                    </Button>
                                )}
                            </Group>
                        </Stack>
                    );
                }}
            </QueryView>
        </Card>
    );
}
