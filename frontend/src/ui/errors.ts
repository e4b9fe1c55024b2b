import { notifications } from '@mantine/notifications';
import i18next from 'i18next';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../api/problem';

/** A function that explains an error in the reader's language. */
export function useErrorText(): (error: unknown) => string {
    useTranslation();
    return errorText;
}

/** Explains an error in the reader's language. Codes without a text of their own fall back to the class of the status. */
export function errorText(error: unknown): string {
    if (!(error instanceof ApiError)) return i18next.t('problem.unexpected');
    const key = `problem.${error.code}` as const;
    if (i18next.exists(key)) return i18next.t(key as 'problem.unexpected');
    return i18next.t(error.status >= 500 ? 'problem.server' : 'problem.unexpected');
}

const closeButton = () => ({ 'aria-label': i18next.t('action.close') });

export function notifyError(error: unknown): void {
    notifications.show({
        color: 'red',
        title: i18next.t('state.failed'),
        message: errorText(error),
        autoClose: 8000,
        closeButtonProps: closeButton(),
    });
}

export function notifySuccess(message: string): void {
    notifications.show({ color: 'green', message, closeButtonProps: closeButton() });
}

/** The texts for the invalid values of a request, by pointer into its body. */
export function fieldErrors(error: unknown): Record<string, string> {
    if (!(error instanceof ApiError) || !error.problem?.errors) return {};
    return Object.fromEntries(error.problem.errors.map(({ pointer, code }) => [pointer, fieldErrorText(code)]));
}

/** The text for the code of an invalid value. */
export function fieldErrorText(code: string): string {
    const key = `field.${code}`;
    return i18next.exists(key) ? i18next.t(key as 'field.invalid') : i18next.t('field.invalid');
}
