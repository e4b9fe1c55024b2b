import { NativeSelect } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { chooseLanguage, type Language, LANGUAGES, useLanguage } from '../i18n/i18n';

export function LanguageSelect({ onChoose }: { onChoose?: (language: Language) => void }) {
    const { t } = useTranslation();
    const language = useLanguage();
    return (
        <NativeSelect
            aria-label={t('app.language')}
            size="sm"
            w={130}
            value={language}
            data={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))}
            onChange={(event) => {
                const chosen = event.currentTarget.value as Language;
                void chooseLanguage(chosen);
                onChoose?.(chosen);
            }}
        />
    );
}
