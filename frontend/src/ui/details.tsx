import { Group, Stack, Text } from '@mantine/core';
import type { ReactNode } from 'react';

/** Names with their values, one pair per line. */
export function Details({ entries }: { entries: [name: string, value: ReactNode][] }) {
    return (
        <Stack component="dl" gap={8} m={0}>
            {entries.map(([name, value]) => (
                <Group key={name} justify="space-between" gap="md" align="baseline" wrap="nowrap">
                    <Text component="dt" size="sm" c="dimmed" flex="0 0 auto" maw="50%">
                        {name}
                    </Text>
                    <Text component="dd" size="sm" m={0} ta="right" className="wrap-anywhere">
                        {value}
                    </Text>
                </Group>
            ))}
        </Stack>
    );
}
