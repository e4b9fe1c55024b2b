//! Query parameters.
//!
//! A query string is first split into parameters. Handlers take the parameters that they support. Unknown, duplicate
//! and invalid parameters are all reported by name in one response. An unknown parameter is an error because a misspelt
//! filter would otherwise silently be ignored.

use std::fmt;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::problem::Rejection;
use crate::error::{Error, FieldError, PublicMessage};
use crate::json::Refusal;

/// Maximum number of parameters.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request that have not been taken, and the field errors found so far.
#[derive(Default)]
pub struct Query {
    parameters: Vec<(String, String)>,
    /// The names of all parameters that have a value.
    sent: Vec<String>,
    field_errors: Vec<FieldError>,
}

impl fmt::Debug for Query {
    /// Omits names and values, which may contain personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({})", self.parameters.len())
    }
}

impl Query {
    /// Parses a query string: `name=value` pairs, percent-encoded in UTF-8, with `+` for a space. A parameter without a
    /// value counts as absent.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the encoding is invalid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let pairs: Vec<&str> = text.split('&').filter(|pair| !pair.is_empty()).collect();
        if pairs.len() > MAX_PARAMETERS {
            return Err(malformed("The query string has too many parameters."));
        }
        let mut parameters = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            parameters
                .push(decoded.ok_or_else(|| malformed("The query string is not percent-encoded UTF-8."))?);
        }
        Ok(Self::of(parameters))
    }

    /// The parameters with these names and values.
    pub fn of(parameters: Vec<(String, String)>) -> Self {
        let sent = parameters.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.clone());
        Self { sent: sent.collect(), parameters, field_errors: Vec::new() }
    }

    /// Takes a parameter. `read` returns its value, or the code and detail of the refusal.
    pub fn take<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        let (found, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parameters).into_iter().partition(|(parameter, _)| parameter == name);
        self.parameters = rest;
        if found.len() > 1 {
            self.refuse(name, "duplicate_parameter", "occurs more than once");
            return None;
        }
        let (_, value) = found.into_iter().next().filter(|(_, value)| !value.is_empty())?;
        self.check(name, read(&value))
    }

    /// Returns the value of a successful `read`. Otherwise adds its refusal to the field errors.
    pub fn check<T>(&mut self, name: &str, read: Result<T, Refusal>) -> Option<T> {
        read.map_err(|(code, detail)| self.refuse(name, code, &detail)).ok()
    }

    /// Whether a parameter was sent with a value, even if it has been taken.
    pub fn was_sent(&self, name: &str) -> bool {
        self.sent.iter().any(|sent| sent == name)
    }

    /// Adds a field error of a parameter.
    pub fn refuse(&mut self, name: &str, code: &'static str, detail: &str) {
        self.field_errors.push(FieldError::new(format!("?{name}"), code, detail));
    }

    /// Finishes reading.
    ///
    /// # Errors
    /// [`Error::Validation`] with all field errors, including parameters that were not taken.
    pub fn finish(mut self) -> Result<(), Error> {
        for (name, _) in std::mem::take(&mut self.parameters) {
            self.refuse(&name, "unknown_parameter", "is not a parameter of this request");
        }
        if self.field_errors.is_empty() { Ok(()) } else { Err(Error::Validation(self.field_errors)) }
    }
}

fn malformed(text: &str) -> Error {
    Error::Malformed(PublicMessage::new(text))
}

/// Decodes `application/x-www-form-urlencoded` text; `None` if an escape is invalid or the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(rest.next()?)? * 16 + hex_digit(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl FromRequest for Query {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(request.query_string()).map_err(Rejection::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Result<u32, (&'static str, String)> {
        text.parse().ok().ok_or_else(|| ("bad_number", "must be a number".to_owned()))
    }

    fn field_errors(query: Query) -> Vec<(String, &'static str)> {
        match query.finish() {
            Err(Error::Validation(fields)) => fields.into_iter().map(|f| (f.pointer, f.code)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn known_parameters_are_taken_once_and_all_others_are_reported() {
        let mut query = Query::parse("a=1&b=x&c=1&c=2&d%20e=%C3%A9&f=").unwrap();
        assert_eq!(query.take("a", number), Some(1));
        assert_eq!(query.take("b", number), None);
        assert_eq!(query.take("c", number), None);
        assert_eq!(query.take("f", number), None, "an empty value is an absent one");
        let expected = [
            ("?b".to_owned(), "bad_number"),
            ("?c".to_owned(), "duplicate_parameter"),
            ("?d e".to_owned(), "unknown_parameter"),
        ];
        assert_eq!(field_errors(query), expected);
        assert!(Query::parse("").unwrap().finish().is_ok());
        assert!(Query::parse("&&").unwrap().finish().is_ok());
    }

    #[test]
    fn an_invalid_encoding_is_malformed() {
        for text in ["a=%", "a=%2", "a=%zz", "%ff=1", "a=%C3", "a=%+1", "a=%é0"] {
            assert!(matches!(Query::parse(text), Err(Error::Malformed(_))), "{text}");
        }
        assert!(Query::parse(&"a=1&".repeat(65)).is_err());
    }

    proptest! {
        #[test]
        fn every_encoded_text_is_decoded(text in "\\PC{0,20}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode(&encoded), Some(text));
        }

        #[test]
        fn no_query_causes_a_panic(text in "\\PC{0,40}") {
            if let Ok(query) = Query::parse(&text) {
                let _ = query.finish();
            }
        }
    }
}
