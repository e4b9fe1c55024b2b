//! `aval document check`: documents in, one a line; verdicts out, one JSON object a line.

use std::io::{BufRead, Write};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Subcommand};

use super::lines::{Flow, read_line, write_line};
use crate::clock::Clock;
use crate::countries::{Countries, CountryRules, DocumentVerdict};
use crate::domain::application::Country;
use crate::error::Result;

/// The longest line that is looked at: far more than 50 characters and their separators can take.
const MAX_LINE_BYTES: usize = 4096;

/// Identity documents.
#[derive(Debug, Args)]
pub struct DocumentArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DocumentCommand,
}

/// What can be done with documents.
#[derive(Debug, Subcommand)]
pub enum DocumentCommand {
    /// Checks the documents on standard input, one a line, and prints one JSON verdict a line.
    Check {
        /// The country that issued them: ES, PT, IT, MX, CO or BR.
        #[arg(long)]
        country: Country,
        /// The day of the application, YYYY-MM-DD, on which ages are reckoned; today when it is not given.
        #[arg(long, value_name = "DATE")]
        as_of: Option<NaiveDate>,
    },
}

/// Runs the subcommand. A document that is refused is an answer, not a failure.
///
/// # Errors
/// When the input or the output fails, except that nobody reads the output any more.
pub fn run(args: DocumentArgs, clock: &Clock, input: impl BufRead, output: impl Write) -> Result<()> {
    let DocumentCommand::Check { country, as_of } = args.command;
    let countries = Countries::built_in()?;
    let as_of = as_of.map_or_else(|| clock.now(), at_noon);
    check(countries.rules(country), as_of, input, output)
}

/// Noon in UTC, when it is the same day in all six countries.
fn at_noon(day: NaiveDate) -> DateTime<Utc> {
    let noon = NaiveTime::from_hms_opt(12, 0, 0).unwrap_or_default();
    day.and_time(noon).and_utc()
}

fn check(
    rules: &dyn CountryRules,
    as_of: DateTime<Utc>,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let mut line = Vec::new();
    while read_line(&mut input, &mut line, MAX_LINE_BYTES)? {
        let verdict = match std::str::from_utf8(&line) {
            Ok(text) => rules.check_document(text, as_of),
            Err(_) => DocumentVerdict::not_text(),
        };
        if write_line(&mut output, &verdict)? == Flow::ReaderGone {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::LeavesAfter;
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        document: DocumentArgs,
    }

    fn args(line: &str) -> DocumentArgs {
        Cli::try_parse_from(line.split(' ')).unwrap().document
    }

    fn verdicts(line: &str, input: &[u8]) -> Vec<String> {
        let mut output = Vec::new();
        run(args(line), &Clock::system(), input, &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_line_gets_one_verdict_and_none_ends_the_run() {
        let endless = [b"1".repeat(1 << 20), b"\n".to_vec()].concat();
        let input =
            [b"12.345.678-z\r\n\n\xff\xfe\n\xf1\n12345678A\n", endless.as_slice(), b"X0000000T"].concat();
        assert_eq!(
            verdicts("aval check --country es", &input),
            [
                r#"{"valid":true,"kind":"DNI","normalized":"12345678Z","reasons":[]}"#,
                r#"{"valid":false,"kind":null,"normalized":null,"reasons":["bad_length"]}"#,
                r#"{"valid":false,"kind":null,"normalized":null,"reasons":["bad_format"]}"#,
                r#"{"valid":false,"kind":null,"normalized":null,"reasons":["bad_format"]}"#,
                r#"{"valid":false,"kind":"DNI","normalized":null,"reasons":["bad_check_digit"]}"#,
                r#"{"valid":false,"kind":null,"normalized":null,"reasons":["bad_length"]}"#,
                r#"{"valid":true,"kind":"NIE","normalized":"X0000000T","reasons":[]}"#,
            ]
        );
    }

    #[test]
    fn ages_are_reckoned_on_the_day_that_is_asked_for() {
        for (day, expected) in [("1998-01-01", true), ("1997-12-31", false)] {
            let line = format!("aval check --country IT --as-of {day}");
            let verdict = verdicts(&line, b"RSSMRA80A01H501U").concat();
            assert!(verdict.contains(&format!("\"valid\":{expected}")), "{day}: {verdict}");
        }
        assert!(verdicts("aval check --country IT", b"RSSMRA80A01H501U").concat().contains("true"));
    }

    #[test]
    fn unknown_countries_and_days_are_refused_before_anything_is_read() {
        for line in ["aval check", "aval check --country FR", "aval check --country ES --as-of 2026-02-30"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_reader_that_leaves_ends_it_quietly() {
        let mut output = LeavesAfter(2, Vec::new());
        let input = b"12345678Z\n".repeat(1000);
        run(args("aval check --country ES"), &Clock::system(), input.as_slice(), &mut output).unwrap();
        assert_eq!(output.1.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
