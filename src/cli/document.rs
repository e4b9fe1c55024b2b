//! `aval document check`: reads documents, one per line, and prints verdicts, one JSON object per line.

use std::io::{BufRead, Write};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Subcommand};

use super::lines::{Flow, read_line, write_line};
use crate::clock::Clock;
use crate::countries::{Countries, CountryRules, DocumentVerdict};
use crate::domain::application::Country;
use crate::error::Result;

/// Longest line that is checked. It is far longer than any valid document with separators.
const MAX_LINE_BYTES: usize = 4096;

/// Identity documents.
#[derive(Debug, Args)]
pub struct DocumentArgs {
    /// What to do with the documents.
    #[command(subcommand)]
    pub command: DocumentCommand,
}

#[derive(Debug, Subcommand)]
/// The subcommands of `aval document`.
pub enum DocumentCommand {
    /// Check the documents on standard input, one per line, and print one JSON verdict per line
    Check {
        /// Country that issued the documents.
        #[arg(long, help = format!("Country that issued the documents: {}", Country::CODES))]
        country: Country,
        /// Date for computing ages; today by default
        #[arg(long, value_name = "DATE")]
        as_of: Option<NaiveDate>,
    },
}

/// Runs the subcommand. An invalid document is a result, not an error. A closed output pipe ends the run without an
/// error.
pub fn run(args: DocumentArgs, clock: &Clock, input: impl BufRead, output: impl Write) -> Result<()> {
    let DocumentCommand::Check { country, as_of } = args.command;
    let countries = Countries::built_in()?;
    let as_of = as_of.map_or_else(|| clock.now(), at_noon);
    check(countries.rules(country), as_of, input, output)
}

/// Noon UTC, when it is the same day in every supported country.
fn at_noon(day: NaiveDate) -> DateTime<Utc> {
    let noon = NaiveTime::from_hms_opt(12, 0, 0).unwrap_or_default();
    day.and_time(noon).and_utc()
}

fn check(
    rules: &CountryRules,
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
    use super::super::lines::tests::ClosesAfter;
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
    fn each_line_has_one_verdict_and_invalid_lines_do_not_end_the_run() {
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
    fn ages_are_computed_for_the_given_date() {
        for (day, expected) in [("1998-01-01", true), ("1997-12-31", false)] {
            let line = format!("aval check --country IT --as-of {day}");
            let verdict = verdicts(&line, b"RSSMRA80A01H501U").concat();
            assert!(verdict.contains(&format!("\"valid\":{expected}")), "{day}: {verdict}");
        }
        assert!(verdicts("aval check --country IT", b"RSSMRA80A01H501U").concat().contains("true"));
    }

    #[test]
    fn unknown_countries_and_invalid_dates_are_rejected() {
        for line in ["aval check", "aval check --country FR", "aval check --country ES --as-of 2026-02-30"] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_closed_output_pipe_ends_the_run_without_an_error() {
        let mut output = ClosesAfter(2, Vec::new());
        let input = b"12345678Z\n".repeat(1000);
        run(args("aval check --country ES"), &Clock::system(), input.as_slice(), &mut output).unwrap();
        assert_eq!(output.1.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
