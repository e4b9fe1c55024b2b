import {
    Accordion,
    Alert,
    Anchor,
    Button,
    Card,
    Group,
    NativeSelect,
    NumberInput,
    SimpleGrid,
    Stack,
    Text,
    TextInput,
    Title,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useRef } from 'react';
import { useTranslation } from 'react-i18next';
import { api, unwrap } from '../../api/client';
import { ApiError } from '../../api/problem';
import { countriesQuery } from '../../api/queries';
import type { CountryCode, Schema } from '../../api/types';
import { countryName, separators } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';
import { fieldErrors, fieldErrorText, notifySuccess, useErrorText } from '../../ui/errors';
import { Page } from '../../ui/page';
import { QueryView } from '../../ui/states';
import { MemberInput } from './member-input';
import { useDocumentCheck } from './use-document-check';

type Country = Schema<'CountryDescription'>;

export function CreatePage() {
    const { t } = useTranslation();
    const countries = useQuery(countriesQuery());
    return (
        <Page title={t('create.title')} subtitle={t('create.hint')}>
            <QueryView query={countries}>{(all) => <CreateForm countries={all} />}</QueryView>
        </Page>
    );
}

interface Values {
    country: CountryCode;
    full_name: string;
    identity_document: string;
    requested_amount: string;
    monthly_income: string;
    term_months: number | string;
    /** The country-specific data; members with an empty string are not sent. */
    members: Record<string, string>;
}

function CreateForm({ countries }: { countries: Country[] }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const navigate = useNavigate();
    const first = countries[0];
    const form = useForm<Values>({
        initialValues: {
            country: first?.code ?? 'ES',
            full_name: '',
            identity_document: '',
            requested_amount: '',
            monthly_income: '',
            term_months: first?.limits.term_months.default ?? 36,
            members: {},
        },
        validate: {
            full_name: (value) => (value.trim() === '' ? t('field.required') : null),
            identity_document: (value) => (value.trim() === '' ? t('field.required') : null),
            requested_amount: (value) => (value === '' ? t('field.required') : null),
            monthly_income: (value) => (value === '' ? t('field.required') : null),
            term_months: (value) => (value === '' ? t('field.required') : null),
        },
    });
    const { values } = form;
    const country = countries.find(({ code }) => code === values.country) ?? first;
    const check = useDocumentCheck(values.country, values.identity_document);
    // A request that is sent twice with the same idempotency key creates one application. Different content needs a new key.
    const key = useRef({ content: '', value: '' });

    const create = useMutation({
        mutationFn: (body: Schema<'CreateRequest'>) => {
            const content = JSON.stringify(body);
            if (key.current.content !== content) key.current = { content, value: crypto.randomUUID() };
            return unwrap(
                api.POST('/api/v1/applications', {
                    body,
                    params: { header: { 'Idempotency-Key': key.current.value } },
                }),
            );
        },
        onSuccess: ({ id }) => {
            notifySuccess(t('create.done'));
            return navigate({ to: '/console/applications/$id', params: { id } });
        },
        onError: (error) => {
            for (const [pointer, text] of Object.entries(fieldErrors(error))) {
                form.setFieldError(pointer.replace('/country_specific_data/', 'members.').replace(/^\//, ''), text);
            }
        },
    });

    if (country === undefined) return null;
    const submit = form.onSubmit((entered) => {
        if (!create.isPending) create.mutate(requestBody(entered, country));
    });
    const amount = (name: 'requested_amount' | 'monthly_income') => {
        return {
            value: values[name],
            error: form.errors[name],
            // The exact text, because a JavaScript number cannot represent every amount.
            onValueChange: ({ value }: { value: string }) => form.setFieldValue(name, value),
            ...separators(country.code),
            decimalScale: 2,
            allowNegative: false,
            hideControls: true,
            inputMode: 'decimal' as const,
            rightSection: (
                <Text size="xs" c="dimmed" pr="sm">
                    {country.currency}
                </Text>
            ),
            rightSectionWidth: 56,
            withAsterisk: true,
        };
    };
    const verdict =
        check.data && !check.data.valid
            ? check.data.reasons.map((reason) => fieldErrorText(reason)).join(' ')
            : undefined;

    return (
        <form onSubmit={submit} noValidate>
            <Stack maw={860} gap="lg">
                {create.isError && <CreateFailure error={create.error} />}
                <Card>
                    <Title order={2} size="h4" mb="md">
                        {t('create.request')}
                    </Title>
                    <SimpleGrid cols={{ base: 1, sm: 2 }}>
                        <NativeSelect
                            label={t('application.country')}
                            withAsterisk
                            data={countries.map(({ code }) => ({ value: code, label: countryName(code, language) }))}
                            {...form.getInputProps('country')}
                        />
                        <TextInput
                            label={t('create.full_name')}
                            withAsterisk
                            maxLength={255}
                            autoComplete="off"
                            {...form.getInputProps('full_name')}
                        />
                        <TextInput
                            label={t('create.document', { kinds: documentKinds(country) })}
                            description={t('create.document_example', { sample: country.document.sample })}
                            withAsterisk
                            maxLength={50}
                            autoComplete="off"
                            autoCapitalize="characters"
                            spellCheck={false}
                            {...form.getInputProps('identity_document')}
                            error={form.errors['identity_document'] ?? verdict}
                        />
                        <NumberInput
                            label={t('create.term')}
                            description={t('create.term_range', country.limits.term_months)}
                            withAsterisk
                            min={country.limits.term_months.min}
                            max={country.limits.term_months.max}
                            allowDecimal={false}
                            allowNegative={false}
                            {...form.getInputProps('term_months')}
                        />
                        <NumberInput label={t('application.requested_amount')} {...amount('requested_amount')} />
                        <NumberInput label={t('application.monthly_income')} {...amount('monthly_income')} />
                    </SimpleGrid>
                </Card>
                <Accordion variant="contained" radius="md" order={2}>
                    <Accordion.Item value="members">
                        <Accordion.Control>
                            <Text fw={600}>{t('create.members')}</Text>
                            <Text size="sm" c="dimmed">
                                {t('create.members_hint')}
                            </Text>
                        </Accordion.Control>
                        <Accordion.Panel>
                            <SimpleGrid cols={{ base: 1, sm: 2 }}>
                                {country.country_specific_data.map((member) => (
                                    <MemberInput
                                        key={`${country.code}.${member.name}`}
                                        member={member}
                                        country={country}
                                        value={values.members[member.name] ?? ''}
                                        error={form.errors[`members.${member.name}`]}
                                        onChange={(value) => {
                                            form.setFieldValue('members', {
                                                ...form.values.members,
                                                [member.name]: value,
                                            });
                                            form.clearFieldError(`members.${member.name}`);
                                        }}
                                    />
                                ))}
                            </SimpleGrid>
                        </Accordion.Panel>
                    </Accordion.Item>
                </Accordion>
                <Group justify="flex-end">
                    <Button variant="default" component={Link} to="/console/applications">
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" loading={create.isPending}>
                        {t('create.submit')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}

function documentKinds(country: Country): string {
    return country.document.kinds.map((kind) => kind.replaceAll('_', ' ')).join(' / ');
}

function requestBody(values: Values, country: Country): Schema<'CreateRequest'> {
    const members = country.country_specific_data
        .map((member) => [member, (values.members[member.name] ?? '').trim()] as const)
        .filter(([, value]) => value !== '')
        .map(([{ name, kind }, value]) => {
            if (kind === 'flag') return [name, value === 'true'] as const;
            return [name, kind === 'integer' ? Number(value) : value] as const;
        });
    return {
        country: country.code,
        full_name: values.full_name.trim(),
        identity_document: values.identity_document.trim(),
        requested_amount: values.requested_amount,
        monthly_income: values.monthly_income,
        term_months: Number(values.term_months),
        ...(members.length > 0 && { country_specific_data: Object.fromEntries(members) }),
    };
}

/** Why the application was not created. Field errors are shown next to their fields. */
function CreateFailure({ error }: { error: unknown }) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const duplicate =
        error instanceof ApiError && error.code === 'duplicate_application' ? error.problem?.application_id : undefined;
    return (
        <Alert color={duplicate ? 'orange' : 'red'} role="alert" title={t('create.failed')}>
            <Text size="sm">{errorText(error)}</Text>
            {duplicate && (
                <Anchor component={Link} to={`/console/applications/${duplicate}`} size="sm">
                    {t('create.open_duplicate')}
                </Anchor>
            )}
        </Alert>
    );
}
