//! Requests that are refused.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{EVENTS, at, event, many, send, stored};
use crate::support::app::TestApp;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");

/// Headers, body, status, code, and the detail of a 400 or the first field error of a 422.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [u8], u16, &'a str, &'a str);

#[actix_rt::test]
async fn every_kind_of_bad_body_gets_its_problem_and_stores_nothing() {
    let app = TestApp::start_idle().await;
    let valid = event("ana", "1", &at(-1)).to_string();
    let lines = ("Content-Type", "application/x-ndjson");
    let too_many = many(&vec![json!({}); 1001]).to_string();
    let too_many_lines = "{}\n".repeat(1001);
    let deep = format!(r#"{{"events":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases: &[Case<'_>] = &[
        (&[JSON], b"", 400, "malformed_request", "The body is empty."),
        (&[JSON], b"{", 400, "malformed_request", "The JSON is incomplete (line 1, column 1)."),
        (&[JSON], b"[]", 400, "malformed_request", "The body must be a JSON object (line 1, column 0)."),
        (&[JSON], b"\xff{}", 400, "malformed_request", "The body is not UTF-8."),
        (&[JSON, GZIP], valid.as_bytes(), 400, "malformed_request", "The body is not valid gzip."),
        (
            &[lines],
            b"{}\n{]",
            400,
            "malformed_request",
            "The event with index 1 is not valid JSON (line 2, column 2).",
        ),
        (&[lines], b"\n\n", 400, "malformed_request", "The body is empty."),
        (&[("Content-Type", "text/plain")], valid.as_bytes(), 415, "unsupported_media_type", ""),
        (
            &[("Content-Type", "application/json; charset=latin1")],
            valid.as_bytes(),
            415,
            "unsupported_media_type",
            "",
        ),
        (&[], valid.as_bytes(), 415, "unsupported_media_type", ""),
        (&[JSON, ("Content-Encoding", "br")], valid.as_bytes(), 415, "unsupported_media_type", ""),
        (&[JSON], br#"{"events": []}"#, 422, "validation_failed", "/events required"),
        (&[JSON], br#"{"events": {}}"#, 422, "validation_failed", "/events bad_type"),
        (&[JSON], br#"{"events": [], "id": "1"}"#, 422, "validation_failed", "/events not_allowed"),
        (&[JSON], too_many.as_bytes(), 422, "validation_failed", "/events too_many"),
        (&[lines], too_many_lines.as_bytes(), 422, "validation_failed", " too_many"),
        (&[JSON], deep.as_bytes(), 422, "validation_failed", "/events/0 bad_type"),
        (&[JSON], b"{}", 422, "validation_failed", "/id required"),
        (&[lines], b"7\n{\"id\":\"1\",\"user_id\":7}", 422, "validation_failed", "/0 bad_type"),
    ];
    for (headers, body, status, code, expected) in cases {
        let answer = send(&app, headers, body.to_vec()).await;
        let about = String::from_utf8_lossy(body).chars().take(60).collect::<String>();
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (*status, &json!(code)), "{about}");
        match status {
            422 => assert_eq!(answer.field_errors()[0], *expected, "{about}"),
            400 => assert_eq!(answer.json["detail"], *expected, "{about}"),
            _ => {}
        }
    }
    assert_eq!(stored(&app).await, "0");
}

#[actix_rt::test]
async fn a_request_without_a_valid_event_names_the_index_of_each() {
    let app = TestApp::start_idle().await;
    let mut wrong = event("ana", "1", &at(-1));
    wrong["properties"] = json!({"a": "\u{0}"});
    let answer = app
        .post(EVENTS, &many(&[json!({}), wrong, event("", "1", &at(-1)), event("ana", "1", &at(400))]))
        .await;
    assert_eq!(answer.status.as_u16(), 422);
    assert_eq!(
        answer.field_errors(),
        [
            "/events/0/id required",
            "/events/1/properties nul_character",
            "/events/2/user_id bad_text",
            "/events/3/occurred_at in_the_future"
        ]
    );
}

#[actix_rt::test]
async fn a_body_above_two_mebibytes_is_refused_compressed_or_not() {
    let app = TestApp::start_idle().await;
    let large = vec![b' '; (2 << 20) + 1];
    send(&app, &[JSON], large).await.expect(413);
    // A thousandth of its size when it is compressed.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..200 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 400_000);
    let problem = send(&app, &[JSON, GZIP], bomb).await.expect(413);
    assert_eq!(problem["detail"], "The limit is 2097152 bytes.");
    let mut cut = GzEncoder::new(Vec::new(), Compression::default());
    cut.write_all(event("ana", "1", &at(-1)).to_string().as_bytes()).unwrap();
    let mut cut = cut.finish().unwrap();
    cut.truncate(cut.len() - 4);
    send(&app, &[JSON, GZIP], cut).await.expect(400);
}
