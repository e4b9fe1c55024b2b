//! The exit codes of the `aval` binary, for scripts and service managers.
//!
//! A closed output pipe (`| head`) is not an error. docs/cli.md has the same table, and a test compares them.

use crate::error::Error;

/// Every exit code with its meaning.
pub const EXIT_CODES: [(u8, &str); 6] = [
    (0, "success"),
    (1, "any other failure; standard error contains the cause"),
    (2, "unknown or missing arguments"),
    (3, "the configuration is invalid, or a required program is not installed; nothing was changed"),
    (4, "the database or another system is unavailable, overloaded or too slow; try again later"),
    (
        5,
        "refused: the input is invalid, or the current state does not allow the operation; repeating the command does not help",
    ),
];

/// The list of exit codes at the end of `aval --help`.
pub fn help() -> String {
    let lines = EXIT_CODES.map(|(code, meaning)| format!("  {code}  {meaning}"));
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// The exit code of an error.
pub fn code(error: &Error) -> u8 {
    match error {
        Error::Configuration(_) => 3,
        Error::Unavailable { .. }
        | Error::Timeout { .. }
        | Error::Overloaded { .. }
        | Error::RateLimited { .. }
        | Error::InFlight { .. }
        | Error::Provider { .. }
        | Error::Delivery { .. } => 4,
        Error::Database { transient, .. } => {
            if *transient {
                4
            } else {
                1
            }
        }
        Error::Validation(_)
        | Error::Malformed(_)
        | Error::NotFound(_)
        | Error::IllegalTransition { .. }
        | Error::Conflict(_)
        | Error::AssignedToAnother { .. }
        | Error::NotUnderReview
        | Error::CountChanged { .. }
        | Error::Archived
        | Error::EventsExpired { .. }
        | Error::StaleVersion
        | Error::KeyReused
        | Error::Unauthenticated(_)
        | Error::Credential(_)
        | Error::Forbidden(_) => 5,
        Error::LeaseLost | Error::Panicked { .. } | Error::UnknownLabel { .. } | Error::Internal(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_of_an_error_is_documented() {
        let codes = [
            code(&Error::configuration("x")),
            code(&Error::unavailable("x", "y")),
            code(&Error::NotFound("x")),
            code(&Error::internal("x")),
        ];
        assert_eq!(codes, [3, 4, 5, 1]);
        let table = std::fs::read_to_string("docs/cli.md").unwrap();
        for (code, meaning) in EXIT_CODES {
            assert!(table.contains(&format!("| {code} | {meaning} |")), "docs/cli.md lacks {code}");
            assert!(help().contains(meaning));
        }
    }
}
