import { Button, Card, Group, NativeSelect, SimpleGrid, TextInput } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconFilter, IconFilterOff, IconSearch } from '@tabler/icons-react';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, memo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { type DocumentFilter, type ListQuery } from '../../api/queries';
import { RISK_BANDS, STATUSES } from '../../api/types';

type Value = Pick<ListQuery, 'country' | 'status' | 'risk_band' | 'from' | 'to' | 'min_amount' | 'max_amount' | 'sort'>;

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
import { CountryFilter } from '../../ui/country-select';

interface Props {
    value: { [Name in keyof Value]: string | undefined };
    document: DocumentFilter | undefined;
    onDocument: (document: DocumentFilter | undefined) => void;
    onChange: (value: Value) => void;
}

/**
 * The filters of the list. No filter is set unless the reader has chosen it. An update of a row does not render them again.
 */
export const Filters = memo(function Filters(props: Props) {
    const { t } = useTranslation();
    // The key of the search field: a new key empties the field.
    const [cleared, setCleared] = useState(0);
    const value = props.value as Value;
    const set = (change: { [Name in keyof Value]?: string | undefined }) =>
        props.onChange({ ...value, ...change } as Value);
    const isFiltered = props.document !== undefined || Object.values(value).some((each) => each !== undefined);
    // On a phone, there is no space for all filters above the list.
    const isWide = useMediaQuery('(min-width: 48em)', true, { getInitialValueInEffect: false });
    const [isOpen, setOpen] = useState(false);
    const isShown = isWide || isOpen;
    const all = { value: '', label: t('filter.all') };

    return (
        <Card component="search" padding="md">
            <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} spacing="sm" verticalSpacing="xs">
                <Search
                    key={cleared}
                    country={value.country}
                    initial={props.document?.identity_document ?? ''}
                    onDocument={props.onDocument}
                />
                {isShown && (
                    <>
                        <CountryFilter value={value.country} onChange={(country) => set({ country })} />
                        <NativeSelect
                            label={t('application.status')}
                            value={value.status ?? ''}
                            data={[all, ...STATUSES.map((status) => ({ value: status, label: t(`status.${status}`) }))]}
                            onChange={(event) => set({ status: event.currentTarget.value || undefined })}
                        />
                        <NativeSelect
                            label={t('application.risk')}
                            value={value.risk_band ?? ''}
                            data={[all, ...RISK_BANDS.map((band) => ({ value: band, label: t(`risk.${band}`) }))]}
                            onChange={(event) => set({ risk_band: event.currentTarget.value || undefined })}
                        />
                        <Committed
                            key={`min ${value.min_amount}`}
                            label={t('filter.min_amount')}
                            value={value.min_amount}
                            inputMode="decimal"
                            onCommit={(min_amount) => set({ min_amount })}
                        />
                        <Committed
                            key={`max ${value.max_amount}`}
                            label={t('filter.max_amount')}
                            value={value.max_amount}
                            inputMode="decimal"
                            onCommit={(max_amount) => set({ max_amount })}
                        />
                        <TextInput
                            type="date"
                            label={t('filter.from')}
                            value={value.from ?? ''}
                            onChange={(event) => set({ from: event.currentTarget.value || undefined })}
                        />
                        <TextInput
                            type="date"
                            label={t('filter.to')}
                            value={value.to ?? ''}
                            onChange={(event) => set({ to: event.currentTarget.value || undefined })}
                        />
                    </>
                )}
            </SimpleGrid>
            <Group justify="space-between" align="flex-end" mt="sm">
                <Button
                    hiddenFrom="sm"
                    variant="default"
                    leftSection={<IconFilter size={16} aria-hidden />}
                    aria-expanded={isShown}
                    onClick={() => setOpen(!isOpen)}
                >
                    {t('filter.show')}
                </Button>
                <NativeSelect
                    aria-label={t('filter.sort')}
                    value={value.sort ?? '-created_at'}
                    data={[
                        { value: '-created_at', label: t('filter.newest') },
                        { value: 'created_at', label: t('filter.oldest') },
                    ]}
                    onChange={(event) =>
                        set({ sort: event.currentTarget.value === 'created_at' ? 'created_at' : undefined })
                    }
                />
                <Button
                    variant="subtle"
                    leftSection={<IconFilterOff size={16} aria-hidden />}
                    disabled={!isFiltered}
                    onClick={() => {
                        setCleared(cleared + 1);
                        props.onDocument(undefined);
                        props.onChange({});
                    }}
                >
                    {t('filter.clear')}
                </Button>
            </Group>
        </Card>
    );
});

/** Opens an application by its identifier, or searches for an identity document of the chosen country. */
function Search(props: {
    country: Value['country'];
    initial: string;
    onDocument: (document: DocumentFilter | undefined) => void;
}) {
    const { t } = useTranslation();
    const navigate = useNavigate();
    const [text, setText] = useState(props.initial);
    const [error, setError] = useState<string>();
    const { country } = props;

    const submit = (event: FormEvent) => {
        event.preventDefault();
        const wanted = text.trim();
        setError(undefined);
        if (wanted === '') props.onDocument(undefined);
        else if (UUID.test(wanted))
            void navigate({ to: '/console/applications/$id', params: { id: wanted.toLowerCase() } });
        else if (country === undefined) setError(t('filter.document_needs_country'));
        else props.onDocument({ country, identity_document: wanted });
    };
    return (
        <form onSubmit={submit}>
            <TextInput
                label={t('filter.search')}
                placeholder={t('filter.search_placeholder')}
                leftSection={<IconSearch size={16} aria-hidden />}
                autoComplete="off"
                spellCheck={false}
                enterKeyHint="search"
                value={text}
                error={error}
                onChange={(event) => setText(event.currentTarget.value)}
            />
        </form>
    );
}

/** A text input that takes effect when the reader leaves the field or presses Enter. */
function Committed(props: {
    label: string;
    value: string | undefined;
    inputMode: 'decimal';
    onCommit: (value: string | undefined) => void;
}) {
    const { t } = useTranslation();
    const [text, setText] = useState(props.value ?? '');
    const written = text.trim().replace(',', '.');
    const isValid = written === '' || /^\d{1,10}(\.\d{1,2})?$/.test(written);
    const commit = () => {
        if (isValid && written !== (props.value ?? '')) props.onCommit(written || undefined);
    };
    return (
        <TextInput
            label={props.label}
            inputMode={props.inputMode}
            value={text}
            error={isValid ? undefined : t('field.bad_amount')}
            onChange={(event) => setText(event.currentTarget.value)}
            onBlur={commit}
            onKeyDown={(event) => {
                if (event.key === 'Enter') commit();
            }}
        />
    );
}
