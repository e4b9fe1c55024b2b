//! Instances with separate roles, and how soon another one takes over.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;

use super::cluster::{Cluster, LEASE};
use super::workload::Workload;
use super::{PAUSE, PROGRESS, heal_and_check, rounds, seed, start_workload};
use crate::support::builders::{body, samples};
use crate::support::chaos_proxy::Link;
use crate::support::db::{Server, TestDatabase, text};
use crate::support::eventually;

/// How long another instance may take to detect an expired lease and to do the work.
const BEYOND_THE_LEASE: Duration = Duration::from_secs(2);
/// How soon another relay must publish after the leader was killed.
const TAKEOVER: Duration = Duration::from_secs(3);

const SEPARATE: [&str; 6] = ["api", "api", "worker", "worker", "relay", "relay"];

#[actix_rt::test]
async fn separate_roles_do_all_work_and_survive_the_loss_of_any_instance() {
    for round in 0..rounds() {
        let seed = seed(round);
        let database = TestDatabase::create().await;
        let mut cluster = Cluster::start_with_roles(Server::of(&database), None, &SEPARATE).await;
        let workload = start_workload(&cluster, seed).await;
        let leader = cluster.leader();
        assert_eq!(SEPARATE[leader], "relay");
        cluster.instances[leader].process.kill();
        let killed = Instant::now();
        let received = workload.received_up_to();
        eventually("another relay to publish", async || {
            (workload.received_up_to() > received + 3).then_some(())
        })
        .await;
        assert!(killed.elapsed() < TAKEOVER, "{:?}", killed.elapsed());
        for number in [0, 2] {
            cluster.instances[number].process.kill();
            wait_for_progress(&workload).await;
        }
        heal_and_check(
            "`kill -9` of an api, a worker and the leading relay with separate roles",
            seed,
            &mut cluster,
            workload,
            false,
        )
        .await;
    }
}

async fn wait_for_progress(workload: &Workload) {
    let before = workload.accepted();
    eventually("work to continue", async || (workload.accepted() >= before + PROGRESS).then_some(())).await;
}

#[actix_rt::test]
async fn an_instance_without_the_api_role_only_serves_operators() {
    let database = TestDatabase::create().await;
    let cluster = Cluster::start_with_roles(Server::of(&database), None, &["worker,relay"]).await;
    let address = cluster.instances[0].process.address();
    let status = async |path: &str| {
        let url = format!("http://{address}{path}");
        cluster.client.get(url).bearer_auth(&cluster.token).send().await.unwrap().status()
    };
    for path in ["/health", "/health/live", "/health/ready", "/health/detailed", "/metrics"] {
        assert_eq!(status(path).await, StatusCode::OK, "{path}");
    }
    for path in ["/api/v1/applications", "/api/v1/countries", "/docs", "/openapi.json"] {
        assert_eq!(status(path).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[actix_rt::test]
async fn the_jobs_of_a_killed_instance_are_finished_within_the_lease_and_two_seconds() {
    let database = TestDatabase::create().await;
    let mut cluster = Cluster::start_with_redis(Server::of(&database), 2).await;
    cluster.bureau_link.set(Link::Silent);
    let url = format!("{}/api/v1/applications", cluster.urls()[0]);
    for (country, document) in samples().iter().cycle().take(24) {
        let sent = cluster.client.post(&url).bearer_auth(&cluster.token).send_json(&body(*country, document));
        assert_eq!(sent.await.unwrap().status(), StatusCode::CREATED);
    }
    let mut sql = cluster.sql().await;
    let held = format!(
        "SELECT nullif(count(*), 0) FROM pending_jobs WHERE leased_by LIKE '{}-%' AND leased_until > now()",
        cluster.instances[0].process.pid()
    );
    eventually("the first instance to hold jobs", async || text(&mut sql, &held).await).await;
    cluster.instances[0].process.kill();
    let killed = Instant::now();
    cluster.bureau_link.set(Link::Up);
    eventually("every job to be finished", async || {
        text(&mut sql, "SELECT 1 WHERE NOT EXISTS (SELECT FROM pending_jobs)").await
    })
    .await;
    let took = killed.elapsed();
    assert!(took <= LEASE + BEYOND_THE_LEASE, "{took:?}");
    // A call that timed out on the silent link may be repeated later, which adds a decision without a transition.
    let decided =
        "SELECT count(*) FROM audit_logs WHERE old_status = 'VALIDATING' AND new_status <> old_status";
    assert_eq!(text(&mut sql, decided).await.as_deref(), Some("24"), "each must be decided once");
}

#[actix_rt::test]
async fn applications_accepted_by_one_instance_are_pushed_to_sockets_of_another() {
    let database = TestDatabase::create().await;
    let cluster = Cluster::start_with_redis(Server::of(&database), 2).await;
    let seed = seed(0);
    let second_url = [cluster.urls()[1].clone()];
    let listening = Workload::listening(&second_url, &cluster.token);
    eventually("the subscriber to be admitted", async || listening.all_admitted().then_some(())).await;
    let first_url = [cluster.urls()[0].clone()];
    let mut writing = Workload::start(&first_url, &cluster.token, seed, PAUSE);
    eventually("some applications", async || (writing.accepted() >= PROGRESS).then_some(())).await;
    writing.finish_writing().await;
    let mut sql = cluster.sql().await;
    let last = super::cluster::wait_until_idle(&mut sql).await.unwrap();
    eventually("every event on the other instance", async || {
        (listening.received_up_to() >= last).then_some(())
    })
    .await;
    let mut history = writing.finish().await;
    history.subscriptions = listening.finish().await.subscriptions;
    assert_eq!(super::checker::violations(&mut sql, &history).await, Vec::<String>::new());
}
