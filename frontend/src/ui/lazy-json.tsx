import { Button, Code, ScrollArea, Text } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

/** JSON that is rendered on demand, because it can be long. A dash stands for an empty value. */
export function LazyJson({ value, about }: { value: unknown; about: string }) {
    const { t } = useTranslation();
    const [isShown, setShown] = useState(false);
    const isEmpty = value === null || value === undefined || (typeof value === 'object' && !hasMembers(value));
    if (isEmpty) return <Text c="dimmed">–</Text>;
    return (
        <>
            <Button
                size="compact-xs"
                variant="default"
                aria-expanded={isShown}
                aria-label={`${t(isShown ? 'live.hide' : 'live.show')}: ${about}`}
                onClick={() => setShown(!isShown)}
            >
                {t(isShown ? 'live.hide' : 'live.show')}
            </Button>
            {isShown && (
                <ScrollArea.Autosize
                    mah={320}
                    mt="xs"
                    viewportProps={{ tabIndex: 0, role: 'region', 'aria-label': about }}
                >
                    <Code block translate="no">
                        {JSON.stringify(value, null, 2)}
                    </Code>
                </ScrollArea.Autosize>
            )}
        </>
    );
}

function hasMembers(value: object): boolean {
    return Object.keys(value).length > 0;
}
