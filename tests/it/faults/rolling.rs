//! A rolling restart of three instances behind a load balancer under load. No request fails, and no update is lost.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::http::StatusCode;
use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::report::Run;
use super::workload::Workload;
use super::{PAUSE, PROGRESS, rounds, seed, settle};
use crate::support::chaos_proxy::{ChaosProxy, Upstream};
use crate::support::db::{Server, TestDatabase, change_schema};
use crate::support::{eventually, pace};

/// How often the load balancer checks each instance's readiness.
const HEALTH_CHECK: Duration = Duration::from_millis(50);

/// Maintains the list of ready instances.
async fn watch_readiness(
    client: awc::Client,
    instances: Vec<SocketAddr>,
    ready: Arc<Mutex<VecDeque<SocketAddr>>>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        for instance in &instances {
            let response = client.get(format!("http://{instance}/health/ready")).send().await;
            let is_ready = response.is_ok_and(|answer| answer.status() == StatusCode::OK);
            let mut ready = ready.lock().unwrap();
            match ready.iter().position(|known| known == instance) {
                Some(ready_index) if !is_ready => drop(ready.remove(ready_index)),
                None if is_ready => ready.push_back(*instance),
                _ => {}
            }
        }
        pace(HEALTH_CHECK).await;
    }
}

#[actix_rt::test]
async fn a_rolling_restart_of_three_instances_fails_no_request() {
    for round in 0..rounds() {
        restart_all("rolling restart (SIGTERM) of three instances behind a load balancer", &[], seed(round))
            .await;
    }
}

/// Migrations of a later version that are permitted while instances of the current version serve.
const MIGRATIONS: [&str; 4] = [
    "ALTER TABLE applications ADD COLUMN added_later text",
    "ALTER TYPE application_status ADD VALUE 'ADDED_LATER'",
    "ALTER TABLE applications ALTER COLUMN requested_amount TYPE numeric(16, 2)",
    "REINDEX TABLE pending_jobs",
];

#[actix_rt::test]
async fn a_rolling_upgrade_that_changes_the_schema_fails_no_request_and_leaves_nothing_undecided() {
    for round in 0..rounds() {
        let name = "rolling upgrade: a column, a label, a changed type and a rebuilt index under load";
        restart_all(name, &MIGRATIONS, seed(round)).await;
    }
}

/// Runs a migration. If PostgreSQL aborts it because of a deadlock with other statements, it is run again, as
/// docs/migrations.md requires.
async fn migrate(cluster: &Cluster, migration: &str) {
    eventually(migration, async || match change_schema(&cluster.server, migration).await {
        Ok(()) => Some(()),
        Err(error) => {
            assert!(error.to_string().contains("deadlock detected"), "{migration}: {error}");
            None
        }
    })
    .await;
}

/// Runs `migrations` and restarts every instance under load.
async fn restart_all(name: &str, migrations: &[&str], seed: u64) {
    let database = TestDatabase::create().await;
    let mut cluster = Cluster::start_with_redis(Server::of(&database), 3).await;
    let addresses: Vec<SocketAddr> =
        cluster.instances.iter().map(|instance| instance.process.address()).collect();
    let ready = Arc::new(Mutex::new(addresses.iter().copied().collect::<VecDeque<_>>()));
    let balancer = ChaosProxy::start(Upstream::AnyOf(Arc::clone(&ready)));
    let stop = CancellationToken::new();
    let watching = actix_rt::spawn(watch_readiness(
        cluster.client.clone(),
        addresses.clone(),
        Arc::clone(&ready),
        stop.clone(),
    ));
    let front = [format!("http://{}", balancer.address())];
    let workload = Workload::start(&front, &cluster.token, seed, PAUSE);
    eventually("clients to be running", async || {
        (workload.all_admitted() && workload.accepted() >= PROGRESS).then_some(())
    })
    .await;

    for migration in migrations {
        migrate(&cluster, migration).await;
        let before = workload.accepted();
        eventually("work to continue", async || (workload.accepted() >= before + PROGRESS).then_some(()))
            .await;
    }
    for (instance, address) in cluster.instances.iter_mut().zip(&addresses) {
        instance.process.signal(Signal::SIGTERM);
        let status = instance.process.ended().await;
        assert!(status.success(), "{status}");
        instance.process.spawn();
        eventually("the instance to be back", async || ready.lock().unwrap().contains(address).then_some(()))
            .await;
        let before = workload.accepted();
        eventually("work to continue", async || (workload.accepted() >= before + PROGRESS).then_some(()))
            .await;
    }

    let (history, mut violations) = settle(&cluster.server.url(), workload).await;
    stop.cancel();
    watching.await.unwrap();
    violations.extend(history.failed_requests());
    violations.extend(cluster.leaks().await);
    let run = Run { name, seed, history: &history, violations: &violations };
    run.append();
    assert!(violations.is_empty(), "{run}\n{}", cluster.log_tails());
}
