import { MantineProvider } from '@mantine/core';
import { ModalsProvider } from '@mantine/modals';
import { Notifications } from '@mantine/notifications';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { cssVariables, theme } from '../theme';

/** Theme, dialogs and notifications. `nonce` is that of the content security policy. */
export function Providers({ nonce, children }: { nonce: string; children: ReactNode }) {
    const { t } = useTranslation();
    return (
        <MantineProvider
            theme={theme}
            cssVariablesResolver={cssVariables}
            defaultColorScheme="auto"
            getStyleNonce={() => nonce}
        >
            <ModalsProvider labels={{ confirm: t('action.confirm'), cancel: t('action.cancel') }}>
                <Notifications position="bottom-right" />
                {children}
            </ModalsProvider>
        </MantineProvider>
    );
}
