//! `aval openapi`: the API as a document, without a server.

use std::io::Write;

use super::lines::write_text;
use crate::error::{Error, Result};
use crate::http::openapi;

/// Prints the OpenAPI 3.1 document of a server without fault injection.
///
/// # Errors
/// When it cannot be written.
pub fn run(mut output: impl Write) -> Result<()> {
    let document = openapi::document(false).to_pretty_json().map_err(Error::internal)?;
    write_text(&mut output, &document).map(drop)
}
