import { Text, UnstyledButton } from '@mantine/core';
import type { ReactNode } from 'react';

/** The name of a row as a button that opens its details, with an optional note below. */
export function OpenButton({ name, onOpen, children }: { name: string; onOpen: () => void; children?: ReactNode }) {
    return (
        <UnstyledButton onClick={onOpen}>
            <Text size="sm" fw={600} c="var(--mantine-color-anchor)" className="wrap-anywhere">
                {name}
            </Text>
            {children}
        </UnstyledButton>
    );
}
