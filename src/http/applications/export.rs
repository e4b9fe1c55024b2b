//! `GET /api/v1/applications/export.csv`: a list as a spreadsheet file.
//!
//! Pages are read as the client consumes the response. Each page is a separate statement that continues after the last
//! application of the previous page. The export is therefore never held in memory as a whole, keeps no transaction
//! open, and does not occupy a database connection while a client is slow. Applications that are added or changed
//! during the export may or may not be included; no application is included twice.
//!
//! The file is RFC 4180 in UTF-8. It starts with a byte order mark unless the client declines it, because spreadsheets
//! assume another encoding for files without one. If the locale's list separator differs from the file's, a spreadsheet
//! splits cells at characters that the file does not quote. [`neutral`] therefore puts an apostrophe before every
//! character that could start a formula after any separator, not only at the start of a cell.
//!
//! A response that ends normally is complete: if the database fails during the export, the connection is aborted. An
//! export with more than `lists.export_max_rows` rows is refused or, if its length only becomes known at the end,
//! marked as truncated in its last line. Clients that stop reading are disconnected by `TCP_USER_TIMEOUT`, like all
//! clients.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use csv::{Terminator, Writer, WriterBuilder};
use futures_util::stream;
use slog::{Logger, o, warn};
use utoipa::ToSchema;

use super::filter::{FilterParameters, take_filter};
use super::view::ListedView;
use crate::domain::application::Country;
use crate::domain::status::Status;
use crate::domain::timestamp;
use crate::error::{Error, PublicMessage, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::problem::HandlerResult;
use crate::http::query::Query;
use crate::http::request::request_query;
use crate::json::Refusal;
use crate::lending::Caller;
use crate::lending::export::{Export, ExportPage};

const BYTE_ORDER_MARK: &str = "\u{feff}";
const COLUMNS: [&str; 14] = [
    "id",
    "country",
    "full_name",
    "identity_document",
    "requested_amount",
    "monthly_income",
    "currency",
    "term_months",
    "status",
    "risk_score",
    "risk_band",
    "version",
    "created_at",
    "updated_at",
];

/// Exports a list as a CSV file.
///
/// Contains the same applications in the same order as `GET /api/v1/applications` with the same filters, with documents
/// masked in the same way. The file is UTF-8 with CRLF line endings; amounts have a decimal point. An apostrophe
/// precedes every character that a spreadsheet could interpret as the start of a formula, for any list separator. If
/// the response ends normally, the file is complete. An export of more than 100,000 applications
/// (`lists.export_max_rows`) is refused, or its last line starts with `# TRUNCATED`.
#[utoipa::path(
    get,
    path = "/api/v1/applications/export.csv",
    operation_id = "export_applications",
    tag = "applications",
    params(FilterParameters, FormatParameters),
    responses(
        (
            status = 200,
            description = "The CSV file",
            body = String,
            content_type = "text/csv",
            headers(("Content-Disposition" = String, description = "Suggested file name")),
        ),
        (status = 400, description = "The query string is not percent-encoded UTF-8"),
        (status = 422, description = "Invalid parameter, or too many applications for one export"),
    ),
)]
pub(in crate::http) async fn export(
    state: HttpState,
    principal: Principal,
    caller: Caller,
    mut query: Query,
) -> HandlerResult {
    let (filter, order) = take_filter(&mut query);
    let format = FormatParameters::take(&mut query);
    query.finish()?;
    let separator = format.separator.unwrap_or_default().byte();
    let mut export = state.lending.begin_export(&caller, filter, order).await?;
    // A failure before the first byte is reported as a normal error response.
    let mark = if format.byte_order_mark.unwrap_or(true) { BYTE_ORDER_MARK } else { "" };
    let mut first = [mark.as_bytes(), &lines(separator, [COLUMNS.map(Cow::Borrowed)])?].concat();
    first.extend(page_lines(export.next_page().await?, separator)?);
    export.record_view();
    let logger = state.resources.logger.new(o!("request_id" => caller.request_id.to_string()));
    let name = format!("applications-{}.csv", state.resources.clock.now().date_naive());
    let download = Download { state, principal, export, separator, logger };
    let rest = stream::try_unfold(download, Download::next_page);
    let body = stream::StreamExt::chain(stream::iter([Ok(Bytes::from(first))]), rest);
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(body))
}

request_query! {
    /// The format of the file.
    pub struct FormatParameters {
        /// The cell separator: `comma` (the default), `semicolon` or `tab`.
        #[param(value_type = Option<Separator>, inline)]
        separator: Option<Separator> = separator,
        /// Whether the file starts with a UTF-8 byte order mark, which spreadsheets use to detect the encoding; the
        /// default is `true`.
        byte_order_mark: Option<bool> = flag,
    }
}

/// The cell separator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
enum Separator {
    #[default]
    Comma,
    Semicolon,
    Tab,
}

impl Separator {
    const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

fn separator(text: &str) -> Result<Separator, Refusal> {
    match text {
        "comma" => Ok(Separator::Comma),
        "semicolon" => Ok(Separator::Semicolon),
        "tab" => Ok(Separator::Tab),
        _ => Err(("unknown_separator", "must be comma, semicolon or tab".to_owned())),
    }
}

fn flag(text: &str) -> Result<bool, Refusal> {
    text.parse().ok().ok_or_else(|| ("bad_boolean", "must be true or false".to_owned()))
}

/// The rest of a file after its first page.
struct Download {
    state: HttpState,
    principal: Principal,
    export: Export,
    separator: u8,
    logger: Logger,
}

impl Download {
    async fn next_page(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.export.is_done() {
            return Ok(None);
        }
        // The body is sent after the handler has returned. Its connections must still count towards the account.
        let (database, account) = (self.state.resources.database.clone(), self.principal.account.clone());
        match database.shares().on_behalf_of(&account, self.lines_if_authorized()).await {
            Ok(lines) => Ok(Some((Bytes::from(lines), self))),
            Err(error) => {
                warn!(self.logger, "export aborted"; &error);
                Err(error)
            }
        }
    }

    /// Reads the next page. A download may take a long time, so the account's access is checked again for each page.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the account's access has ended.
    async fn lines_if_authorized(&mut self) -> Result<Vec<u8>> {
        if !self.state.accounts.is_still_valid(&self.principal).await? {
            return Err(Error::Forbidden(PublicMessage::new("The account's access has ended.")));
        }
        page_lines(self.export.next_page().await?, self.separator)
    }
}

/// Formats a page as lines of the file.
fn page_lines(page: ExportPage, separator: u8) -> Result<Vec<u8>> {
    let views = page.applications.into_iter().map(ListedView::from);
    let mut text = lines(separator, views.map(cells))?;
    if let Some(max_rows) = page.truncated_after {
        let marker = format!("# TRUNCATED after {max_rows} applications: use narrower filters");
        let empty = std::iter::repeat_n(Cow::Borrowed(""), COLUMNS.len() - 1);
        text.extend(lines(separator, [std::iter::once(Cow::Owned(marker)).chain(empty)])?);
    }
    Ok(text)
}

fn cells(listed: ListedView) -> [Cow<'static, str>; COLUMNS.len()] {
    [
        listed.id.to_string().into(),
        listed.country.text(Country::code).to_owned().into(),
        neutral(&listed.full_name).into(),
        neutral(&listed.identity_document).into(),
        listed.requested_amount.to_string().into(),
        listed.monthly_income.to_string().into(),
        listed.currency.into(),
        listed.term_months.to_string().into(),
        listed.status.text(Status::as_str).to_owned().into(),
        listed.risk_score.unwrap_or_default().into(),
        listed.risk_band.map_or("", |band| band.as_str()).into(),
        listed.version.to_string().into(),
        timestamp::text(listed.created_at).into(),
        timestamp::text(listed.updated_at).into(),
    ]
}

/// Prevents formula injection in any locale (OWASP, "CSV injection"): puts an apostrophe before each character that
/// could start a formula at a position where a cell could start, which is the start of the text and after every
/// character that some locale or import dialog treats as a separator. White space, control characters and quotes
/// before such a character are skipped. A text that starts with a tab or a line break also gets an apostrophe.
fn neutral(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    const SEPARATING: [char; 8] = [',', ';', '\t', '|', ':', '\r', '\n', '\u{1f}'];
    let mut neutral = String::with_capacity(text.len());
    if text.trim_start_matches(' ').starts_with(['\t', '\r', '\n']) {
        neutral.push('\'');
    }
    let mut may_begin_cell = true;
    for character in text.chars() {
        if may_begin_cell && FORMULA.contains(&character) {
            neutral.push('\'');
        }
        let is_skipped =
            character.is_whitespace() || character.is_control() || matches!(character, '"' | '\u{feff}');
        may_begin_cell = SEPARATING.contains(&character) || may_begin_cell && is_skipped;
        neutral.push(character);
    }
    neutral
}

/// Formats records as CSV.
fn lines<'a, R>(separator: u8, records: impl IntoIterator<Item = R>) -> Result<Vec<u8>>
where
    R: IntoIterator<Item = Cow<'a, str>>,
{
    let mut writer: Writer<Vec<u8>> =
        WriterBuilder::new().delimiter(separator).terminator(Terminator::CRLF).from_writer(Vec::new());
    for record in records {
        writer.write_record(record.into_iter().map(|cell| cell.into_owned())).map_err(Error::internal)?;
    }
    writer.into_inner().map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_follow_rfc_4180() {
        let record = ["plain", "with, comma", "with \"quotes\"", "two\nlines", "", "España"];
        let text = String::from_utf8(lines(b',', [record.map(Cow::Borrowed)]).unwrap()).unwrap();
        assert_eq!(text, "plain,\"with, comma\",\"with \"\"quotes\"\"\",\"two\nlines\",,España\r\n");
    }

    #[test]
    fn every_possible_start_of_a_formula_gets_an_apostrophe_in_any_locale() {
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            (" =1", " '=1"),
            ("\"=1\"", "\"'=1\""),
            ("Ana;=cmd|'/C calc'!A0;x", "Ana;'=cmd|'/C calc'!A0;x"),
            ("Ana\t=1", "Ana\t'=1"),
            ("Ana\t\t +1", "Ana\t\t '+1"),
            ("Ana;;@x", "Ana;;'@x"),
            ("Ana; \" =1", "Ana; \" '=1"),
            ("Ana,-1", "Ana,'-1"),
            ("Ana\n=1", "Ana\n'=1"),
            ("Ana|=1;+2", "Ana|'=1;'+2"),
            ("Ana;\u{a0}=1", "Ana;\u{a0}'=1"),
            ("Ana;\u{feff}=1", "Ana;\u{feff}'=1"),
            ("＝1", "'＝1"),
            ("=+1", "'=+1"),
        ] {
            assert_eq!(neutral(text), expected);
        }
        for text in
            ["", "Ana", "O'Neill", "****678Z", "1=1", "Ana-María", "García - López", "Ana; María", "a=b"]
        {
            assert_eq!(neutral(text), text);
        }
    }

    /// Splits a line into cells as a spreadsheet with this list separator does: once with quoting and once without.
    fn split(line: &str, separator: u8) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(line.as_bytes());
        let read: Vec<String> = reader
            .records()
            .flatten()
            .flat_map(|r| r.iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let naive =
            line.split(char::from(separator)).map(|cell| cell.trim_matches(['"', '\r', '\n']).to_owned());
        read.into_iter().chain(naive).collect()
    }

    proptest! {
        #[test]
        fn no_cell_starts_with_a_formula_however_a_line_is_split(
            name in "([A-Za]|[=+@;,|\t\"' ]|-){0,14}", written in 0..3_usize, read in 0..3_usize,
        ) {
            let separators = [Separator::Comma, Separator::Semicolon, Separator::Tab].map(Separator::byte);
            let (written, read) = (separators[written], separators[read]);
            let cells = [Cow::from("x"), neutral(&name).into(), Cow::from("y")];
            let line = String::from_utf8(lines(written, [cells]).unwrap()).unwrap();
            for cell in split(&line, read) {
                let begins = cell.trim_start_matches([' ', '"']).starts_with(['=', '+', '-', '@']);
                prop_assert!(!begins, "{line:?} read with {read:?}: {cell:?}");
            }
        }

        #[test]
        fn every_cell_survives_a_round_trip(cells in prop::collection::vec("\\PC{0,12}|[,\"\r\n]{0,4}", 2..6)) {
            let written = lines(b',', [cells.iter().map(|cell| Cow::Borrowed(cell.as_str()))]).unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&written[..]);
            let read = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), cells);
        }
    }
}
