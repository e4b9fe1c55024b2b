//! Request bodies and queries: one declaration generates both the OpenAPI schema and the reader.
//!
//! [`request_body!`] declares a JSON object, [`request_query!`] the parameters of a query. Each field has a type, a
//! reader, and attributes with its description in the OpenAPI document. Readers of single values are in [`values`] and
//! [`crate::json`].
//!
//! A client gets all field errors of a request in one response, so a reader does not stop at the first. Unknown and
//! duplicate members are field errors as well: they are mistakes that would otherwise be ignored silently.

pub(super) mod values;

use serde_json::value::RawValue;

use super::problem::Rejection;
use crate::error::{Error, FieldError};
use crate::json::{Members, Refusal, pointer_step};

/// Maximum number of unknown members to report, which limits the size of the response.
pub(super) const MAX_UNKNOWN_REPORTED: usize = 20;

/// Declares a struct for a JSON object in a request, with its schema and its reader, `read`.
///
/// ```text
/// request_body! {
///     /// A new meeting.
///     pub struct MeetingRequest given(now: DateTime<Utc>) {
///         /// The host.
///         #[schema(value_type = String, example = "ana.lopez")]
///         host: AccountName = required(text(account_name)),
///         /// Start time.
///         start: DateTime<Utc> = required(|raw| future_time(raw, now)),
///         /// End time; the default is one hour after the start.
///         end: Option<DateTime<Utc>> = optional(time) then(|end| not_before(end, start)),
///     }
/// }
/// ```
///
/// - `required`, `optional`, `changed` and so on are methods of [`Fields`]. All but the required ones return an
///   `Option`.
/// - `#[schema]` is utoipa's attribute; `value_type` replaces a type without a schema.
/// - `given` lists further arguments of `read`, for readers that need more than the text.
/// - `then` checks a value after all members have been read, and may convert it.
/// - Readers can use the fields declared above them, and checks can use all fields. There, each field is an `Option`:
///   `None` if it is absent or was refused.
macro_rules! request_body {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(given($($given:ident: $given_type:ty),+))? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty = $how:ident($($argument:expr),+) $(then($check:expr))?,
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(utoipa::ToSchema)]
        $vis struct $name {
            $($(#[$field_meta])* $field: $type,)+
        }

        impl $name {
            pub(in crate::http) fn read(
                members: $crate::json::Members<'_>,
                $($($given: $given_type,)+)?
            ) -> Result<Self, $crate::http::request::Refusals> {
                let mut fields = $crate::http::request::Fields::new(members);
                $(let $field = fields.$how(stringify!($field), $($argument),+);)+
                $($(let $field = fields.check(stringify!($field), $field, $check);)?)+
                fields.finish(|| Some(Self { $($field: request_body!(@value $how $field),)+ }))
            }
        }
    };
    (@value required $field:ident) => { $field? };
    (@value required_or_deprecated $field:ident) => { $field? };
    (@value $how:ident $field:ident) => { $field };
}
pub(super) use request_body;

/// Declares a struct for the parameters of a query, with its schema and its reader, `take`.
///
/// All parameters are optional. A refused parameter is `None`, and [`Query::finish`](super::query::Query::finish)
/// reports it.
macro_rules! request_query {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $read:expr,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        $vis struct $name {
            $($(#[$field_meta])* $field: $type,)+
        }

        impl $name {
            fn take(query: &mut $crate::http::query::Query) -> Self {
                Self { $($field: query.take(stringify!($field), $read),)+ }
            }
        }
    };
}
pub(super) use request_query;

/// The field errors of a refused value. Pointers are relative to the value. The list is empty if the errors were
/// reported elsewhere.
#[derive(Debug, Default)]
pub struct Refusals(Vec<FieldError>);

impl Refusals {
    /// Adds a field error for the member or element at `pointer`.
    pub fn add(&mut self, pointer: String, (code, detail): Refusal) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    /// Returns `value` if there are no field errors.
    ///
    /// # Errors
    /// The field errors.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Refusal> for Refusals {
    fn from(refusal: Refusal) -> Self {
        let mut refusals = Self::default();
        refusals.add(String::new(), refusal);
        refusals
    }
}

impl From<Refusals> for Vec<FieldError> {
    fn from(refusals: Refusals) -> Self {
        refusals.0
    }
}

impl From<Refusals> for Error {
    fn from(refusals: Refusals) -> Self {
        Self::Validation(refusals.0)
    }
}

impl From<Refusals> for Rejection {
    fn from(refusals: Refusals) -> Self {
        Error::from(refusals).into()
    }
}

/// The unread members of an object and the field errors found so far.
#[derive(Debug)]
pub struct Fields<'a> {
    members: Members<'a>,
    /// Fields that were sent under their deprecated names.
    renamed: Vec<(&'static str, &'static str)>,
    refusals: Refusals,
    /// Field errors within members, which are reported last.
    nested: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Reads an object.
    pub fn new(members: Members<'a>) -> Self {
        Self { members, renamed: Vec::new(), refusals: Refusals::default(), nested: Vec::new() }
    }

    /// Takes a member that must be present.
    pub fn required<T, E: Into<Refusals>>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        self.required_when(name, true, read)
    }

    /// Takes a member that may be absent or `null`.
    pub fn optional<T, E: Into<Refusals>>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        self.required_when(name, false, read)
    }

    /// Takes a member that must be present if `is_required`.
    pub fn required_when<T, E: Into<Refusals>>(
        &mut self,
        name: &str,
        is_required: bool,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        let found = self.members.take(name);
        if found.len() > 1 {
            self.refuse(name, ("duplicate_field", "occurs more than once".to_owned()));
        }
        match found.first().filter(|raw| raw.get() != "null") {
            Some(raw) => self.check(name, Some(*raw), read),
            None if is_required => {
                self.refuse(name, ("required", "is required".to_owned()));
                None
            }
            None => None,
        }
    }

    /// Takes a member of a JSON Merge Patch that may be absent but not `null`, which would remove it.
    pub fn changed<T, E: Into<Refusals>>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        if self.members.get(name).is_some_and(|raw| raw.get() == "null") {
            self.refuse(name, ("required", "cannot be removed".to_owned()));
        }
        self.optional(name, read)
    }

    /// Takes a member of a JSON Merge Patch that may be absent. `null` removes the value.
    pub fn changed_or_removed<T, E: Into<Refusals>>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<Option<T>> {
        let is_sent = self.members.get(name).is_some();
        let value = self.optional(name, read);
        is_sent.then_some(value)
    }

    /// Takes a member that must be present, under its deprecated name only if the current one is absent.
    pub fn required_or_deprecated<T, E: Into<Refusals>>(
        &mut self,
        name: &'static str,
        deprecated: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        let sent = self.name_sent(name, deprecated);
        self.required(sent, read)
    }

    /// Takes a member that may be absent or `null`, under its deprecated name only if the current one is absent.
    pub fn optional_or_deprecated<T, E: Into<Refusals>>(
        &mut self,
        name: &'static str,
        deprecated: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, E>,
    ) -> Option<T> {
        let sent = self.name_sent(name, deprecated);
        self.optional(sent, read)
    }

    fn name_sent(&mut self, name: &'static str, deprecated: &'static str) -> &'static str {
        if self.members.get(name).is_some() || self.members.get(deprecated).is_none() {
            return name;
        }
        self.renamed.push((name, deprecated));
        deprecated
    }

    /// Checks and converts a value of the field `name`.
    pub fn check<T, U, E: Into<Refusals>>(
        &mut self,
        name: &str,
        value: Option<T>,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        match check(value?) {
            Ok(value) => Some(value),
            Err(refusals) => {
                let sent =
                    self.renamed.iter().find(|(field, _)| *field == name).map_or(name, |(_, sent)| sent);
                let step = pointer_step(sent);
                for FieldError { pointer, code, detail } in refusals.into().0 {
                    let list = if pointer.is_empty() { &mut self.refusals.0 } else { &mut self.nested };
                    list.push(FieldError::new(format!("{step}{pointer}"), code, detail));
                }
                None
            }
        }
    }

    /// Finishes reading with `value`, which is `None` only if a field was refused.
    ///
    /// # Errors
    /// All field errors, including unknown members up to a limit.
    pub fn finish<T>(mut self, value: impl FnOnce() -> Option<T>) -> Result<T, Refusals> {
        let unknown = self.members.iter().take(MAX_UNKNOWN_REPORTED);
        let unknown = unknown.map(|(name, _)| {
            FieldError::new(pointer_step(name), "unknown_field", "is not a field of this object")
        });
        self.refusals.0.extend(unknown);
        self.refusals.0.append(&mut self.nested);
        match value() {
            Some(value) => self.refusals.into_result(value),
            None => Err(self.refusals),
        }
    }

    fn refuse(&mut self, name: &str, refusal: Refusal) {
        self.refusals.add(pointer_step(name), refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{boolean, object, string, whole_number};

    request_body! {
        struct Part {
            size: Option<i64> = optional(whole),
        }
    }

    request_body! {
        struct Whole given(max: i64) {
            name: String = required_or_deprecated("title", string) then(|name| differs(name, note.as_deref())),
            note: Option<String> = optional(string),
            is_open: Option<bool> = changed(boolean),
            part: Option<Part> = required_when(is_open == Some(true), |raw| Part::read(object(raw)?)),
            count: Option<i64> = optional(whole) then(|count| at_most(count, max)),
        }
    }

    fn whole(raw: &RawValue) -> Result<i64, Refusal> {
        whole_number(raw)?.ok_or_else(|| ("out_of_range", String::new()))
    }

    fn at_most(count: i64, max: i64) -> Result<i64, Refusal> {
        if count <= max { Ok(count) } else { Err(("out_of_range", String::new())) }
    }

    fn differs(name: String, note: Option<&str>) -> Result<String, Refusal> {
        if note == Some(name.as_str()) { Err(("ambiguous", String::new())) } else { Ok(name) }
    }

    fn refused(json: &str) -> String {
        let refusals = Whole::read(serde_json::from_str(json).unwrap(), 9).err().unwrap_or_default();
        let shown = |error: FieldError| format!("{} {}", error.pointer, error.code);
        Vec::from(refusals).into_iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_body_becomes_the_declared_struct() {
        let json = r#"{"name": "a", "note": null, "is_open": true, "part": {"size": 2}, "count": 9}"#;
        let whole = Whole::read(serde_json::from_str(json).unwrap(), 9).unwrap();
        assert_eq!((whole.name.as_str(), whole.note, whole.is_open), ("a", None, Some(true)));
        assert_eq!((whole.part.and_then(|part| part.size), whole.count), (Some(2), Some(9)));
    }

    #[test]
    fn all_field_errors_are_reported_with_their_pointers() {
        for (json, expected) in [
            (r#"{"title": "a"}"#, ""),
            ("{}", "/name required"),
            (r#"{"title": 1}"#, "/title bad_type"),
            (r#"{"title": "a", "note": "a"}"#, "/title ambiguous"),
            (r#"{"name": "a", "title": "a"}"#, "/title unknown_field"),
            (r#"{"name": null, "is_open": null}"#, "/name required, /is_open required"),
            (r#"{"name": "a", "is_open": true}"#, "/part required"),
            (r#"{"name": "a", "name": "b", "x/y~z": 1}"#, "/name duplicate_field, /x~1y~0z unknown_field"),
            (
                r#"{"part": {"size": "1", "x": 1, "size": 2}, "count": 10, "note": [], "x": 1}"#,
                "/name required, /note bad_type, /count out_of_range, /x unknown_field, \
                 /part/size duplicate_field, /part/size bad_type, /part/x unknown_field",
            ),
        ] {
            assert_eq!(refused(json), expected, "{json}");
        }
        let unknown: Vec<String> = (0..1000).map(|n| format!("\"x{n}\": 1")).collect();
        let refused = refused(&format!("{{\"name\": \"a\", {}}}", unknown.join(",")));
        assert_eq!(refused.split(", ").count(), MAX_UNKNOWN_REPORTED);
    }
}
