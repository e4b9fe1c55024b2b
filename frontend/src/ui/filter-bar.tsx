import { Card, NativeSelect, SimpleGrid, TextInput } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Whether a text is the identifier of an application or another record. */
export const isUuid = (text: string) => UUID.test(text);

/** The filters of a list. */
export function FilterBar({ children }: { children: ReactNode }) {
    return (
        <Card component="search" padding="md">
            <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} spacing="sm" verticalSpacing="xs">
                {children}
            </SimpleGrid>
        </Card>
    );
}

/** A choice among values, or all of them. */
export function FilterChoice<Value extends string>(props: {
    label: string;
    value: Value | undefined;
    choices: [value: Value, name: string][];
    onChange: (value: Value | undefined) => void;
}) {
    const { t } = useTranslation();
    return (
        <NativeSelect
            label={props.label}
            value={props.value ?? ''}
            data={[{ value: '', label: t('filter.all') }, ...props.choices.map(([value, label]) => ({ value, label }))]}
            onChange={(event) =>
                props.onChange(props.choices.find(([value]) => value === event.currentTarget.value)?.[0])
            }
        />
    );
}

/** A text input that takes effect when the reader leaves the field or presses Enter. */
export function FilterText(props: {
    label: string;
    /** The current filter, if it can also be changed elsewhere, for example by the address. */
    value?: string | undefined;
    isValid?: (text: string) => boolean;
    onChange: (value: string | undefined) => void;
}) {
    const { t } = useTranslation();
    const [text, setText] = useState(props.value ?? '');
    const [known, setKnown] = useState(props.value);
    if (known !== props.value) {
        setKnown(props.value);
        setText(props.value ?? '');
    }
    const written = text.trim();
    const isValid = written === '' || (props.isValid?.(written) ?? true);
    const commit = () => {
        if (isValid) props.onChange(written || undefined);
    };
    return (
        <TextInput
            label={props.label}
            autoComplete="off"
            spellCheck={false}
            value={text}
            error={isValid ? undefined : t('field.invalid')}
            onChange={(event) => setText(event.currentTarget.value)}
            onBlur={commit}
            onKeyDown={(event) => {
                if (event.key === 'Enter') commit();
            }}
        />
    );
}

/** The first or the last day of a period, in UTC. */
export function FilterDate(props: {
    label: string;
    value: string | undefined;
    onChange: (value: string | undefined) => void;
}) {
    return (
        <TextInput
            type="date"
            label={props.label}
            value={props.value ?? ''}
            onChange={(event) => props.onChange(event.currentTarget.value || undefined)}
        />
    );
}
