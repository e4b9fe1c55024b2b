// The languages of the console. Each is loaded when it is chosen.

import i18next from 'i18next';
import { initReactI18next, useTranslation } from 'react-i18next';

export const LANGUAGES = { en: 'English', es: 'Español', pt: 'Português', it: 'Italiano' } as const;
export type Language = keyof typeof LANGUAGES;

const BUNDLES = {
    en: () => import('./en.json'),
    es: () => import('./es.json'),
    pt: () => import('./pt.json'),
    it: () => import('./it.json'),
};

const STORED = 'aval.language';

function isLanguage(text: string | null): text is Language {
    return text !== null && text in LANGUAGES;
}

/** The language chosen earlier, or else the first supported language of the browser. */
export function preferredLanguage(): Language {
    const stored = localStorage.getItem(STORED);
    if (isLanguage(stored)) return stored;
    return navigator.languages.map((tag) => tag.slice(0, 2)).find(isLanguage) ?? 'en';
}

export async function startTranslations(): Promise<void> {
    await i18next.use(initReactI18next).init({
        resources: {},
        lng: 'en',
        fallbackLng: false,
        interpolation: { escapeValue: false },
        react: { useSuspense: false },
    });
    await chooseLanguage(preferredLanguage());
}

export async function chooseLanguage(language: Language): Promise<void> {
    if (!i18next.hasResourceBundle(language, 'translation')) {
        const bundle = await BUNDLES[language]();
        i18next.addResourceBundle(language, 'translation', bundle.default);
    }
    localStorage.setItem(STORED, language);
    document.documentElement.lang = language;
    await i18next.changeLanguage(language);
}

/** The reader's language. */
export function useLanguage(): Language {
    const { i18n } = useTranslation();
    return isLanguage(i18n.language) ? i18n.language : 'en';
}
