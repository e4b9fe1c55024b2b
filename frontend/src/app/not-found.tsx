import { Button, Container } from '@mantine/core';
import { Link, useRouter } from '@tanstack/react-router';
import { useEffect } from 'react';
import { useTranslation } from 'react-i18next';
import { onLive } from '../live/connection';
import { Empty, Failure } from '../ui/states';

export function NotFoundPage() {
    const { t } = useTranslation();
    return (
        <Container py="xl">
            <Empty
                title={t('not_found.title')}
                hint={t('not_found.hint')}
                action={
                    <Button component={Link} to="/console/applications" mt="sm">
                        {t('not_found.back')}
                    </Button>
                }
            />
        </Container>
    );
}

/** A page that failed to load or to render. It is loaded again when an interruption ends. */
export function RouteFailure({ error }: { error: unknown }) {
    const router = useRouter();
    useEffect(() => onLive(() => void router.invalidate()), [router]);
    return (
        <Container py="xl">
            <Failure error={error} retry={() => void router.invalidate()} />
        </Container>
    );
}
