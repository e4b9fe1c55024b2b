//! `aval openapi`: prints the OpenAPI document without a running server.

use std::io::Write;

use super::lines::write_text;
use crate::error::{Error, Result};
use crate::http::openapi;

/// Prints the OpenAPI 3.1 document of a server without fault injection.
pub fn run(mut output: impl Write) -> Result<()> {
    let document = openapi::document(false).to_pretty_json().map_err(Error::internal)?;
    write_text(&mut output, &document).map(drop)
}
