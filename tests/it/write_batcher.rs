//! The write batcher when writes are slow or impossible.

use std::time::{Duration, Instant};

use aval::domain::application::Country;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use futures_util::FutureExt as _;

use crate::support::db::{execute, text};
use crate::support::engine::{TestEngine, application};
use crate::support::eventually;

#[actix_rt::test]
async fn an_application_whose_client_disconnected_while_queued_is_not_written() {
    let test = TestEngine::start(&[("AVAL__ACTORS__WRITE_BATCHERS", "1")]).await;
    let row = || application(&test.engine.resources.clock, Country::Es, "12345678Z");
    let mut sql = test.database.connect().await;
    execute(&mut sql, "BEGIN").await.unwrap();
    execute(&mut sql, "LOCK TABLE applications").await.unwrap();

    let (first, abandoned) = (row(), row());
    let (first_id, abandoned_id) = (first.id, abandoned.id);
    let mut in_progress = Box::pin(aval::lending::submit::insert(&test.engine.write_batchers, first));
    assert!((&mut in_progress).now_or_never().is_none());
    assert!(aval::lending::submit::insert(&test.engine.write_batchers, abandoned).now_or_never().is_none());
    execute(&mut sql, "COMMIT").await.unwrap();

    in_progress.await.unwrap();
    aval::lending::submit::insert(&test.engine.write_batchers, row()).await.unwrap();
    let written = format!("SELECT count(*) FROM applications WHERE id IN ('{first_id}', '{abandoned_id}')");
    assert_eq!(text(&mut sql, &written).await.as_deref(), Some("1"));
    assert_eq!(text(&mut sql, "SELECT count(*) FROM applications").await.as_deref(), Some("2"));
}

#[actix_rt::test]
async fn writes_without_a_database_fail_quickly_and_later_ones_succeed() {
    let test = TestEngine::start(&[
        ("AVAL__ACTORS__WRITE_BATCHERS", "1"),
        ("AVAL__DATABASE__ACQUIRE_TIMEOUT_MS", "500"),
    ])
    .await;
    let row = || application(&test.engine.resources.clock, Country::Es, "12345678Z");
    let name = test.text("SELECT current_database()").await.unwrap();
    let admin_url = test.database.url().replacen(&name, "postgres", 1);
    let mut admin = AsyncPgConnection::establish(&admin_url).await.unwrap();
    execute(&mut admin, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    execute(&mut admin, &cut).await.unwrap();

    let began = Instant::now();
    let answers = futures_util::future::join_all(
        (0..60).map(|_| aval::lending::submit::insert(&test.engine.write_batchers, row())),
    )
    .await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "each write waited for its own timeout, which takes half a minute in total"
    );
    for answer in answers {
        assert!(answer.expect_err("the database is unavailable").retryable());
    }

    execute(&mut admin, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await.unwrap();
    eventually("a write", async || {
        aval::lending::submit::insert(&test.engine.write_batchers, row()).await.ok()
    })
    .await;
}
