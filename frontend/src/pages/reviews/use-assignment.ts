import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { keys } from '../../api/queries';
import { reviewKeys } from '../../api/review-queries';
import type { CountryCode, Review } from '../../api/types';
import { notifyError, notifySuccess } from '../../ui/errors';

const byId = (id: string) => ({ params: { path: { id } } });

/** Assigns and releases applications under review. Refusals are explained in a notification. */
export function useAssignment() {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const queryClient = useQueryClient();
    // Also after a refusal, because the page then shows an outdated state.
    const reload = () =>
        Promise.all([
            queryClient.invalidateQueries({ queryKey: reviewKeys.all }),
            queryClient.invalidateQueries({ queryKey: keys.applications, refetchType: 'none' }),
        ]);
    const assign = useMutation({
        mutationFn: (id: string) => unwrap(api.PUT('/api/v1/applications/{id}/assignment', byId(id))),
        onSuccess: () => notifySuccess(t('reviews.assigned')),
        onError: notifyError,
        onSettled: reload,
    });
    const release = useMutation({
        mutationFn: (id: string) => unwrap(api.DELETE('/api/v1/applications/{id}/assignment', byId(id))),
        onSuccess: () => notifySuccess(t('reviews.released')),
        onError: notifyError,
        onSettled: reload,
    });
    const next = useMutation({
        mutationFn: (country: CountryCode | undefined) =>
            unwrap<Review | undefined>(api.POST('/api/v1/reviews/next', { body: country ? { country } : {} })),
        onSuccess: (review) => {
            if (review) {
                void navigate({ to: '/console/applications/$id', params: { id: review.application.id } });
            } else {
                notifications.show({
                    message: t('reviews.none_waiting'),
                    closeButtonProps: { 'aria-label': t('action.close') },
                });
            }
        },
        onError: notifyError,
        onSettled: reload,
    });
    return { assign, release, next, isBusy: assign.isPending || release.isPending || next.isPending };
}
