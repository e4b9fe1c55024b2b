//! Credentials of a command: from a variable or from standard input, never from its arguments, which every user of the machine
//! can read in the list of processes and which stay in the shell's history.

use std::io::BufRead;

use secrecy::SecretString;

use crate::error::{Error, PublicMessage, Result};

/// Longest credential that is read, in bytes.
const MAX_BYTES: usize = 8192;

/// Refuses a credential that was given as an argument, without repeating it.
///
/// # Errors
/// [`Error::Malformed`] with what to do instead.
pub(super) fn refuse_argument(flag: &str, given: Option<&SecretString>, instead: &str) -> Result<()> {
    match given {
        None => Ok(()),
        Some(_) => Err(Error::Malformed(PublicMessage::new(format!(
            "{flag} would show the credential to every user of this machine, in the list of processes: {instead}. Change \
             the credential that was given"
        )))),
    }
}

/// The credential in a variable of this process; an empty one is none.
pub(super) fn from_variable(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
}

/// The first line of `input`.
///
/// # Errors
/// [`Error::Malformed`] when there is none, [`Error::Unavailable`] when the input fails.
pub(super) fn from_input(mut input: impl BufRead) -> Result<SecretString> {
    let mut line = Vec::new();
    let is_there = super::lines::read_line(&mut input, &mut line, MAX_BYTES)?;
    let text =
        String::from_utf8(line).ok().filter(|text| is_there && !text.is_empty() && text.len() <= MAX_BYTES);
    let none = || Error::Malformed(PublicMessage::new("standard input has no credential in its first line"));
    text.map(SecretString::from).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn an_argument_is_refused_without_being_repeated() {
        let given = SecretString::from("hunter2");
        let refused = refuse_argument("--token", Some(&given), "set AVAL_TOKEN").unwrap_err().to_string();
        assert!(refused.contains("--token") && refused.contains("set AVAL_TOKEN"), "{refused}");
        assert!(!refused.contains("hunter2"));
        assert!(refuse_argument("--token", None, "").is_ok());
    }

    #[test]
    fn standard_input_gives_its_first_line() {
        for (input, expected) in
            [("a b\n", Some("a b")), ("a\r\nb\n", Some("a")), ("a", Some("a")), ("", None), ("\n", None)]
        {
            let read = from_input(input.as_bytes());
            assert_eq!(read.ok().as_ref().map(|secret| secret.expose_secret()), expected, "{input:?}");
        }
        assert!(from_input("x".repeat(MAX_BYTES + 1).as_bytes()).is_err());
    }
}
