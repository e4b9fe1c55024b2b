//! The web console: a single-page application in `frontend/`, whose build is embedded in the binary.
//!
//! Every page has the same document; the script in it shows the page for the path. All pages other than `/` are below
//! `/console`, so that an unknown path elsewhere is still a 404. If the console was not built before the binary, the
//! document says how to build it.
//!
//! The document is different in each response, because its content security policy allows only scripts and styles with a
//! new nonce. The files that it loads have a hash of their content in their names and may be cached forever.

pub mod asset;
pub mod page;

use rust_embed::RustEmbed;

/// Whether `path` is a page of the web console.
pub(super) fn is_page(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with("/console/")
}

/// The output of `npm run build` in `frontend/`. Apart from a placeholder, it is empty if the console has not been
/// built. Debug builds read the files at run time instead, so that a change of the console does not recompile the
/// crate.
#[derive(RustEmbed)]
#[folder = "frontend/dist"]
struct Build;
