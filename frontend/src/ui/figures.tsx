import { Card, SimpleGrid, Text } from '@mantine/core';

/** A row of figures with labels. */
export function Figures({ figures }: { figures: [name: string, figure: string][] }) {
    return (
        <SimpleGrid cols={{ base: 2, lg: 4 }}>
            {figures.map(([name, figure]) => (
                <Card key={name} padding="md">
                    <Text size="sm" c="dimmed">
                        {name}
                    </Text>
                    <Text fw={650} fz={28} lh={1.3}>
                        {figure}
                    </Text>
                </Card>
            ))}
        </SimpleGrid>
    );
}
