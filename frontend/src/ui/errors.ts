import { notifications } from '@mantine/notifications';
import i18next from 'i18next';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../api/problem';
import { formatTime } from '../format/locale';
import { chosenTimeZone } from '../format/time-zone';

/** A function that explains an error in the reader's language. */
export function useErrorText(): (error: unknown) => string {
    useTranslation();
    return errorText;
}

/** Explains an error in the reader's language. Codes without a text of their own fall back to the class of the status. */
export function errorText(error: unknown): string {
    if (!(error instanceof ApiError)) return i18next.t('problem.unexpected');
    const text = problemText(error.code, problemDetails(error));
    return text ?? i18next.t(error.status >= 500 ? 'problem.server' : 'problem.unexpected');
}

/** The values that the texts of problems mention. */
interface ProblemDetails {
    account: string;
    time: string;
}

/** The text for the code of a problem, if it has one of its own. */
export function problemText(code: string, details: ProblemDetails = { account: '', time: '' }): string | undefined {
    const key = [`problem.${code}`, `review_problem.${code}`].find((each) => i18next.exists(each));
    return key && i18next.t(key as 'review_problem.assigned_to_another', { ...details });
}

/** The members of a problem that its text mentions. */
function problemDetails({ problem }: ApiError): ProblemDetails {
    const { assigned_to_name: account = '', expires_at } = problem ?? {};
    return { account, time: expires_at ? formatTime(expires_at, i18next.language, false, chosenTimeZone()) : '' };
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
