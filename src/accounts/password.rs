//! Passwords: what is acceptable, and how they are stored.
//!
//! Argon2id with the costs of OWASP's password storage cheat sheet. A hash takes some 20 MiB and tens of milliseconds by
//! design, so that whoever sends logins would own the machine's memory and cores: only so many are computed at once, on
//! threads of their own, only so many more may wait, and whoever comes then is sent away (503).
//!
//! What is acceptable follows NIST SP 800-63B: length alone, no rules of composition, no expiry; and not the account's name.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::PasswordSettings;
use crate::domain::account::AccountName;
use crate::error::{Error, Result};

/// Fewest and most characters.
const MIN_CHARS: usize = 12;
const MAX_CHARS: usize = 128;
/// Bytes of a salt (RFC 9106, section 3.1).
const SALT_BYTES: usize = 16;
/// When to come back after being sent away.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);

/// Why a password is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordProblem {
    /// It has fewer than 12 characters.
    TooShort,
    /// It has more than 128 characters.
    TooLong,
    /// It is the account's name.
    IsAccountName,
}

impl PasswordProblem {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooShort | Self::TooLong => "bad_length",
            Self::IsAccountName => "too_obvious",
        }
    }

    /// A sentence for the person who chose it.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::TooShort | Self::TooLong => "must have 12 to 128 characters",
            Self::IsAccountName => "must not be the username",
        }
    }
}

/// Checks a password that somebody chose.
///
/// # Errors
/// What is wrong with it.
pub fn check(password: &SecretString, account: &AccountName) -> Result<(), PasswordProblem> {
    let password = password.expose_secret();
    match password.chars().count() {
        ..MIN_CHARS => Err(PasswordProblem::TooShort),
        MIN_CHARS..=MAX_CHARS if password.eq_ignore_ascii_case(account.as_str()) => {
            Err(PasswordProblem::IsAccountName)
        }
        MIN_CHARS..=MAX_CHARS => Ok(()),
        _ => Err(PasswordProblem::TooLong),
    }
}

/// Computes and compares password hashes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    clock: Clock,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// A hash that no password has, for accounts that do not exist: comparing with it takes as long as with another.
    nobodys: Arc<str>,
}

impl Passwords {
    /// # Errors
    /// [`Error::Configuration`] when the costs cannot be.
    pub(super) fn new(settings: &PasswordSettings, clock: Clock) -> Result<Self> {
        let params = Params::new(settings.memory_kib, settings.iterations, settings.parallelism, None)
            .map_err(|error| Error::configuration(format_args!("accounts.passwords: {error}")))?;
        let hashers = match settings.hashers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            hashers => hashers,
        };
        let random = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        let nobodys = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            settings.memory_kib,
            settings.iterations,
            settings.parallelism,
            random(&clock.random_bytes::<SALT_BYTES>()),
            random(&clock.random_bytes::<{ Params::DEFAULT_OUTPUT_LEN }>()),
        );
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            clock,
            running: Arc::new(Semaphore::new(hashers)),
            admitted: Arc::new(Semaphore::new(hashers + settings.queue)),
            nobodys: nobodys.into(),
        })
    }

    /// The hash of a password, in PHC string format.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String> {
        let (argon2, salt) = (self.argon2.clone(), self.clock.random_bytes::<SALT_BYTES>());
        let hash =
            self.compute(move || argon2.hash_password_with_salt(password.expose_secret().as_bytes(), &salt));
        Ok(hash.await?.map_err(Error::internal)?.to_string())
    }

    /// Whether `password` is the one that was hashed. Without a hash the answer is no, after the same work.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many wait.
    pub(super) async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.to_string());
        let argon2 = self.argon2.clone();
        let verified = self.compute(move || {
            let hash = PasswordHash::new(&hash)?;
            argon2.verify_password(password.expose_secret().as_bytes(), &hash)
        });
        match verified.await? {
            Ok(()) => Ok(known),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// Computes on a thread of its own, when it is this one's turn. Whoever goes away meanwhile gives its place back only
    /// when the work is done.
    async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
        let sent_away = |_full| Error::Overloaded { what: "password hashing", retry_after: RETRY_AFTER };
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(sent_away)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal)?;
        let computed = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((place, turn));
            result
        });
        computed.await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordSettings =
        PasswordSettings { memory_kib: 64, iterations: 1, parallelism: 1, hashers: 1, queue: 1 };

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn length_counts_and_composition_does_not() {
        let account = AccountName::parse("ana.maria.lopez").unwrap();
        for (password, expected) in [
            ("elevenchars", Err(PasswordProblem::TooShort)),
            ("twelve chars", Ok(())),
            ("éééééééééééé", Ok(())),
            ("aaaaaaaaaaaa", Ok(())),
            (&"x".repeat(128), Ok(())),
            (&"x".repeat(129), Err(PasswordProblem::TooLong)),
            ("Ana.Maria.Lopez", Err(PasswordProblem::IsAccountName)),
        ] {
            assert_eq!(check(&secret(password), &account), expected, "{password}");
        }
    }

    #[actix_rt::test]
    async fn a_hash_is_salted_argon2id_and_knows_its_password_alone() {
        let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(secret("correct horse")).await.unwrap());
        assert!(passwords.verify(secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct hors"), Some(hash)).await.unwrap());
        assert!(
            !passwords.verify(secret("correct horse"), None).await.unwrap(),
            "the work is done, not skipped"
        );
        assert!(passwords.verify(secret("x"), Some("no hash".to_owned())).await.is_err());
    }

    #[actix_rt::test]
    async fn more_than_may_wait_are_sent_away_and_places_come_back() {
        let passwords = Passwords::new(&CHEAP, Clock::system()).unwrap();
        let held = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
        let mut waiting = std::pin::pin!(passwords.hash(secret("one")));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let mut second = std::pin::pin!(passwords.hash(secret("two")));
        assert!(futures_util::poll!(&mut second).is_pending());
        let third = passwords.hash(secret("three")).await;
        assert!(matches!(third, Err(Error::Overloaded { what: "password hashing", .. })), "{third:?}");
        drop(held);
        waiting.await.unwrap();
        second.await.unwrap();
        passwords.hash(secret("three")).await.unwrap();
    }
}
