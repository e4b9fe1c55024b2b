// Applicants of every country whom the simulated bureaus know, and documents for more of them.

/** One applicant per country with a clean record; docs/providers.md lists the documents. */
export const APPLICANTS = [
    {
        country: 'ES',
        name: 'Spain',
        full_name: 'Inés Calderón Prieto',
        identity_document: '12345678Z',
        amount: '25000',
    },
    {
        country: 'PT',
        name: 'Portugal',
        full_name: 'Tiago Marques Leal',
        identity_document: '123456789',
        amount: '9000',
    },
    {
        country: 'IT',
        name: 'Italy',
        full_name: 'Chiara Bellini',
        identity_document: 'RSSMRA80A01H501U',
        amount: '12000',
        income: '3000',
    },
    {
        country: 'MX',
        name: 'Mexico',
        full_name: 'Jimena Ochoa Rivas',
        identity_document: 'HERM850101MDFRRR08',
        amount: '120000',
        income: '60000',
    },
    {
        country: 'CO',
        name: 'Colombia',
        full_name: 'Samuel Rojas Pardo',
        identity_document: '1234567890',
        amount: '18000000',
        income: '8000000',
    },
    {
        country: 'BR',
        name: 'Brazil',
        full_name: 'Larissa Moura Campos',
        identity_document: '12345678909',
        amount: '22000',
        income: '12000',
    },
];

const CHECK_LETTERS = 'TRWAGMYFPDXBNJZSQVHLCKE';
let number = Math.trunc(Math.random() * 9000);

/** A Spanish document with a clean record that has not been used before. */
export function spanishDocument() {
    number = (number + 1) % 10_000;
    const digits = `99${String(number).padStart(4, '0')}01`;
    return digits + CHECK_LETTERS[Number(digits) % CHECK_LETTERS.length];
}

/** A Spanish application that is approved, or goes to review if the amount is above 20,000. */
export function spanish(full_name, requested_amount = '9000.00') {
    return {
        country: 'ES',
        full_name,
        identity_document: spanishDocument(),
        requested_amount,
        monthly_income: '6000.00',
        term_months: 36,
    };
}
