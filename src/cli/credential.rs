//! Credentials for commands. They come from an environment variable or standard input, never from arguments: every user
//! of the machine can see arguments in the process list, and they remain in the shell's history.

use std::io::BufRead;

use secrecy::SecretString;

use crate::error::{Error, PublicMessage, Result};

/// Longest accepted credential.
const MAX_BYTES: usize = 8192;

/// Rejects a credential passed as an argument without quoting it.
///
/// # Errors
/// [`Error::Malformed`], which names the alternative.
pub(super) fn refuse_argument(flag: &str, given: Option<&SecretString>, instead: &str) -> Result<()> {
    match given {
        None => Ok(()),
        Some(_) => Err(Error::Malformed(PublicMessage::new(format!(
            "{flag} exposes the credential to every user of this machine through the process list: {instead}. Replace \
             the exposed credential",
        )))),
    }
}

/// The credential in an environment variable. An empty variable counts as unset.
pub(super) fn from_variable(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
}

/// Reads the credential from the first line of `input`.
///
/// # Errors
/// [`Error::Malformed`] if the line is missing, empty or too long; [`Error::Unavailable`] if reading fails.
pub(super) fn from_input(mut input: impl BufRead) -> Result<SecretString> {
    let mut line = Vec::new();
    let is_there = super::lines::read_line(&mut input, &mut line, MAX_BYTES)?;
    let text =
        String::from_utf8(line).ok().filter(|text| is_there && !text.is_empty() && text.len() <= MAX_BYTES);
    let none =
        || Error::Malformed(PublicMessage::new("the first line of standard input must be a credential"));
    text.map(SecretString::from).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_credential_argument_is_rejected_without_quoting_it() {
        let given = SecretString::from("hunter2");
        let refused = refuse_argument("--token", Some(&given), "set AVAL_TOKEN").unwrap_err().to_string();
        assert!(refused.contains("--token") && refused.contains("set AVAL_TOKEN"), "{refused}");
        assert!(!refused.contains("hunter2"));
        assert!(refuse_argument("--token", None, "").is_ok());
    }

    #[test]
    fn the_first_line_of_standard_input_is_the_credential() {
        for (input, expected) in
            [("a b\n", Some("a b")), ("a\r\nb\n", Some("a")), ("a", Some("a")), ("", None), ("\n", None)]
        {
            let read = from_input(input.as_bytes());
            assert_eq!(read.ok().as_ref().map(|secret| secret.expose_secret()), expected, "{input:?}");
        }
        assert!(from_input("x".repeat(MAX_BYTES + 1).as_bytes()).is_err());
    }
}
