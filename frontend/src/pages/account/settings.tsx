import { Alert, Button, Card, Group, NativeSelect, Select, Stack, Text, Title } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import type { Settings } from '../../api/types';
import { formatTime } from '../../format/locale';
import { type Language, LANGUAGES, useLanguage } from '../../i18n/i18n';
import { settingsQuery, useSaveSettings } from '../../session/settings';
import { fieldErrors, notifySuccess, useErrorText } from '../../ui/errors';
import { QueryView } from '../../ui/states';

const THEMES = ['auto', 'light', 'dark'] as const;

/** All time zones that the browser knows, and UTC, which browsers list only under another name. */
const TIME_ZONES = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')];

/** The settings that apply in every browser of the account. */
export function SettingsCard() {
    const { t } = useTranslation();
    const query = useQuery(settingsQuery());
    return (
        <Card component="section" aria-labelledby="settings">
            <Title order={2} size="h4" id="settings">
                {t('own_account.settings')}
            </Title>
            <Text size="sm" c="dimmed" mb="md">
                {t('own_account.settings_hint')}
            </Text>
            <QueryView query={query} lines={3}>
                {/* The form starts again with the values that another browser has saved. */}
                {(settings) => <SettingsForm key={JSON.stringify(settings)} settings={settings} />}
            </QueryView>
        </Card>
    );
}

function SettingsForm({ settings }: { settings: Settings }) {
    const { t } = useTranslation();
    const language = useLanguage();
    const errorText = useErrorText();
    const form = useForm({
        initialValues: {
            language: settings.language ?? '',
            time_zone: settings.time_zone,
            theme: settings.theme,
        },
    });
    const save = useSaveSettings();
    const submit = form.onSubmit((values) =>
        save.mutate(
            {
                language: isLanguage(values.language) ? values.language : null,
                time_zone: values.time_zone,
                theme: THEMES.find((theme) => theme === values.theme) ?? 'auto',
            },
            {
                onSuccess: () => notifySuccess(t('own_account.saved')),
                onError: (error) => {
                    const text = fieldErrors(error)['/time_zone'];
                    if (text) form.setFieldError('time_zone', text);
                },
            },
        ),
    );
    const now = formatTime(new Date().toISOString(), language, false, form.values.time_zone ?? undefined);
    return (
        <form onSubmit={submit} noValidate>
            <Stack maw={440}>
                {save.isError && (
                    <Alert color="red" role="alert">
                        {errorText(save.error)}
                    </Alert>
                )}
                <NativeSelect
                    label={t('app.language')}
                    data={[
                        { value: '', label: t('own_account.browser_language') },
                        ...Object.entries(LANGUAGES).map(([value, label]) => ({ value, label })),
                    ]}
                    {...form.getInputProps('language')}
                />
                <Select
                    label={t('own_account.time_zone')}
                    description={t('own_account.time_zone_hint', { now })}
                    placeholder={t('own_account.browser_time_zone')}
                    data={TIME_ZONES}
                    searchable
                    clearable
                    limit={50}
                    nothingFoundMessage={t('own_account.no_time_zone')}
                    clearButtonProps={{ 'aria-label': t('own_account.clear_time_zone') }}
                    {...form.getInputProps('time_zone')}
                />
                <NativeSelect
                    label={t('own_account.theme')}
                    data={THEMES.map((theme) => ({ value: theme, label: t(`own_account.theme_${theme}`) }))}
                    {...form.getInputProps('theme')}
                />
                <Group>
                    <Button type="submit" loading={save.isPending}>
                        {t('own_account.save')}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}

function isLanguage(text: string): text is Language {
    return text in LANGUAGES;
}
