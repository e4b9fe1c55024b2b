//! Password rules.
//!
//! NIST SP 800-63B requires a comparison with commonly used, expected or compromised passwords. A list matches
//! `password1234` but not `Password@1234`. Therefore `zxcvbn` looks for list entries, names, words, sequences,
//! repetitions, dates and keyboard patterns within the password, and estimates the number of guesses needed.

use secrecy::SecretString;

use super::normalized;
use crate::domain::account::AccountName;

/// The minimum and maximum length in characters, after normalization.
const MIN_CHARS: usize = 12;
const MAX_CHARS: usize = 128;
/// The estimate uses only this many characters, because its running time is cubic in the length.
const ESTIMATED_CHARS: usize = 40;
/// The minimum number of guesses, as a base-10 logarithm.
const MIN_GUESSES_LOG10: f64 = 9.0;

/// Common words in passwords in the languages of Aval's countries, which `zxcvbn` (English) does not contain, and the
/// name of the product.
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
    /// Fewer than 12 characters.
    TooShort,
    /// More than 128 characters.
    TooLong,
    /// Equal to the account's name.
    IsAccountName,
    /// Too easy to guess.
    TooCommon,
}

impl PasswordProblem {
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort | Self::TooLong => "bad_length",
            Self::IsAccountName => "too_obvious",
            Self::TooCommon => "too_common",
        }
    }

    /// The detail of the field error.
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

/// Checks the length of a new password before its account is known.
///
/// # Errors
/// The violated rule.
pub fn check_length(password: &SecretString) -> Result<(), PasswordProblem> {
    match normalized(password).chars().count() {
        ..MIN_CHARS => Err(PasswordProblem::TooShort),
        MIN_CHARS..=MAX_CHARS => Ok(()),
        _ => Err(PasswordProblem::TooLong),
    }
}

/// Checks a new password against all rules.
///
/// # Errors
/// The violated rule.
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
