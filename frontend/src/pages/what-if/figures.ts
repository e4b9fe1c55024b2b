// The figures of a hypothetical case, and the request that evaluates it.

import type { Application, CountryCode, RiskBand, Schema } from '../../api/types';

type Country = Schema<'CountryDescription'>;
export type AccountStatus = Exclude<NonNullable<Schema<'BankingView'>['account_status']>, 'unknown'>;

export const ACCOUNT_STATUSES: readonly AccountStatus[] = ['active', 'inactive', 'suspended', 'closed'];

/** `''` stands for a value that the bureau has not reported. */
export type Reported = 'true' | 'false' | '';

/** Amounts are the exact text of a decimal; `''` stands for an amount that is not reported. */
export interface Figures {
    requested_amount: string;
    monthly_income: string;
    term_months: number;
    credit_score: number | '';
    monthly_obligations: string;
    average_monthly_income: string;
    has_defaults: Reported;
    verified: Reported;
    account_status: AccountStatus | '';
    thin_file: boolean;
    applied_elsewhere: boolean;
}

export const SCORE_RANGE = { min: 300, max: 850 };

/** The decision of the application, for comparison. */
export interface Outcome {
    status: Application['status'];
    risk_score: string | null;
    risk_band: RiskBand | null;
}

const reported = (value: boolean | null): Reported => (value === null ? '' : value ? 'true' : 'false');

/** The figures of an application with the bureau report that it was decided on. */
export function figuresOf(application: Application): Figures {
    const report = application.banking_data;
    const status = report?.account_status;
    return {
        requested_amount: application.requested_amount,
        monthly_income: application.monthly_income,
        term_months: application.term_months,
        credit_score: report?.credit_score ?? '',
        monthly_obligations: report?.monthly_obligations ?? '',
        average_monthly_income: report?.average_monthly_income ?? '',
        has_defaults: reported(report?.has_defaults ?? null),
        verified: reported(report?.verified ?? null),
        account_status: ACCOUNT_STATUSES.find((each) => each === status) ?? '',
        thin_file: report?.thin_file ?? false,
        applied_elsewhere: false,
    };
}

/** An ordinary case of a country, to start from. */
export function usualFigures(country: Country): Figures {
    const income = typicalIncome(country);
    return {
        requested_amount: String(income * 4),
        monthly_income: String(income),
        term_months: country.limits.term_months.default,
        credit_score: 700,
        monthly_obligations: String(income / 10),
        average_monthly_income: String(income),
        has_defaults: 'false',
        verified: 'true',
        account_status: 'active',
        thin_file: false,
        applied_elsewhere: false,
    };
}

/** A threshold of the country's rules, as a number for the range of a slider. */
function threshold(country: Country, code: Schema<'RuleCode'>): number | undefined {
    const text = country.rules.find((rule) => rule.code === code)?.threshold;
    return text ? Number(text) : undefined;
}

/** Typical monthly incomes of applicants. They cannot be derived from the thresholds of every country. */
const INCOMES: Record<CountryCode, number> = { ES: 2000, PT: 1500, IT: 2000, MX: 20_000, CO: 3_000_000, BR: 4000 };

const typicalIncome = ({ code }: Country): number => INCOMES[code];

/** The upper ends of the sliders. They include the thresholds of the country and the figures at the start. */
export function sliderEnds(country: Country, start: Figures): { amount: number; income: number } {
    const income = typicalIncome(country);
    const limits = [threshold(country, 'AMOUNT_NEEDS_REVIEW'), threshold(country, 'AMOUNT_TOO_HIGH')];
    const amounts = [income * 12, Number(start.requested_amount), ...limits.map((limit) => limit ?? 0)];
    const incomes = [income * 4, Number(start.monthly_income), Number(start.average_monthly_income)];
    return { amount: roundUp(Math.max(...amounts) * 1.5), income: roundUp(Math.max(...incomes) * 1.5) };
}

/** The next number with one significant digit. */
function roundUp(value: number): number {
    const magnitude = 10 ** Math.floor(Math.log10(value));
    return Math.ceil(value / magnitude) * magnitude;
}

/** The request for an evaluation; undefined while a required figure is missing. */
export function caseOf(figures: Figures): Schema<'CaseRequest'> | undefined {
    const { requested_amount, monthly_income, term_months } = figures;
    if (!(Number(requested_amount) > 0) || !(Number(monthly_income) > 0)) return undefined;
    const flag = (value: Reported) => (value === '' ? null : value === 'true');
    return {
        requested_amount,
        monthly_income,
        term_months,
        applied_elsewhere: figures.applied_elsewhere,
        banking_data: {
            credit_score: figures.credit_score === '' ? null : figures.credit_score,
            monthly_obligations: figures.monthly_obligations || null,
            average_monthly_income: figures.average_monthly_income || null,
            has_defaults: flag(figures.has_defaults),
            verified: flag(figures.verified),
            account_status: figures.account_status || null,
            ...(figures.thin_file && { additional_data: { thin_file: true } }),
        },
    };
}
