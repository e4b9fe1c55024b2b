import { useCallback } from 'react';
import { useTranslation } from 'react-i18next';
import { countryName } from '../../format/locale';
import { useLanguage } from '../../i18n/i18n';

/** Returns a function for the displayed name of a lane: the name of its country, if it has one, or else its own name. */
export function useLaneName(): (lane: string) => string {
    const { t } = useTranslation();
    const language = useLanguage();
    return useCallback(
        (lane) => {
            if (lane === 'webhooks') return t('lanes.webhooks');
            if (lane === 'deliveries') return t('lanes.deliveries');
            return /^[A-Z]{2}$/.test(lane) ? countryName(lane, language) : lane;
        },
        [t, language],
    );
}
