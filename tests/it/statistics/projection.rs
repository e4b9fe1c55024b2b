//! The projection, which updates the counters of the statistics from events.

use std::time::Duration;

use aval::clock::Clock;
use aval::domain::application::Country;
use aval::storage::applications::{Insertion, insert};
use aval::storage::outbox;
use aval::storage::outbox::OutboxRetention;
use aval::storage::statistics::{differences, project};
use diesel_async::AsyncPgConnection;

use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{application, key_ring, settings};

/// Inserts applications of two accounts and two countries with various outcomes, some of them deleted. Their events
/// are not published.
async fn fill(sql: &mut AsyncPgConnection, count: usize) {
    let clock = Clock::system();
    let rows: Vec<Insertion> = (0..count)
        .map(|n| {
            let country = if n % 3 == 0 { Country::Mx } else { Country::Es };
            let mut row = application(&clock, country, "12345678Z");
            row.created_by = format!("account {}", n % 2);
            row.into()
        })
        .collect();
    let keys = key_ring(&settings(&[]));
    for group in rows.chunks(500) {
        insert(sql, &keys, group).await.unwrap();
    }
    for change in [
        "UPDATE applications SET status = 'VALIDATING' WHERE status = 'PENDING' AND deleted_at IS NULL AND right(id::text, 1) < 'c'",
        "UPDATE applications SET status = 'UNDER_REVIEW', risk_score = 44.5 WHERE status = 'VALIDATING' AND deleted_at IS NULL AND right(id::text, 1) < '5'",
        "UPDATE applications SET status = 'APPROVED', risk_score = 12.25 WHERE status = 'VALIDATING' AND deleted_at IS NULL AND right(id::text, 1) < '9'",
        "UPDATE applications SET status = 'REJECTED' WHERE status = 'UNDER_REVIEW' AND deleted_at IS NULL AND right(id::text, 1) < '3'",
        "UPDATE applications SET deleted_at = now() WHERE right(id::text, 1) IN ('1', '6', 'd', 'e')",
        "UPDATE applications SET deleted_at = NULL WHERE right(id::text, 1) = 'd'",
        "UPDATE applications SET risk_score = 60 WHERE status = 'UNDER_REVIEW'",
    ] {
        execute(sql, change).await.unwrap();
    }
}

async fn publish_all(sql: &mut AsyncPgConnection) {
    while outbox::publish(sql, 1000).await.unwrap().published > 0 {}
}

/// The offset of the last counted event.
async fn position(sql: &mut AsyncPgConnection) -> String {
    text(sql, "SELECT last_offset FROM statistics_position").await.unwrap()
}

/// The offset of the last published event.
async fn end(sql: &mut AsyncPgConnection) -> String {
    text(sql, "SELECT last_offset FROM outbox_position").await.unwrap()
}

/// The number of applications according to the counters.
async fn counted(sql: &mut AsyncPgConnection) -> String {
    text(sql, "SELECT sum(applications) FROM application_counts WHERE owner = ''").await.unwrap_or_default()
}

#[actix_rt::test]
async fn two_concurrent_projectors_count_everything_once() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    fill(&mut sql, 1500).await;
    publish_all(&mut sql).await;
    let projector = async || {
        let mut own = database.connect().await;
        let mut counted = 0;
        loop {
            let round = project(&mut own, 97).await.unwrap();
            counted += round;
            if round == 0 {
                return counted;
            }
        }
    };
    let (first, second, third) = tokio::join!(projector(), projector(), projector());
    assert_eq!((first + second + third).to_string(), end(&mut sql).await);
    assert_eq!(position(&mut sql).await, end(&mut sql).await);
    assert_eq!(differences(&mut sql).await.unwrap(), Vec::<String>::new());
    let shown = text(&mut sql, "SELECT count(*) FROM applications WHERE deleted_at IS NULL").await;
    assert_eq!(Some(counted(&mut sql).await), shown);
}

#[actix_rt::test]
async fn an_interrupted_projection_counts_nothing() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    fill(&mut sql, 300).await;
    publish_all(&mut sql).await;
    execute(&mut sql, "BEGIN").await.unwrap();
    assert!(project(&mut sql, 100).await.unwrap() > 0);
    execute(&mut sql, "ROLLBACK").await.unwrap();
    assert_eq!((position(&mut sql).await, counted(&mut sql).await), ("0".to_owned(), String::new()));
    while project(&mut sql, 100).await.unwrap() > 0 {
        assert_eq!(
            differences(&mut sql).await.unwrap(),
            Vec::<String>::new(),
            "readers must add the uncounted events"
        );
    }
}

#[actix_rt::test]
async fn a_wrong_counter_is_detected() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    fill(&mut sql, 200).await;
    publish_all(&mut sql).await;
    project(&mut sql, 10_000).await.unwrap();
    for (change, found) in [
        (
            "UPDATE application_counts SET applications = applications + 1 WHERE owner = '' AND country = 'ES'",
            "all owners in ES",
        ),
        (
            "UPDATE application_counts SET risk_sum = risk_sum - 0.01 WHERE owner = 'account 1' AND status = 'APPROVED'",
            "account 1",
        ),
        ("DELETE FROM application_days WHERE owner = 'account 0'", "account 0"),
        ("UPDATE statistics_position SET last_offset = 0", "counted"),
    ] {
        execute(&mut sql, "BEGIN").await.unwrap();
        assert!(execute(&mut sql, change).await.unwrap() > 0, "{change}");
        let noticed = differences(&mut sql).await.unwrap();
        assert!(noticed.iter().any(|line| line.contains(found)), "{change}: {noticed:?}");
        execute(&mut sql, "ROLLBACK").await.unwrap();
    }
}

#[actix_rt::test]
async fn archiving_removes_a_month_from_the_totals_and_restoring_adds_it() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    fill(&mut sql, 300).await;
    let child = text(&mut sql, "SELECT tableoid::regclass FROM applications LIMIT 1").await.unwrap();
    let forget = format!("SELECT statistics_forget_applications('{child}')");
    publish_all(&mut sql).await;
    let refused = execute(&mut sql, &forget).await.unwrap_err();
    assert!(refused.to_string().contains("not counted yet"), "{refused}");
    project(&mut sql, 10_000).await.unwrap();
    let before = counted(&mut sql).await;
    execute(&mut sql, "BEGIN").await.unwrap();
    execute(&mut sql, &forget).await.unwrap();
    let bound = text(
        &mut sql,
        &format!("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{child}'::regclass"),
    )
    .await
    .unwrap();
    execute(&mut sql, &format!("ALTER TABLE applications DETACH PARTITION {child}")).await.unwrap();
    execute(&mut sql, "COMMIT").await.unwrap();
    assert_eq!(counted(&mut sql).await, "0");
    let created = "SELECT sum(created) FROM application_days WHERE owner = ''";
    assert_eq!(text(&mut sql, created).await.unwrap(), "300", "days must keep past activity");
    let totals = differences(&mut sql).await.unwrap();
    assert!(totals.iter().all(|line| !line.starts_with("applications of")), "{totals:?}");
    execute(&mut sql, "BEGIN").await.unwrap();
    execute(&mut sql, &format!("SELECT statistics_readmit_applications('{child}')")).await.unwrap();
    execute(&mut sql, &format!("ALTER TABLE applications ATTACH PARTITION {child} {bound}")).await.unwrap();
    execute(&mut sql, "COMMIT").await.unwrap();
    assert_eq!(counted(&mut sql).await, before);
    assert_eq!(differences(&mut sql).await.unwrap(), Vec::<String>::new());
}

#[actix_rt::test]
async fn an_event_is_kept_until_it_is_counted() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    fill(&mut sql, 20).await;
    publish_all(&mut sql).await;
    let later = Clock::system().now() + chrono::TimeDelta::days(30);
    let hour = Duration::from_secs(3600);
    let retention = OutboxRetention { minimum: hour, unread: hour };
    assert_eq!(outbox::delete_expired(&mut sql, later, retention, 1000).await.unwrap(), 0);
    assert_eq!(project(&mut sql, 7).await.unwrap(), 7);
    assert_eq!(outbox::delete_expired(&mut sql, later, retention, 1000).await.unwrap(), 7);
    assert_eq!(differences(&mut sql).await.unwrap(), Vec::<String>::new());
}

#[actix_rt::test]
async fn events_of_other_types_are_not_counted() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let other_type = "INSERT INTO outbox (type, subject, data) VALUES \
        ('payment.created.v1', uuid_v7_now(), '{\"status\": \"paid\", \"previous_status\": 7, \"country\": \"XX\"}')";
    execute(&mut sql, other_type).await.unwrap();
    fill(&mut sql, 20).await;
    publish_all(&mut sql).await;
    assert!(project(&mut sql, 1000).await.unwrap() > 20);
    assert_eq!(differences(&mut sql).await.unwrap(), Vec::<String>::new());
}

#[actix_rt::test]
async fn plain_sql_cannot_change_the_status_of_a_deleted_application() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    fill(&mut sql, 20).await;
    for change in [
        "UPDATE applications SET status = 'CANCELLED', deleted_at = now() WHERE status = 'PENDING' AND deleted_at IS NULL",
        "UPDATE applications SET status = 'CANCELLED' WHERE status = 'PENDING' AND deleted_at IS NOT NULL",
        "UPDATE applications SET status = 'CANCELLED', deleted_at = NULL WHERE status = 'PENDING' AND deleted_at IS NOT NULL",
    ] {
        execute(
            &mut sql,
            "UPDATE applications SET deleted_at = CASE WHEN id = (SELECT id FROM applications \
            WHERE status = 'PENDING' ORDER BY id LIMIT 1) THEN now() END WHERE status = 'PENDING'",
        )
        .await
        .unwrap();
        let refused = execute(&mut sql, change).await.unwrap_err();
        assert!(refused.to_string().contains("deleted application"), "{change}: {refused}");
    }
}
