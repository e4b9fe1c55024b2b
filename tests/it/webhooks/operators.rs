//! The list of webhook events for operators.

use aval::domain::application::Country;
use serde_json::Value;

use super::{confirmed, waiting};
use crate::support::app::TestApp;

const LIST: &str = "/api/v1/admin/webhook-events";

fn ids(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_rt::test]
async fn the_list_is_paginated_newest_first_without_payloads() {
    let app = TestApp::start_idle().await;
    let mut sent = Vec::new();
    for country in [Country::Es, Country::Pt, Country::Es, Country::Es, Country::Br] {
        let message = confirmed(&waiting(&app, country).await).with("reason", "a reason of the bureau's own");
        sent.push(message.send(&app).await.expect(200)["event_id"].as_str().unwrap().to_owned());
    }
    sent.reverse();
    let mut found = Vec::new();
    let mut path = format!("{LIST}?page_size=2");
    loop {
        let answer = app.get(&path).await;
        assert!(!answer.text().contains("a reason of"), "{}", answer.text());
        let page = answer.expect(200);
        found.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{LIST}?page_size=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found, sent);
}

#[actix_rt::test]
async fn the_list_is_filtered_and_rejects_unknown_filters() {
    let app = TestApp::start_idle().await;
    let (spanish, brazilian) = (waiting(&app, Country::Es).await, waiting(&app, Country::Br).await);
    for id in [&spanish, &spanish, &brazilian] {
        confirmed(id).send(&app).await.expect(200);
    }
    for (query, count) in [
        ("", 3),
        ("?provider=ASNEF-CIRBE", 2),
        ("?provider=Serasa%20Experian&status=applied", 1),
        ("?status=ignored", 1),
        ("?status=failed", 0),
        (&format!("?application_id={spanish}"), 2),
        (&format!("?application_id={spanish}&status=applied"), 1),
    ] {
        assert_eq!(ids(&app.get(&format!("{LIST}{query}")).await.expect(200)).len(), count, "{query}");
    }
    for (query, error) in [
        ("?status=lost", "?status unknown_status"),
        ("?provider=%00", "?provider bad_provider"),
        ("?application_id=7", "?application_id bad_uuid"),
        ("?page_size=0", "?page_size out_of_range"),
        ("?cursor=AAAA", "?cursor bad_cursor"),
        ("?provders=x", "?provders unknown_parameter"),
    ] {
        let answer = app.get(&format!("{LIST}{query}")).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
}
