import {
    ActionIcon,
    AppShell,
    Badge,
    Burger,
    Button,
    Divider,
    Group,
    Menu,
    NavLink,
    ScrollArea,
    Text,
    Tooltip,
    useComputedColorScheme,
    useMantineColorScheme,
} from '@mantine/core';
import { ModalsProvider } from '@mantine/modals';
import { useDisclosure } from '@mantine/hooks';
import { IconLogout, IconMoon, IconSettings, IconSun, IconUser } from '@tabler/icons-react';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { useEffect } from 'react';
import { useTranslation } from 'react-i18next';
import { type ConnectionState, useConnectionState } from '../live/connection';
import { useOutdatedLists } from '../live/use-live';
import { isAtLeast } from '../session/roles';
import { type Session, signOut, useSession } from '../session/session';
import { useAppliedSettings, useSaveSettings } from '../session/settings';
import { LanguageSelect } from './language-select';
import { Logo } from './logo';
import { NAVIGATION } from './navigation';

export function Shell() {
    const session = useSession();
    useOutdatedLists();
    return session === undefined ? null : <Frame session={session} />;
}

/** Header, navigation and the current page. */
function Frame({ session }: { session: Session }) {
    const { t } = useTranslation();
    const [isOpen, { toggle, close }] = useDisclosure();
    const pathname = useRouterState({ select: (state) => state.location.pathname });
    useEffect(close, [pathname, close]);
    useAppliedSettings();
    return (
        <AppShell
            header={{ height: 60 }}
            navbar={{ width: 240, breakpoint: 'md', collapsed: { mobile: !isOpen } }}
            padding={{ base: 'md', md: 'xl' }}
        >
            <Button component="a" href="#content" className="skip-link" variant="filled">
                {t('app.skip')}
            </Button>
            <AppShell.Header>
                <Group h="100%" px="md" justify="space-between" wrap="nowrap">
                    <Group gap="sm" wrap="nowrap">
                        <Burger
                            opened={isOpen}
                            onClick={toggle}
                            hiddenFrom="md"
                            size="sm"
                            aria-label={t('app.navigation')}
                        />
                        <Logo />
                    </Group>
                    <Group gap="xs" wrap="nowrap">
                        <Connection />
                        <Group visibleFrom="sm" gap="xs">
                            <StoredLanguage />
                        </Group>
                        <ColorScheme />
                        <Account session={session} />
                    </Group>
                </Group>
            </AppShell.Header>
            <AppShell.Navbar p="sm" aria-label={t('app.navigation')}>
                <AppShell.Section grow component={ScrollArea}>
                    <Navigation session={session} pathname={pathname} />
                </AppShell.Section>
                <AppShell.Section hiddenFrom="sm" pt="sm">
                    <StoredLanguage />
                </AppShell.Section>
            </AppShell.Navbar>
            <AppShell.Main id="content" tabIndex={-1}>
                <ModalsProvider>
                    <Outlet />
                </ModalsProvider>
            </AppShell.Main>
        </AppShell>
    );
}

function Navigation({ session, pathname }: { session: Session; pathname: string }) {
    const { t } = useTranslation();
    return NAVIGATION.filter((section) => isAtLeast(session.role, section.role)).map((section, index) => (
        <div key={section.title}>
            {index > 0 && <Divider my="sm" />}
            <Text size="xs" fw={600} c="dimmed" px="sm" pb={4} pt={index === 0 ? 'xs' : 0}>
                {t(section.title)}
            </Text>
            {section.items
                .filter((item) => isAtLeast(session.role, item.role ?? section.role))
                .map((item) => (
                    <NavLink
                        key={item.to}
                        component={Link}
                        to={item.to}
                        label={t(item.label)}
                        leftSection={<item.icon size={18} stroke={1.6} aria-hidden />}
                        active={pathname === item.to || (item.hasPages === true && pathname.startsWith(`${item.to}/`))}
                        variant="light"
                    />
                ))}
        </div>
    ));
}

const CONNECTION_COLORS: Record<ConnectionState, string> = {
    off: 'gray',
    connecting: 'gray',
    live: 'green',
    interrupted: 'orange',
};

function Connection() {
    const { t } = useTranslation();
    const state = useConnectionState();
    return (
        <Tooltip label={t(`connection.${state}_hint`)}>
            <Badge variant="dot" color={CONNECTION_COLORS[state]} role="status" size="lg">
                {t(`connection.${state}`)}
            </Badge>
        </Tooltip>
    );
}

function StoredLanguage() {
    const { mutate } = useSaveSettings();
    return <LanguageSelect onChoose={(language) => mutate({ language })} />;
}

function ColorScheme() {
    const { t } = useTranslation();
    const { setColorScheme } = useMantineColorScheme();
    const { mutate } = useSaveSettings();
    const isDark = useComputedColorScheme('light', { getInitialValueInEffect: false }) === 'dark';
    const label = isDark ? t('app.use_light') : t('app.use_dark');
    return (
        <Tooltip label={label}>
            <ActionIcon
                variant="default"
                size="lg"
                aria-label={label}
                onClick={() => {
                    const theme = isDark ? 'light' : 'dark';
                    setColorScheme(theme);
                    mutate({ theme });
                }}
            >
                {isDark ? <IconSun size={18} aria-hidden /> : <IconMoon size={18} aria-hidden />}
            </ActionIcon>
        </Tooltip>
    );
}

function Account({ session }: { session: Session }) {
    const { t } = useTranslation();
    return (
        <Menu position="bottom-end" width={220}>
            <Menu.Target>
                <ActionIcon variant="default" size="lg" aria-label={t('account.menu', { account: session.account })}>
                    <IconUser size={18} aria-hidden />
                </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
                <Menu.Label>
                    <Text size="sm" fw={600} className="wrap-anywhere" c="var(--mantine-color-text)" translate="no">
                        {session.account}
                    </Text>
                    <Text size="xs">{t(`role.${session.role}`)}</Text>
                </Menu.Label>
                <Menu.Divider />
                <Menu.Item component={Link} to="/console/account" leftSection={<IconSettings size={16} aria-hidden />}>
                    {t('own_account.title')}
                </Menu.Item>
                <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={() => void signOut()}>
                    {t('account.sign_out')}
                </Menu.Item>
            </Menu.Dropdown>
        </Menu>
    );
}
