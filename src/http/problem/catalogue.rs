//! The kinds of problems in API responses, and the codes of invalid values.

/// One kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The stable code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The title, the same for every occurrence.
    pub title: &'static str,
    /// What a client should do.
    pub remedy: &'static str,
}

macro_rules! catalogue {
    ($($name:ident = $status:literal $code:literal $title:literal $remedy:literal;)+) => {
        $(pub(super) const $name: Kind = Kind { code: $code, status: $status, title: $title, remedy: $remedy };)+

        /// Every kind of problem.
        pub const CATALOGUE: &[Kind] = &[$($name),+];
    };
}

catalogue! {
    MALFORMED_REQUEST = 400 "malformed_request" "Malformed request"
        "Correct the request. `detail` names the line and column of the JSON, or the invalid header or parameter.";
    UNAUTHENTICATED = 401 "unauthenticated" "Authentication failed"
        "Send an access token or an API key as `Authorization: Bearer …`, or an API key as `X-API-Key`. If the token has expired, refresh it or sign in again; `WWW-Authenticate` contains the reason.";
    CREDENTIAL_MALFORMED = 401 "credential_malformed" "Malformed credential"
        "Send the credential exactly as it was issued. The credential in this request is neither an access token nor an API key.";
    CREDENTIAL_EXPIRED = 401 "credential_expired" "Expired credential"
        "Refresh the access token, sign in again, or use a new API key.";
    CREDENTIAL_REVOKED = 401 "credential_revoked" "Revoked credential"
        "Sign in again, or ask an admin for a new API key.";
    WRONG_CREDENTIAL_KIND = 401 "wrong_credential_kind" "Wrong kind of credential"
        "Use an access token or an API key to authenticate requests. Send a refresh token only to `POST /api/v1/auth/refresh`.";
    FORBIDDEN = 403 "forbidden" "Forbidden"
        "Use an account with the role, or an API key with the scope, that `detail` names.";
    NOT_FOUND = 404 "not_found" "Not found"
        "Check the path and the identifier. Resources of other accounts are also reported as not found.";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed" "Method not allowed"
        "Use one of the methods in `Allow`.";
    REQUEST_TIMEOUT = 408 "request_timeout" "Request timeout"
        "Send the whole body without pauses. Nothing was changed.";
    CONFLICT = 409 "conflict" "Conflict"
        "Read the resource again and decide whether the change still applies. `detail` names the conflicting state.";
    DUPLICATE_APPLICATION = 409 "duplicate_application" "Duplicate application"
        "Use the open application that `application_id` identifies instead of creating another.";
    ASSIGNED_TO_ANOTHER = 409 "assigned_to_another" "Assigned to another account"
        "Wait until the assignment ends or `expires_at` has passed, or have the assignee or an admin release the application.";
    NOT_UNDER_REVIEW = 409 "not_under_review" "Not under review"
        "Read the application again. Only applications with the status `UNDER_REVIEW` can be assigned.";
    COUNT_CHANGED = 409 "count_changed" "Count changed"
        "Repeat the dry run, check its result, and send the new `matched` as `expected_count`. Nothing was changed.";
    DUPLICATE_VIEW = 409 "duplicate_view" "Duplicate saved view"
        "Choose another name, or delete the saved view with this name first.";
    UNKNOWN_LABEL = 409 "unknown_label" "Unknown stored value"
        "Repeat the request later. A newer version of Aval wrote a value that this instance cannot read until it is upgraded.";
    ARCHIVED = 409 "archived" "Archived application"
        "Archived applications are read-only. An operator can restore the month.";
    IN_FLIGHT = 409 "in_flight" "Request in progress"
        "Wait for `Retry-After` seconds, then send the same request with the same `Idempotency-Key`.";
    ILLEGAL_TRANSITION = 409 "illegal_transition" "Illegal transition"
        "Use one of the statuses in `allowed`.";
    EXPECTATION_FAILED = 417 "expectation_failed" "Expectation failed"
        "Send the request without `Expect`, or with `Expect: 100-continue`.";
    EVENTS_EXPIRED = 410 "events_expired" "Events expired"
        "Read the current state of the resources, then continue without `after`, with the oldest event that is still available.";
    PRECONDITION_FAILED = 412 "precondition_failed" "Precondition failed"
        "Read the resource, apply the change to its current state, and send the new `ETag` in `If-Match`.";
    PAYLOAD_TOO_LARGE = 413 "payload_too_large" "Body too large"
        "Send a smaller body. `detail` names the limit.";
    TARGET_TOO_LONG = 414 "uri_too_long" "URI too long"
        "Move filters into the body of `POST /api/v1/applications/search`.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported_media_type" "Unsupported media type"
        "Send JSON in UTF-8 as `application/json`, without `Content-Encoding`; a `PATCH` may also be `application/merge-patch+json`. Ingested events may also be `application/x-ndjson` and compressed with gzip.";
    VALIDATION_FAILED = 422 "validation_failed" "Validation failed"
        "Correct the values listed in `errors`. Each entry has a pointer, a code and a description.";
    IDEMPOTENCY_KEY_REUSED = 422 "idempotency_key_reused" "Idempotency key reused"
        "Use a new `Idempotency-Key` for each new request. A key may only be reused to repeat the same request.";
    WEBSOCKET_VERSION = 426 "upgrade_required" "Upgrade required"
        "Open the WebSocket with `Sec-WebSocket-Version: 13`.";
    RATE_LIMITED = 429 "rate_limited" "Too many requests"
        "Wait for `Retry-After` seconds. `RateLimit-Policy` lists the limits. An API key can have its own limits.";
    HEADER_TOO_LARGE = 431 "header_too_large" "Header fields too large"
        "Send fewer or shorter header fields.";
    REQUEST_REFUSED = 400 "request_refused" "Request refused"
        "Correct the request. It is not valid HTTP.";
    INTERNAL_ERROR = 500 "internal_error" "Internal error"
        "Report the `request_id`. A write with an `Idempotency-Key` can be repeated safely.";
    OVERLOADED = 503 "overloaded" "Overloaded"
        "Wait for `Retry-After` seconds, then repeat the request.";
    UNAVAILABLE = 503 "unavailable" "Service unavailable"
        "Wait for `Retry-After` seconds, then repeat the request.";
    TIMEOUT = 503 "timeout" "Timeout"
        "The request may still take effect. Read the resource, or repeat the request with the same `Idempotency-Key`.";
}

/// All values of `errors[].code` with their meanings.
#[rustfmt::skip]
pub const FIELD_CODES: &[(&str, &str)] = &[
    ("ambiguous", "Two mutually exclusive values were sent"),
    ("bad_account", "The text is not a valid account name"),
    ("bad_amount", "The amount is not a decimal number with at most ten digits before and two after the point"),
    ("bad_boolean", "The text is neither `true` nor `false`"),
    ("bad_check_digit", "The check character does not match the rest of the document"),
    ("bad_code", "The text is not a valid code of the expected kind, such as an IBAN, or its check characters do not match"),
    ("bad_cursor", "The cursor is not the `next_cursor` of this list with the same filters and sort"),
    ("bad_date", "The date does not exist, lies in the future, or is not written as `2026-01-31`"),
    ("bad_email", "The text is not an e-mail address"),
    ("bad_format", "The document has a character that is not allowed at its position"),
    ("bad_identifier", "The text is not a valid name of a task, a lane or an error"),
    ("bad_length", "The length is outside the limits in `detail`"),
    ("bad_module", "The text is not a module path"),
    ("bad_name", "The name is empty, too long or contains characters that are not allowed"),
    ("bad_note", "The note is empty, too long or contains control characters"),
    ("bad_provider", "The text is not a valid bureau name"),
    ("bad_range", "The end of the range is before its start"),
    ("bad_reason", "The reason is too long or contains control characters"),
    ("bad_reference", "The reference is empty, too long or contains characters that are not allowed"),
    ("bad_state", "The state of birth in the document does not exist"),
    ("bad_text", "The text is empty, too long or contains characters that cannot be stored"),
    ("bad_time", "The time is not in RFC 3339 format or is outside the accepted range"),
    ("bad_type", "The value has the wrong JSON type"),
    ("bad_url", "The URL is malformed or not allowed; `detail` says why"),
    ("bad_uuid", "The text is not a UUID"),
    ("bad_value", "The value cannot be stored, for example a number beyond the range of a double"),
    ("blocked_word", "The document contains a word that the authority never issues"),
    ("duplicate_field", "The member is repeated"),
    ("duplicate_parameter", "The parameter is repeated"),
    ("in_the_future", "The time is further ahead than the allowed clock skew"),
    ("inexact_number", "The number cannot be stored exactly"),
    ("needs_country", "A search by document requires the country"),
    ("not_a_person", "The document does not belong to a natural person"),
    ("not_allowed", "The member cannot be combined with the others"),
    ("not_positive", "The amount is not greater than zero"),
    ("not_searchable", "The member cannot be searched, because it is encrypted or the value is an array or an object"),
    ("nul_character", "The text contains the NUL character"),
    ("out_of_range", "The number is outside the limits in `detail`"),
    ("personal_data", "The text appears to contain personal data of the applicant"),
    ("read_only", "The member can only be set on creation"),
    ("repeated_digits", "All digits of the document are the same; no such number is issued"),
    ("required", "The member is missing, empty or `null`"),
    ("scope_needs_role", "The scope is not available to the role of the key"),
    ("staff_only", "The member is only available to staff"),
    ("too_common", "The password is on the list of common passwords"),
    ("too_deep", "The value is nested too deeply"),
    ("too_large", "The value exceeds its size limit"),
    ("too_many", "The number of members exceeds the limit"),
    ("too_many_rows", "The filters match more applications than the request allows; use narrower filters"),
    ("too_obvious", "The password is easy to guess"),
    ("too_old", "The event happened too long ago"),
    ("underage", "The person is under 18"),
    ("unknown_action", "The text is not one of the actions"),
    ("unknown_country", "The text is not a supported country code"),
    ("unknown_event_type", "The text is neither an event type nor a family of event types"),
    ("unknown_field", "The object has no member with this name"),
    ("unknown_level", "The text is not one of the log levels"),
    ("unknown_mode", "The text is not one of the modes"),
    ("unknown_outcome", "The text is not one of the outcomes"),
    ("unknown_parameter", "The request has no query parameter with this name"),
    ("unknown_risk_band", "The text is not one of the risk bands"),
    ("unknown_role", "The text is not one of the roles"),
    ("unknown_scope", "The text is not one of the scopes"),
    ("unknown_separator", "The text is not one of the separators"),
    ("unknown_sort", "The text is not one of the sort orders"),
    ("unknown_status", "The text is not one of the statuses"),
    ("unknown_target", "The text is not one of the targets"),
    ("unknown_task", "The text is not one of the tasks"),
    ("unknown_time_zone", "The text is not an IANA time zone name"),
    ("unknown_value", "The text is not one of the allowed values of the member"),
    ("unreachable_country", "The account is in a country that the payment rail does not reach"),
    ("unsupported_kind", "The payment rail of the country does not pay to a destination of this kind"),
    ("wrong_reference", "The reference does not match the one issued for this application"),
];
