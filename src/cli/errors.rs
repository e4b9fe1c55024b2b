//! `aval errors`: prints the error reference, `docs/errors.md`.

use std::io::Write;

use super::lines::write_text;
use crate::error::Result;
use crate::http::problem;

/// Prints the reference in Markdown.
pub fn run(mut output: impl Write) -> Result<()> {
    write_text(&mut output, problem::markdown().trim_end()).map(drop)
}
