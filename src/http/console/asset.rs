//! `GET /assets/{file}`

use std::borrow::Cow;

use actix_web::http::header::{self, AcceptEncoding, Encoding, Header as _};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::Build;
use crate::error::Error;
use crate::http::problem::HandlerResult;

/// Clients may cache a file forever, because its name changes with its content (RFC 8246).
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Extensions of the compressed copies of a file.
const BROTLI: &str = "br";
const GZIP: &str = "gz";

/// Serves a script, style or image of the web console.
///
/// The response is compressed with Brotli or gzip if the client accepts it. Names contain a hash of the content, so that
/// clients may cache the files forever.
#[utoipa::path(
    get,
    path = "/assets/{file}",
    operation_id = "get_console_asset",
    tag = "console",
    params(
        ("file" = String, Path, description = "The name of a file that a page of the console loads"),
    ),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/javascript",
            headers(
                ("Cache-Control" = String, description = "`public, max-age=31536000, immutable`"),
                ("Vary" = String, description = "`accept-encoding`"),
            )),
        (status = 404, description = "File not found"),
    ),
)]
pub(in crate::http) async fn file(request: HttpRequest) -> HandlerResult {
    let name = request.match_info().query("file");
    if is_compressed_copy(name) {
        return Err(Error::NotFound("file").into());
    }
    let path = format!("assets/{name}");
    let file = Build::get(&path).ok_or(Error::NotFound("file"))?;
    let media_type = file.metadata.mimetype().to_owned();
    let compressed = accepted_copy(&request)
        .and_then(|(encoding, extension)| Some((encoding, Build::get(&format!("{path}.{extension}"))?)));
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, FOREVER))
        .insert_header((header::VARY, "accept-encoding"))
        .content_type(if media_type.starts_with("text/") {
            format!("{media_type}; charset=utf-8")
        } else {
            media_type
        });
    Ok(match compressed {
        Some((encoding, copy)) => {
            response.insert_header((header::CONTENT_ENCODING, encoding)).body(content(copy.data))
        }
        None => response.body(content(file.data)),
    })
}

fn is_compressed_copy(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| [BROTLI, GZIP].contains(&extension))
}

/// The content coding that the client prefers, with the file extension of copies compressed in this way.
fn accepted_copy(request: &HttpRequest) -> Option<(&'static str, &'static str)> {
    let accepted = AcceptEncoding::parse(request).ok()?;
    let offered = [Encoding::brotli(), Encoding::gzip(), Encoding::identity()];
    let chosen = accepted.negotiate(offered.iter())?;
    if chosen == Encoding::brotli() {
        return Some(("br", BROTLI));
    }
    (chosen == Encoding::gzip()).then_some(("gzip", GZIP))
}

fn content(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
}
