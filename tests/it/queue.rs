//! The queue: leases, fencing, attempts and dead letters, through its storage functions and a running engine.

use std::time::Duration;

use aval::domain::application::Country;
use aval::error::Error;
use aval::storage::applications::{BeginJob, JobStart};
use aval::storage::jobs::{self, Claim, Heartbeat, KnownTask, Quota, Release};
use diesel_async::AsyncPgConnection;

use crate::support::db::{TestDatabase, execute, text};
use crate::support::engine::{TestEngine, application, key_ring, settings, start_engine};
use crate::support::eventually;

fn claim(limit: i32) -> Claim {
    Claim {
        worker: "test".to_owned(),
        limit,
        lease_ms: 30_000,
        tasks: vec![KnownTask { name: "process_credit_application", max_attempts: 3 }],
        lanes: ["", "ES", "PT", "MX"].map(Quota::whole).to_vec(),
    }
}

/// Inserts `count` pending applications. A trigger adds their jobs to the queue.
async fn enqueue(sql: &mut AsyncPgConnection, count: usize) {
    let clock = aval::clock::Clock::system();
    let rows: Vec<_> = (0..count).map(|_| application(&clock, Country::Es, "12345678Z").into()).collect();
    aval::storage::applications::insert(sql, &key_ring(&settings(&[])), &rows).await.unwrap();
}

#[actix_rt::test]
async fn two_claims_never_get_the_same_job() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 40).await;
    let claims = (0..4).map(|_| async {
        let mut connection = database.connect().await;
        jobs::claim(&mut connection, &claim(15)).await.unwrap().jobs
    });
    let mut claimed: Vec<_> = futures_util::future::join_all(claims)
        .await
        .into_iter()
        .flatten()
        .map(|job| job.lease.job_id)
        .collect();
    assert_eq!(claimed.len(), 40);
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 40);
}

#[actix_rt::test]
async fn a_worker_that_lost_its_lease_cannot_change_anything() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    let first = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    assert!(
        jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.is_empty(),
        "a valid lease must be respected"
    );
    execute(&mut sql, "UPDATE pending_jobs SET leased_until = now() - interval '1 second'").await.unwrap();
    let second = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    assert_eq!((first.lease.job_id, first.attempt, second.attempt), (second.lease.job_id, 1, 2));
    assert!(second.lease.token > first.lease.token);
    let renewal = |lease| Heartbeat { lease, lease_ms: 1000 };
    assert_eq!(
        jobs::renew(&mut sql, &[renewal(first.lease), renewal(second.lease)]).await.unwrap()[..],
        [false, true][..]
    );
    let release = Release {
        lease: first.lease,
        delay_ms: 0,
        give_attempt_back: false,
        error: None,
        provider_reference: None,
    };
    assert_eq!(jobs::release(&mut sql, &[release]).await.unwrap(), [false]);
    assert_eq!(jobs::supersede(&mut sql, &[first.lease]).await.unwrap(), [false]);
    assert_eq!(text(&mut sql, "SELECT status FROM pending_jobs").await.as_deref(), Some("processing"));
}

#[actix_rt::test]
async fn an_expired_job_is_claimed_even_if_the_queue_is_never_empty() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    let lost = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    execute(&mut sql, "UPDATE pending_jobs SET leased_until = now() - interval '1 second'").await.unwrap();
    enqueue(&mut sql, 5).await;
    let claimed = jobs::claim(&mut sql, &claim(2)).await.unwrap().jobs;
    assert_eq!(claimed.len(), 2, "the batch must also contain due jobs");
    assert!(claimed.iter().any(|job| job.lease.job_id == lost.lease.job_id && job.attempt == 2));
}

#[actix_rt::test]
async fn a_renewal_does_not_wait_for_a_job_that_another_transaction_is_ending() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 2).await;
    let claimed = jobs::claim(&mut sql, &claim(2)).await.unwrap().jobs;
    execute(&mut sql, "UPDATE pending_jobs SET leased_until = now() + interval '1 second'").await.unwrap();
    let mut other = database.connect().await;
    execute(&mut other, "BEGIN").await.unwrap();
    let ending = format!("DELETE FROM pending_jobs WHERE id = '{}'", claimed[0].lease.job_id);
    execute(&mut other, &ending).await.unwrap();

    execute(&mut sql, "SET lock_timeout = '5s'").await.unwrap();
    let heartbeats: Vec<_> =
        claimed.iter().map(|job| Heartbeat { lease: job.lease, lease_ms: 60_000 }).collect();
    assert_eq!(jobs::renew(&mut sql, &heartbeats).await.unwrap(), [true, true]);
    let renewed = "SELECT count(*) FROM pending_jobs WHERE leased_until > now() + interval '30 seconds'";
    assert_eq!(text(&mut sql, renewed).await.as_deref(), Some("1"));
    execute(&mut other, "COMMIT").await.unwrap();
    assert_eq!(jobs::renew(&mut sql, &heartbeats).await.unwrap(), [false, true]);
}

#[actix_rt::test]
async fn a_snooze_does_not_use_an_attempt_and_a_failure_does() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    for (give_attempt_back, attempts) in [(true, "0"), (false, "1"), (false, "2")] {
        let job = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
        let error = Some(("timeout".to_owned(), "too slow".to_owned()));
        let (lease, provider_reference) = (job.lease, None);
        let release = Release { lease, delay_ms: 0, give_attempt_back, error, provider_reference };
        assert_eq!(jobs::release(&mut sql, &[release]).await.unwrap(), [true]);
        assert_eq!(text(&mut sql, "SELECT attempt FROM pending_jobs").await.as_deref(), Some(attempts));
    }
    assert_eq!(text(&mut sql, "SELECT error_type FROM pending_jobs").await.as_deref(), Some("timeout"));
}

#[actix_rt::test]
async fn a_job_whose_worker_died_in_the_last_attempt_becomes_a_dead_letter() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    execute(
        &mut sql,
        "UPDATE pending_jobs SET status = 'processing', attempt = 3, lease_token = 1, leased_by = 'gone', \
         leased_until = now() - interval '1 second'",
    )
    .await
    .unwrap();
    assert!(jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.is_empty());
    let engine = start_engine(&database, &[("AVAL__JOBS__POLL_INTERVAL_MS", "50")]).await;
    crate::support::eventually("the dead letter", async || {
        text(&mut sql, "SELECT job_id FROM failed_jobs").await
    })
    .await;
    let trail =
        text(&mut sql, "SELECT string_agg(new_status::text, ' ' ORDER BY version) FROM audit_logs").await;
    assert_eq!(trail.as_deref(), Some("PENDING VALIDATING UNDER_REVIEW"));
    assert_eq!(engine.running.len(), 0);
}

#[actix_rt::test]
async fn a_job_of_a_dead_instance_runs_on_another_after_its_lease() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 5).await;
    let abandoned = Claim { lease_ms: 300, ..claim(5) };
    assert_eq!(jobs::claim(&mut sql, &abandoned).await.unwrap().jobs.len(), 5);
    let engine = start_engine(&database, &[("AVAL__JOBS__POLL_INTERVAL_MS", "50")]).await;
    crate::support::eventually("five approved applications", async || {
        let done = text(&mut sql, "SELECT count(*) FROM applications WHERE status = 'APPROVED'").await;
        (done.as_deref() == Some("5")).then_some(())
    })
    .await;
    drop(engine);
}

#[actix_rt::test]
async fn jobs_of_unknown_tasks_are_left_to_other_versions() {
    let test = TestEngine::start(&[("AVAL__JOBS__POLL_INTERVAL_MS", "50")]).await;
    let mut sql = test.database.connect().await;
    execute(&mut sql, "INSERT INTO pending_jobs (task_name, priority) VALUES ('brew_coffee', 9)")
        .await
        .unwrap();
    let id = test.submit(Country::Es, "12345678Z").await;
    test.reaches(id, "APPROVED").await;
    let left = test.text("SELECT task_name || ' ' || status || ' ' || attempt FROM pending_jobs").await;
    assert_eq!(left.as_deref(), Some("brew_coffee pending 0"));
}

#[actix_rt::test]
async fn more_jobs_than_slots_are_all_done() {
    let test = TestEngine::start(&[
        ("AVAL__ACTORS__APPLICATIONS__POOL_SIZE", "3"),
        ("AVAL__JOBS__POLL_INTERVAL_MS", "60000"),
    ])
    .await;
    let mut sql = test.database.connect().await;
    enqueue(&mut sql, 50).await;
    test.holds(
        "fifty decisions without a poll",
        "SELECT 1 WHERE (SELECT count(*) FROM applications WHERE status = 'APPROVED') = 50",
    )
    .await;
}

#[actix_rt::test]
async fn deleting_a_pending_application_ends_its_job_without_errors() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    let job = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    execute(&mut sql, "UPDATE applications SET deleted_at = now()").await.unwrap();
    assert_eq!(
        jobs::supersede(&mut sql, &[job.lease]).await.unwrap(),
        [false],
        "the trigger has already ended the job"
    );
    assert_eq!(text(&mut sql, "SELECT result FROM job_history").await.as_deref(), Some("superseded"));
    assert_eq!(text(&mut sql, "SELECT count(*) FROM failed_jobs").await.as_deref(), Some("0"));
}

#[actix_rt::test]
async fn the_time_before_the_claim_does_not_count_as_work_on_a_job() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    let hours_ago = "UPDATE pending_jobs SET created_at = now() - interval '3 hours', run_at = now() - interval '3 hours'";
    execute(&mut sql, hours_ago).await.unwrap();
    let first = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    assert!(first.waited > Duration::from_secs(10_000) && first.since_first_claim.is_zero(), "{first:?}");
    let expired = "UPDATE pending_jobs SET leased_until = now() - interval '1 second', \
        first_claimed_at = first_claimed_at - interval '1 minute'";
    execute(&mut sql, expired).await.unwrap();
    let second = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    assert!(second.since_first_claim >= Duration::from_secs(60), "{second:?}");
}

/// Begins the only job while another session's uncommitted `change` holds the lock of its application, then commits
/// that change.
async fn begin_during(change: &str) -> (TestDatabase, AsyncPgConnection, aval::error::Result<JobStart>) {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    enqueue(&mut sql, 1).await;
    let job = jobs::claim(&mut sql, &claim(1)).await.unwrap().jobs.remove(0);
    let begin = BeginJob {
        lease: job.lease,
        application_id: job.application_id.unwrap(),
        attribution: aval::domain::application::Attribution {
            change_id: aval::domain::ids::ChangeId::new(uuid::Uuid::new_v4()),
            changed_by: "system:test".to_owned(),
            reason: None,
            request_id: None,
        },
        traceparent: None,
        other_account_window_ms: 0,
    };
    let mut other = database.connect().await;
    execute(&mut other, "BEGIN").await.unwrap();
    execute(&mut other, change).await.unwrap();
    let mut worker = database.connect().await;
    let pid = text(&mut worker, "SELECT pg_backend_pid()").await.unwrap();
    let keys = key_ring(&settings(&[]));
    let jobs = [begin];
    let begun = aval::storage::applications::begin(&mut worker, &keys, &jobs);
    let commit = async {
        let waits = format!("SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid}");
        eventually("the worker to wait for the application", async || {
            (text(&mut sql, &waits).await.as_deref() == Some("Lock")).then_some(())
        })
        .await;
        execute(&mut other, "COMMIT").await.unwrap();
    };
    let (begun, ()) = futures_util::future::join(begun, commit).await;
    (database, sql, begun.unwrap().remove(0))
}

/// The worker's statement sees the application as `PENDING` in its snapshot but cannot change it. It must not conclude
/// that the application needs no job.
#[actix_rt::test]
async fn a_job_whose_application_changes_while_it_starts_is_kept_and_retried() {
    let moved = "UPDATE applications SET status = 'VALIDATING'";
    let (_database, mut sql, begun) = begin_during(moved).await;
    assert!(matches!(begun, Err(Error::Unavailable { .. })), "{begun:?}");
    assert_eq!(text(&mut sql, "SELECT status FROM pending_jobs").await.as_deref(), Some("processing"));
    assert_eq!(text(&mut sql, "SELECT count(*) FROM job_history").await.as_deref(), Some("0"));
}

#[actix_rt::test]
async fn a_job_whose_application_is_cancelled_while_it_starts_is_not_processed() {
    let cancelled = "UPDATE applications SET status = 'CANCELLED'";
    let (_database, mut sql, begun) = begin_during(cancelled).await;
    assert!(!matches!(begun, Ok(JobStart::Ready(_))), "{begun:?}");
    assert_eq!(text(&mut sql, "SELECT status FROM applications").await.as_deref(), Some("CANCELLED"));
    assert_eq!(text(&mut sql, "SELECT count(*) FROM pending_jobs").await.as_deref(), Some("0"));
}
