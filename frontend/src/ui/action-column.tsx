import { VisuallyHidden } from '@mantine/core';
import { useTranslation } from 'react-i18next';

/** The heading of a column of buttons, which only screen readers need. */
export function ActionColumn() {
    const { t } = useTranslation();
    return <VisuallyHidden>{t('action.column')}</VisuallyHidden>;
}
