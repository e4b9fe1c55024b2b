//! Password rules and password hashing.
//!
//! Hashes use Argon2id with the costs of OWASP's password storage cheat sheet. By design, a hash takes about 20 MiB
//! and tens of milliseconds. Therefore the number of concurrent hashes is limited. They run on blocking threads with
//! reused memory ([`memory`]). A limited number of further requests may wait; others are rejected (503).
//!
//! The rules follow NIST SP 800-63B: a minimum length, no composition rules, no expiry, and no commonly used passwords
//! ([`strength`]). Passwords are first normalized (NFKC, section 3.1.1.2), so the same characters are the same password
//! on every keyboard. A hash with costs other than the configured ones is replaced at the next sign-in.
//!
//! A rejection takes constant time: after comparing with a cheaper hash, the remaining work is spent on a dummy hash.

mod memory;
mod strength;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use icu_normalizer::ComposingNormalizerBorrowed;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use self::memory::HashMemory;
pub use self::strength::{PasswordProblem, check, check_length};
use crate::clock::Clock;
use crate::config::PasswordSettings;
use crate::domain::account::AccountName;
use crate::error::{Error, Result};

/// The length of a salt in bytes (RFC 9106, section 3.1).
const SALT_BYTES: usize = 16;
/// When to retry after a rejection.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);

/// The normalized password, which is checked and hashed.
fn normalized(password: &SecretString) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfkc().normalize(password.expose_secret())
}

/// The result of verifying a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// The password is wrong, or there is no hash.
    Wrong,
    /// The password is correct.
    Correct,
    /// The password is correct, but its hash has outdated costs.
    Outdated,
}

/// Computes and verifies password hashes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords {
    params: Params,
    clock: Clock,
    memory: HashMemory,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// A hash that matches no password, for accounts that do not exist.
    dummy_hash: Arc<str>,
    /// The cost of a rejection: the cost of the most expensive known hash.
    rejection_cost: Arc<AtomicU64>,
}

impl Passwords {
    /// # Errors
    /// [`Error::Configuration`] if the costs are invalid.
    pub(super) fn new(settings: &PasswordSettings, clock: Clock) -> Result<Self> {
        let params = Params::new(settings.memory_kib, settings.iterations, settings.parallelism, None)
            .map_err(|error| Error::configuration(format_args!("accounts.passwords: {error}")))?;
        let hashers = match settings.hashers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            hashers => hashers,
        };
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        let dummy_hash = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            settings.memory_kib,
            settings.iterations,
            settings.parallelism,
            encode(&clock.random_bytes::<SALT_BYTES>()),
            encode(&clock.random_bytes::<{ Params::DEFAULT_OUTPUT_LEN }>()),
        );
        Ok(Self {
            rejection_cost: Arc::new(AtomicU64::new(cost(&params))),
            params,
            clock,
            memory: HashMemory::default(),
            running: Arc::new(Semaphore::new(hashers)),
            admitted: Arc::new(Semaphore::new(hashers + settings.queue)),
            dummy_hash: dummy_hash.into(),
        })
    }

    /// Adds the costs of existing hashes, in the notation of PHC strings. Costs that cannot be parsed are ignored.
    pub(super) fn add_known_costs(&self, costs: &[String]) {
        for text in costs {
            let params = text.parse::<ParamsString>().ok();
            if let Some(params) = params.and_then(|params| Params::try_from(&params).ok()) {
                self.rejection_cost.fetch_max(cost(&params), Ordering::Relaxed);
            }
        }
    }

    /// Checks a new password for `account`. `pointer` is its JSON pointer in the request.
    ///
    /// # Errors
    /// [`Error::Validation`] if it is not acceptable; [`Error::Overloaded`] if too many requests wait.
    pub(super) async fn accept(
        &self,
        pointer: &'static str,
        password: &SecretString,
        account: &AccountName,
    ) -> Result<()> {
        let (password, account) = (password.clone(), account.clone());
        // Estimating the strength of a long password takes time.
        let checked = self.compute(move || check(&password, &account)).await?;
        checked.map_err(|problem| Error::field(pointer, problem.code(), problem.detail()))
    }

    /// The hash of a password, in PHC string format.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many requests wait.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String> {
        let (params, memory) = (self.params.clone(), self.memory.clone());
        let salt = self.clock.random_bytes::<SALT_BYTES>();
        let hash = self.compute(move || {
            let text = normalized(&password);
            let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
            compute_into(&memory, &params, text.as_bytes(), &salt, &mut output)?;
            Ok::<_, argon2::password_hash::Error>(PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params)?,
                salt: Some(Salt::new(&salt)?),
                hash: Some(Output::new(&output)?),
            })
        });
        Ok(hash.await?.map_err(Error::internal)?.to_string())
    }

    /// Verifies `password`. Without a hash, the password is rejected after the same work.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many requests wait.
    pub(super) async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<Verification> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy_hash.to_string());
        let this = self.clone();
        let verified =
            self.compute(move || this.compare(&password, &hash)).await?.map_err(Error::internal)?;
        Ok(if known { verified } else { Verification::Wrong })
    }

    fn compare(&self, password: &SecretString, hash: &str) -> argon2::password_hash::Result<Verification> {
        let hash = PasswordHash::new(hash)?;
        let params = Params::try_from(&hash)?;
        if self.matches(normalized(password).as_bytes(), &hash, &params)? {
            let is_current = cost_parameters(&params) == cost_parameters(&self.params);
            return Ok(if is_current { Verification::Correct } else { Verification::Outdated });
        }
        self.rejection_cost.fetch_max(cost(&params), Ordering::Relaxed);
        self.spend(self.rejection_cost.load(Ordering::Relaxed).saturating_sub(cost(&params)))?;
        Ok(Verification::Wrong)
    }

    fn matches(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        params: &Params,
    ) -> argon2::password_hash::Result<bool> {
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
            return Err(argon2::password_hash::Error::EncodingInvalid);
        };
        let mut output = vec![0; expected.as_ref().len()];
        compute_into(&self.memory, params, password, salt, &mut output)?;
        Ok(bool::from(output.ct_eq(expected.as_ref())))
    }

    /// Spends the remaining cost on dummy hashes.
    fn spend(&self, mut left: u64) -> argon2::password_hash::Result<()> {
        let passes = self.params.t_cost();
        let min_cost = u64::from(Params::MIN_M_COST * self.params.p_cost()) * u64::from(passes);
        while left >= min_cost {
            let part = left.min(cost(&self.params));
            let memory_kib = u32::try_from(part / u64::from(passes)).unwrap_or(self.params.m_cost());
            let params = Params::new(memory_kib, passes, self.params.p_cost(), None)?;
            let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
            compute_into(&self.memory, &params, b"", &[0; SALT_BYTES], &mut output)?;
            left -= part;
        }
        Ok(())
    }

    /// Runs `work` on a blocking thread when a hasher is free. If the caller is cancelled, its place is released only
    /// when the work is done.
    async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
        let refused = |_full| Error::Overloaded { what: "password hashing", retry_after: RETRY_AFTER };
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(refused)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal)?;
        let computed = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((place, turn));
            result
        });
        computed.await.map_err(Error::internal)
    }
}

fn compute_into(
    memory: &HashMemory,
    params: &Params,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
) -> argon2::Result<()> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    memory.with_buffer(params.block_count(), |blocks| {
        argon2.hash_password_into_with_memory(password, salt, output, blocks)
    })
}

/// The cost of a hash: the KiB that all its passes fill.
fn cost(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

fn cost_parameters(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

#[cfg(test)]
mod tests;
