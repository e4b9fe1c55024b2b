//! `aval decide`: reads cases and prints decisions, one JSON object per line. Nothing is stored.

use std::io::{BufRead, Write};

use clap::Args;
use serde::Serialize;

use super::lines::{Flow, read_line, write_line};
use crate::countries::{Countries, CountryRules};
use crate::domain::application::Country;
use crate::error::{Error, PublicMessage, Result};
use crate::http::countries::case::parse_case;

/// Longest accepted line, in bytes.
const MAX_LINE_BYTES: usize = 2 << 20;

/// Decide the cases on standard input, one JSON object per line, and print one JSON decision per line
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Country whose rules apply.
    #[arg(long, help = format!("Country whose rules apply: {}", Country::CODES))]
    pub country: Country,
}

/// Runs the subcommand with the rules of `countries`. An invalid line yields an `error` object, and the run continues.
/// A closed output pipe ends the run without an error.
///
/// # Errors
/// [`Error::Malformed`] at the end if any line was invalid.
pub fn run(
    args: DecideArgs,
    countries: &Countries,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let rules = countries.rules(args.country);
    let mut line = Vec::new();
    let (mut lines, mut refused) = (0u64, 0u64);
    while read_line(&mut input, &mut line, MAX_LINE_BYTES)? {
        lines += 1;
        let flow = match decide(rules, &line) {
            Ok(decision) => write_line(&mut output, &decision)?,
            Err(error) => {
                refused += 1;
                write_line(&mut output, &BadLine::from(error))?
            }
        };
        if flow == Flow::ReaderGone {
            return Ok(());
        }
    }
    if refused > 0 {
        let text = format!("{refused} of {lines} lines could not be decided");
        return Err(Error::Malformed(PublicMessage::new(text)));
    }
    Ok(())
}

fn decide(rules: &CountryRules, line: &[u8]) -> Result<crate::domain::decision::Decision> {
    if line.len() > MAX_LINE_BYTES {
        let text = format!("the line is longer than {MAX_LINE_BYTES} bytes");
        return Err(Error::Malformed(PublicMessage::new(text)));
    }
    Ok(rules.evaluate(&parse_case(line)?))
}

/// The output for an invalid line.
#[derive(Debug, Serialize)]
struct BadLine {
    error: Problem,
}

#[derive(Debug, Serialize)]
struct Problem {
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
}

#[derive(Debug, Serialize)]
struct FieldProblem {
    pointer: String,
    code: &'static str,
    detail: String,
}

impl From<Error> for BadLine {
    fn from(error: Error) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        let fields = if let Error::Validation(fields) = error { fields } else { Vec::new() };
        let errors = fields
            .into_iter()
            .map(|field| FieldProblem { pointer: field.pointer, code: field.code, detail: field.detail })
            .collect();
        Self { error: Problem { code, detail, errors } }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::ClosesAfter;
    use super::*;
    use serde_json::{Value, json};

    const GOOD: &str = r#"{"requested_amount": 15000, "monthly_income": "3500.00", "banking_data": {"monthly_obligations": 300, "credit_score": 720, "has_defaults": false, "account_status": "active"}}"#;

    fn decide_all(input: &str) -> (Result<()>, Vec<Value>) {
        let mut output = Vec::new();
        let countries = Countries::built_in().unwrap();
        let result = run(DecideArgs { country: Country::Es }, &countries, input.as_bytes(), &mut output);
        let lines = String::from_utf8(output).unwrap();
        (result, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn a_case_becomes_a_decision_with_its_explanation() {
        let (result, lines) = decide_all(GOOD);
        result.unwrap();
        let decision = lines[0].as_object().unwrap();
        let mut members: Vec<&str> = decision.keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["reasons", "risk_components", "risk_score", "rules", "rules_version", "status"]);
        assert_eq!((&decision["status"], &decision["risk_score"]), (&json!("APPROVED"), &json!("25.96")));
        assert_eq!(
            decision["risk_components"],
            json!([
                {"component": "credit", "points": "9.45"},
                {"component": "affordability", "points": "16.51"},
                {"component": "history", "points": "0.00"},
                {"component": "rejecting_rules", "points": "0.00"},
                {"component": "review_rules", "points": "0.00"},
            ])
        );
        assert_eq!(
            decision["rules"][0],
            json!({
                "code": "DTI_TOO_HIGH",
                "kind": "reject",
                "description": "The obligations plus the instalment must stay below 40 % of the income.",
                "inputs": {
                    "monthly_obligations": "300.00",
                    "instalment": "470.05",
                    "monthly_income": "3500.00",
                    "dti": "0.220014",
                },
                "threshold": "0.4",
                "result": "passed",
            })
        );
    }

    #[test]
    fn an_invalid_line_is_answered_in_order_and_fails_the_run_at_the_end() {
        let unknown = GOOD.replacen('{', r#"{"amount": 1, "#, 1);
        let (result, lines) = decide_all(&format!("{GOOD}\nnot json\n\n{unknown}\n{GOOD}\n"));
        assert_eq!(result.unwrap_err().to_string(), "malformed request: 3 of 5 lines could not be decided");
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], lines[4]);
        assert_eq!(lines[1]["error"]["code"], "malformed_request");
        assert_eq!(lines[2]["error"]["code"], "malformed_request");
        assert_eq!(
            lines[3],
            json!({"error": {
                "code": "validation_failed",
                "detail": "validation failed",
                "errors": [{
                    "pointer": "/amount",
                    "code": "unknown_field",
                    "detail": "is not a field of this object",
                }],
            }})
        );
    }

    #[test]
    fn an_overlong_line_is_rejected_and_the_next_one_decided() {
        let (result, lines) = decide_all(&format!("{}\n{GOOD}", " ".repeat(MAX_LINE_BYTES + 10)));
        assert!(result.is_err());
        assert_eq!(lines[0]["error"]["code"], "malformed_request");
        assert_eq!(lines[1]["status"], "APPROVED");
    }

    #[test]
    fn a_closed_output_pipe_ends_the_run_without_an_error() {
        let mut output = ClosesAfter(1, Vec::new());
        let input = format!("{GOOD}\nbad\n{GOOD}\n");
        let countries = Countries::built_in().unwrap();
        run(DecideArgs { country: Country::Es }, &countries, input.as_bytes(), &mut output).unwrap();
        assert_eq!(output.1.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
