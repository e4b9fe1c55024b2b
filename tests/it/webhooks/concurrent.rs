//! Many concurrent webhooks, with duplicates and in random order.

use std::collections::BTreeMap;

use aval::domain::application::Country;
use futures_util::StreamExt as _;
use serde_json::Value;

use super::{Message, confirmed, waiting};
use crate::support::app::TestApp;
use crate::support::builders::{body, samples};

/// The number of concurrent webhooks.
const AT_ONCE: usize = 40;

/// The messages in random order.
fn shuffled(messages: Vec<Message>) -> Vec<Message> {
    let mut keyed: Vec<(uuid::Uuid, Message)> =
        messages.into_iter().map(|message| (uuid::Uuid::new_v4(), message)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, message)| message).collect()
}

/// Sends all messages and counts the responses by result.
async fn send_all(app: &TestApp, messages: Vec<Message>) -> BTreeMap<&'static str, usize> {
    let answers = futures_util::stream::iter(messages)
        .map(|message| async move { message.send(app).await.expect(200) })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<Value>>()
        .await;
    let mut counts = BTreeMap::new();
    for answer in answers {
        let word = match (&answer["duplicate"], &answer["applied"]) {
            (Value::Bool(true), _) => "duplicate",
            (_, Value::Bool(true)) => "applied",
            _ => "ignored",
        };
        *counts.entry(word).or_default() += 1;
    }
    counts
}

#[actix_rt::test]
async fn a_thousand_webhooks_for_a_hundred_applications_are_each_applied_once() {
    let app = TestApp::start_idle().await;
    let mut messages = Vec::new();
    for n in 0..100 {
        let message = confirmed(&waiting(&app, Country::ALL[n % 6]).await);
        let message = message.with("verified", true).with(
            "average_monthly_income",
            match n % 6 {
                2 => "3000.00",
                _ => "1000.00",
            },
        );
        messages.extend(std::iter::repeat_n(message, 10));
    }
    let counts = send_all(&app, shuffled(messages)).await;
    assert_eq!(counts, BTreeMap::from([("applied", 100), ("duplicate", 900)]));
    let trails = "SELECT string_agg(DISTINCT trail, ', ') FROM (SELECT string_agg(new_status::text, ' ' ORDER BY version) \
        AS trail FROM audit_logs GROUP BY application_id) t";
    assert_eq!(app.sql(trails).await, "PENDING VALIDATING APPROVED");
    for (count, query) in [
        ("100", "SELECT count(DISTINCT application_id) FROM decisions"),
        ("100", "SELECT count(*) FROM decisions"),
        ("100", "SELECT count(*) FROM webhook_events WHERE status = 'applied' AND attempts = 1"),
        ("100", "SELECT count(*) FROM webhook_events"),
        ("100", "SELECT count(*) FROM job_history WHERE result = 'completed'"),
        ("0", "SELECT count(*) FROM pending_jobs"),
        ("300", "SELECT count(*) FROM outbox"),
    ] {
        assert_eq!(app.sql(query).await, count, "{query}");
    }
}

#[actix_rt::test]
async fn racing_calls_and_webhooks_decide_each_application_once() {
    let app = TestApp::start(&[]).await;
    let mut messages = Vec::new();
    let mut ids = Vec::new();
    for n in 0..30 {
        let (country, document) = samples()[n % 6];
        let id = app.submit(&body(country, document)).await;
        // Each application gets two different webhooks, each of them twice. The first one to be processed may decide the
        // application before its job does.
        for (outcome, day) in [("confirmed", 30), ("rejected", 31)] {
            let at = format!("2026-01-{day}T12:00:00Z");
            let message = confirmed(&id).with("outcome", outcome).with("occurred_at", at);
            messages.extend([message.clone(), message]);
        }
        ids.push(id);
    }
    let counts = send_all(&app, shuffled(messages)).await;
    assert_eq!(counts["duplicate"], 60, "{counts:?}");
    for id in &ids {
        app.decided(id).await;
        let trail = app.trail(id).await;
        let reviewed = trail.replace(" UNDER_REVIEW", "");
        assert!(
            ["PENDING VALIDATING APPROVED", "PENDING VALIDATING REJECTED", "PENDING VALIDATING"]
                .contains(&reviewed.as_str()),
            "{trail}"
        );
    }
    assert_eq!(
        app.sql("SELECT count(*) FROM webhook_events WHERE status IN ('applied', 'ignored')").await,
        "60"
    );
    assert_eq!(app.sql("SELECT count(*) FROM failed_jobs").await, "0");
    // An application that was never under review has exactly one decision.
    let twice = "SELECT count(*) FROM (SELECT 1 FROM decisions d GROUP BY application_id HAVING count(*) > 1 \
        AND NOT EXISTS (SELECT 1 FROM audit_logs a WHERE a.application_id = d.application_id \
            AND new_status = 'UNDER_REVIEW')) t";
    assert_eq!(app.sql(twice).await, "0");
}
