//! Graceful shutdown: no accepted work is lost, and another instance continues.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aval::domain::application::Country;
use awc::ws::CloseCode;
use serde_json::{Value, json};

use crate::support::app::{Received, TestApp, TestSocket};
use crate::support::builders::{body, samples, spanish};

const IN_FLIGHT: usize = 100;
/// The time that a shutdown may take beyond its deadline, for stages with a minimum time.
const GRACE: Duration = Duration::from_secs(4);

async fn submit_many(app: &TestApp) -> BTreeSet<String> {
    let bodies = (0..IN_FLIGHT).map(|n| {
        let (country, document) = samples()[n % samples().len()];
        async move { app.submit(&body(country, document)).await }
    });
    futures_util::future::join_all(bodies).await.into_iter().collect()
}

/// Reads until the connection is closed. Returns the close code.
async fn until_closed(mut socket: TestSocket) -> Option<CloseCode> {
    loop {
        if let Received::Closed(code) = socket.receive().await {
            return code;
        }
    }
}

/// Starts another instance and checks that it decides every accepted application exactly once.
async fn finish_on_another(database: Rc<crate::support::db::TestDatabase>, accepted: &BTreeSet<String>) {
    let next = TestApp::start_on(database, &[]).await;
    for id in accepted {
        assert_eq!(next.decided(id).await, "APPROVED");
    }
    let expected = accepted.len().to_string();
    assert_eq!(next.sql("SELECT count(*) FROM applications").await, expected, "exactly the accepted ones");
    assert_eq!(next.sql("SELECT count(*) FROM decisions").await, expected, "each must be decided once");
    let trails = "SELECT count(*) FROM (SELECT string_agg(new_status::text, ' ' ORDER BY version) AS trail \
        FROM audit_logs GROUP BY application_id) AS t WHERE trail = 'PENDING VALIDATING APPROVED'";
    assert_eq!(next.sql(trails).await, expected);
    assert_eq!(next.sql("SELECT count(*) FROM failed_jobs").await, "0");
    assert_eq!(next.sql("SELECT count(*) FROM outbox WHERE relay_offset IS NULL").await, "0");
}

#[actix_rt::test]
async fn a_hundred_applications_in_flight_survive_a_shutdown_and_their_leases_are_released() {
    let app = TestApp::start(&[("AVAL__SERVER__SHUTDOWN_TIMEOUT_MS", "1500")]).await;
    // Longer than the shutdown may take, so running jobs must be returned to the queue.
    for country in Country::ALL {
        app.simulator().script().set_latency(country, Duration::from_secs(8));
    }
    let socket = app.websocket().await;
    let accepted = submit_many(&app).await;
    let database = Rc::clone(&app.database);
    let started = Instant::now();
    let (_, code) = futures_util::join!(app.stop(), until_closed(socket));
    let took = started.elapsed();
    assert!(took < Duration::from_millis(1500) + GRACE, "{took:?}");
    assert_eq!(code, Some(CloseCode::Away));

    let mut sql = database.connect().await;
    let jobs = "SELECT count(*) FILTER (WHERE status = 'processing') || ' ' || count(*) FILTER (WHERE attempt > 0) \
        || ' ' || count(*) FROM pending_jobs";
    let jobs = crate::support::db::text(&mut sql, jobs).await.unwrap();
    assert_eq!(jobs, format!("0 0 {IN_FLIGHT}"), "no job may be held, lost or have used an attempt");
    finish_on_another(database, &accepted).await;
}

#[actix_rt::test]
async fn jobs_finish_if_the_deadline_permits() {
    let app = TestApp::start(&[]).await;
    for country in Country::ALL {
        app.simulator().script().set_latency(country, Duration::from_millis(100));
    }
    let accepted = submit_many(&app).await;
    let database = Rc::clone(&app.database);
    app.stop().await;
    let mut sql = database.connect().await;
    let held = "SELECT count(*) FROM pending_jobs WHERE status = 'processing'";
    assert_eq!(crate::support::db::text(&mut sql, held).await.as_deref(), Some("0"));
    finish_on_another(database, &accepted).await;
}

#[actix_rt::test]
async fn requests_during_a_shutdown_are_either_accepted_permanently_or_not_at_all() {
    let app = TestApp::start(&[]).await;
    let (client, url, token) = (app.client.clone(), app.url("/api/v1/applications"), app.token.clone());
    let database = Rc::clone(&app.database);
    let stream = async {
        let mut accepted = BTreeSet::new();
        loop {
            let sent = client.post(&url).bearer_auth(&token).send_json(&spanish()).await;
            match sent {
                Ok(mut answer) if answer.status() == 201 => {
                    let created: Value = answer.json().await.unwrap();
                    accepted.insert(created["id"].as_str().unwrap().to_owned());
                }
                Ok(answer) => assert_eq!(answer.status(), 503),
                Err(_) => return accepted,
            }
        }
    };
    let stopping = async {
        let id = app.submit(&spanish()).await;
        app.decided(&id).await;
        app.stop().await;
        id
    };
    let (mut accepted, first) = futures_util::join!(stream, stopping);
    assert!(!accepted.is_empty());
    accepted.insert(first);
    finish_on_another(database, &accepted).await;
}

#[actix_rt::test]
async fn an_instance_that_shuts_down_leaves_its_work_to_another() {
    let first = TestApp::start(&[]).await;
    let second = TestApp::start_on(Rc::clone(&first.database), &[]).await;
    let mut socket = second.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    let accepted = submit_many(&first).await;
    first.stop().await;
    let late = second.submit(&spanish()).await;
    for id in &accepted {
        assert_eq!(second.decided(id).await, "APPROVED");
    }
    let mut decided = BTreeSet::new();
    while decided.len() <= accepted.len() {
        let update = socket.json().await;
        if update["data"]["status"] == "APPROVED" {
            assert!(decided.insert(update["data"]["id"].as_str().unwrap().to_owned()), "{update}: twice");
        }
    }
    assert!(decided.contains(&late) && decided.is_superset(&accepted));
}
