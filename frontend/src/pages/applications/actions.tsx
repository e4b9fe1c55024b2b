import { Button, Kbd } from '@mantine/core';
import { useHotkeys } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { statusQuery } from '../../api/queries';
import type { Application, ApplicationStatus } from '../../api/types';
import { isAtLeast } from '../../session/roles';
import { useSession } from '../../session/session';
import { type Change, ChangeDialog, CHANGES } from './change-dialog';

function isChange(status: ApplicationStatus): status is Change {
    return status in CHANGES;
}

/** The changes of status that the account may make now, each with a shortcut. */
export function Actions({ application }: { application: Application }) {
    const { t } = useTranslation();
    const session = useSession();
    const status = useQuery(statusQuery(application.id));
    const [change, setChange] = useState<Change>();
    const isStaff = session !== undefined && isAtLeast(session.role, 'analyst');
    const offered = (status.data?.allowed ?? [])
        .filter(isChange)
        .filter((allowed) => isStaff || allowed === 'CANCELLED');
    useHotkeys(offered.map((each) => [CHANGES[each].hotkey, () => setChange(each), { usePhysicalKeys: true }]));
    return (
        <>
            {offered.map((each) => {
                const { color, icon: Icon, hotkey } = CHANGES[each];
                return (
                    <Button
                        key={each}
                        color={color}
                        variant={each === 'APPROVED' ? 'filled' : 'light'}
                        leftSection={<Icon size={18} aria-hidden />}
                        rightSection={
                            <Kbd size="xs" visibleFrom="md" aria-hidden>
                                {hotkey}
                            </Kbd>
                        }
                        aria-keyshortcuts={hotkey}
                        onClick={() => setChange(each)}
                    >
                        {t(`change.${each}`)}
                    </Button>
                );
            })}
            <ChangeDialog
                change={change}
                application={application}
                isStaff={isStaff}
                onClose={() => setChange(undefined)}
            />
        </>
    );
}
