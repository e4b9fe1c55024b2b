//! Which passwords are acceptable.
//!
//! SP 800-63B asks for a comparison with passwords that are commonly used, expected or compromised. A list alone knows
//! `password1234` and not `Password@1234`: `zxcvbn` looks for the entries of such lists, for names, words, sequences,
//! repetitions, dates and rows of a keyboard inside the password, and estimates how many guesses find it.

use secrecy::SecretString;

use super::normalized;
use crate::domain::account::AccountName;

/// Fewest and most characters, after normalisation.
const MIN_CHARS: usize = 12;
const MAX_CHARS: usize = 128;
/// Characters of which the strength is estimated: the time that it takes grows with their third power.
const ESTIMATED_CHARS: usize = 40;
/// Decimal digits of the number of guesses that a password must withstand.
const MIN_GUESSES_LOG10: f64 = 9.0;

/// Words that `zxcvbn`, which is English, does not know, and that passwords are made of in the languages of the countries
/// that Aval serves; and the product itself.
const COMMON_WORDS: [&str; 48] = [
    "aval",
    "contraseña",
    "contrasena",
    "clave",
    "senha",
    "palavrapasse",
    "parola",
    "segreta",
    "secreto",
    "segredo",
    "acceso",
    "acesso",
    "usuario",
    "administrador",
    "amministratore",
    "bienvenido",
    "bienvenida",
    "bemvindo",
    "benvenuto",
    "teamo",
    "tequiero",
    "teamomucho",
    "tiamo",
    "amore",
    "amor",
    "mivida",
    "princesa",
    "estrella",
    "corazon",
    "hola",
    "buongiorno",
    "ciao",
    "juventus",
    "barcelona",
    "realmadrid",
    "benfica",
    "flamengo",
    "corinthians",
    "america",
    "mexico",
    "colombia",
    "brasil",
    "españa",
    "espana",
    "portugal",
    "italia",
    "credito",
    "banco",
];

/// Why a password is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordProblem {
    /// It has fewer than 12 characters.
    TooShort,
    /// It has more than 128 characters.
    TooLong,
    /// It is the account's name.
    IsAccountName,
    /// It is among the first that are tried.
    TooCommon,
}

impl PasswordProblem {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort | Self::TooLong => "bad_length",
            Self::IsAccountName => "too_obvious",
            Self::TooCommon => "too_common",
        }
    }

    /// A sentence for the person who chose it.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::TooShort | Self::TooLong => "must have 12 to 128 characters",
            Self::IsAccountName => "must not be the username",
            Self::TooCommon => {
                "must not be a common password or one that is easy to guess; several words are a good choice"
            }
        }
    }
}

/// Checks the length of a password that somebody chose, before it is known for whom.
///
/// # Errors
/// What is wrong with it.
pub fn check_length(password: &SecretString) -> Result<(), PasswordProblem> {
    match normalized(password).chars().count() {
        ..MIN_CHARS => Err(PasswordProblem::TooShort),
        MIN_CHARS..=MAX_CHARS => Ok(()),
        _ => Err(PasswordProblem::TooLong),
    }
}

/// Checks a password that somebody chose.
///
/// # Errors
/// What is wrong with it.
pub fn check(password: &SecretString, account: &AccountName) -> Result<(), PasswordProblem> {
    check_length(password)?;
    let password = normalized(password);
    if password.to_lowercase() == account.as_str() {
        return Err(PasswordProblem::IsAccountName);
    }
    if is_easy_to_guess(&password, account) { Err(PasswordProblem::TooCommon) } else { Ok(()) }
}

fn is_easy_to_guess(password: &str, account: &AccountName) -> bool {
    let beginning: String = password.chars().take(ESTIMATED_CHARS).collect();
    let expected: Vec<&str> = std::iter::once(account.as_str()).chain(COMMON_WORDS).collect();
    zxcvbn::zxcvbn(&beginning, &expected).guesses_log10() < MIN_GUESSES_LOG10
}
