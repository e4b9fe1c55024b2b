use actix_web::error::PayloadError;
use actix_web::test::TestRequest;
use futures_util::{Stream, stream};
use proptest::prelude::*;

use super::*;
use crate::http::server::tests::server_state;

async fn extract(request: TestRequest) -> Result<JsonObject, u16> {
    let (request, mut payload) = request.app_data(server_state()).to_http_parts();
    JsonObject::from_request(&request, &mut payload).await.map_err(|rejection| rejection.kind().status)
}

fn json(body: impl Into<Bytes>) -> TestRequest {
    TestRequest::post().insert_header((header::CONTENT_TYPE, "application/json")).set_payload(body)
}

#[actix_rt::test]
async fn only_plain_json_in_utf_8_is_read() {
    for (media, accepted) in [
        ("application/json", true),
        ("Application/JSON; charset=UTF-8", true),
        ("application/json; charset=\"utf-8\"", true),
        ("application/json; charset=latin1", false),
        ("application/jsonp", false),
        ("text/plain", false),
        ("", false),
    ] {
        let request = TestRequest::post().insert_header((header::CONTENT_TYPE, media)).set_payload("{}");
        assert_eq!(extract(request).await.err(), (!accepted).then_some(415), "{media}");
    }
    assert_eq!(extract(TestRequest::post().set_payload("{}")).await.err(), Some(415));
    assert_eq!(extract(json("{}").insert_header((header::CONTENT_ENCODING, "gzip"))).await.err(), Some(415));
    assert_eq!(extract(json("{}").insert_header((header::CONTENT_ENCODING, "identity"))).await.err(), None);
}

#[actix_rt::test]
async fn a_body_over_the_limit_is_refused_by_its_header_and_by_its_bytes() {
    let limit = server_state().settings().server.body_limit_bytes;
    let padded = |length: usize| format!("{{{}}}", " ".repeat(length - 2));
    assert_eq!(extract(json(padded(limit))).await.err(), None);
    assert_eq!(extract(json(padded(limit + 1))).await.err(), Some(413));
    for length in [(limit + 1).to_string(), "99999999999999999999999".to_owned()] {
        let declared = json("{}").insert_header((header::CONTENT_LENGTH, length));
        assert_eq!(extract(declared).await.err(), Some(413));
    }
}

#[actix_rt::test]
async fn a_body_that_never_ends_times_out_and_an_interrupted_one_is_malformed() {
    async fn status_of(stream: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> u16 {
        let (request, _) = json("").app_data(server_state()).to_http_parts();
        let mut payload = Payload::Stream { payload: stream.boxed_local() };
        JsonObject::from_request(&request, &mut payload).await.unwrap_err().kind().status
    }
    assert_eq!(status_of(stream::pending()).await, 408);
    let broken = [Ok(Bytes::from_static(b"{")), Err(PayloadError::Incomplete(None))];
    assert_eq!(status_of(stream::iter(broken)).await, 400);
}

#[test]
fn a_body_that_is_not_an_object_is_refused_with_the_position_but_not_the_content() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_member = format!("{{\"a\":{deep}}}");
    for (body, text) in [
        ("", "The body is empty."),
        ("\u{feff}{}", "The body is not valid JSON (line 1, column 1)."),
        ("{\n \"a\": hunter2}", "The body is not valid JSON (line 2, column 7)."),
        ("{\"a\": 1", "The JSON is incomplete (line 1, column 7)."),
        ("[1]", "The body must be a JSON object (line 1, column 0)."),
        ("null", "The body must be a JSON object (line 1, column 4)."),
        ("\"hunter2\"", "The body must be a JSON object (line 1, column 9)."),
        ("{} {}", "The body is not valid JSON (line 1, column 4)."),
        ("{\"a\": \"\u{0}\"}", "The body is not valid JSON (line 1, column 7)."),
        ("{\"a\": 1, \"b\": 2, \"\\u0061\": 3}", "The body contains a duplicate name."),
        (&deep, "The body is nested more than 32 levels deep."),
        (&deep_member, "The body is nested more than 32 levels deep."),
    ] {
        match JsonObject::check(Bytes::copy_from_slice(body.as_bytes())) {
            Err(Error::Malformed(message)) => assert_eq!(message.to_string(), text, "{body:.40}"),
            other => panic!("{body:.40}: {other:?}"),
        }
    }
    assert!(JsonObject::check(Bytes::from_static(b"{\"a\": \"\xff\"}")).is_err());
    let brackets_in_text = format!("{{\"a\": \"\\\"{}\"}}", "[".repeat(100));
    assert!(JsonObject::check(Bytes::from(brackets_in_text)).is_ok());
}

#[test]
fn values_are_counted_outside_of_strings_before_parsing() {
    for (body, values) in [
        (r#"{"a": 1}"#, 1),
        (r#"{"a": 1, "b": 2}"#, 2),
        (r#"{"a,b,c": "[1,2,{\",3"}"#, 1),
        (r#"{"a": [1, 2, 3]}"#, 4),
        (r#"{"a": {"b": {"c": 0}}}"#, 3),
    ] {
        assert_eq!(Extent::of(body.as_bytes()).values, values, "{body}");
        let bytes = || Bytes::copy_from_slice(body.as_bytes());
        assert!(JsonObject::check_within(bytes(), values).is_ok(), "{body}");
        assert!(JsonObject::check_within(bytes(), values - 1).is_err(), "{body}");
    }
    let many = format!("{{{}}}", (0..300_000).map(|_| "\"a\":1,").collect::<String>());
    match JsonObject::check(Bytes::from(many)) {
        Err(Error::Malformed(text)) => assert!(text.to_string().contains("4096 members"), "{text}"),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_object_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = JsonObject::check(Bytes::from(bytes)) {
            prop_assert!(matches!(error, Error::Malformed(_)));
        }
    }
}
