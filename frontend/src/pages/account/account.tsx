import { useTranslation } from 'react-i18next';
import { useSession } from '../../session/session';
import { Page } from '../../ui/page';
import { PasswordCard } from './password';
import { OwnSessions } from './sessions';
import { SettingsCard } from './settings';

/** Settings, sessions and password of the signed-in account. */
export function AccountPage() {
    const { t } = useTranslation();
    const session = useSession();
    return (
        <Page title={t('own_account.title')} subtitle={session && `${session.account} · ${t(`role.${session.role}`)}`}>
            <SettingsCard />
            <OwnSessions />
            <PasswordCard />
        </Page>
    );
}
