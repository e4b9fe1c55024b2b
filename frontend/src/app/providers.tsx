import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import type { ReactNode } from 'react';
import { cssVariables, theme } from '../theme';

/** Theme and notifications. `nonce` is that of the content security policy. */
export function Providers({ nonce, children }: { nonce: string; children: ReactNode }) {
    return (
        <MantineProvider
            theme={theme}
            cssVariablesResolver={cssVariables}
            defaultColorScheme="auto"
            getStyleNonce={() => nonce}
        >
            <Notifications position="bottom-right" />
            {children}
        </MantineProvider>
    );
}
