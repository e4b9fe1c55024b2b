import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { Page } from '../../ui/page';
import { EventConsumers } from './event-consumers';
import { EventDeadLetters, type EventDeadLetterFilters } from './event-dead-letters';

const ROUTE = '/console/events';

/** The consumers of events, and the events that they could not handle. The filters of the dead letters are in the address. */
export function EventsPage() {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const filters = useSearch({ from: ROUTE });
    const consumers = useQuery({
        queryKey: ['events', 'consumers'],
        queryFn: () => unwrap(api.GET('/api/v1/admin/events/consumers')),
        refetchInterval: 5000,
    });
    const names = consumers.data?.consumers.map(({ name }) => name) ?? [];
    const show = useCallback((search: EventDeadLetterFilters) => void navigate({ to: ROUTE, search }), [navigate]);
    const showDeadLetters = useCallback((consumer: string) => show({ consumer }), [show]);
    return (
        <Page title={t('events.title')} subtitle={t('events.hint')}>
            <EventConsumers query={consumers} onDeadLetters={showDeadLetters} />
            <EventDeadLetters filters={filters} consumers={names} onFilters={show} />
        </Page>
    );
}
