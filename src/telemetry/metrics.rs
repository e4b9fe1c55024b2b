//! Every metric, once: names, labels and help texts stand here and nowhere else (docs/specification.md 12).
//!
//! Labels are bounded: countries, statuses, route patterns, names of actors and tasks; never an identifier, a path or
//! anything that a client chose.

use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::error::{Error, Result};

/// Seconds, from a cached answer to a bureau's time-out.
const LATENCY_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident $([$($label:literal),*])?;)+) => {
        /// The metrics of one process.
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            /// Registers every metric.
            ///
            /// # Errors
            /// When two metrics have one name: a defect.
            pub fn new() -> Result<Self> {
                let registry = Registry::new();
                register_process(&registry)?;
                $(
                    let opts = Opts::new(stringify!($field), concat!($($help),+).trim());
                    let labels: &[&str] = &[$($($label),*)?];
                    let $field = <$kind as Metric>::build(opts, labels).map_err(Error::internal)?;
                    registry.register(Box::new($field.clone())).map_err(Error::internal)?;
                )+
                Ok(Self { registry, $($field,)+ })
            }
        }
    };
}

metrics! {
    /// Requests answered, by method, route pattern and status code.
    http_requests_total: IntCounterVec ["method", "endpoint", "status_code"];
    /// Time to the answer's head, in seconds.
    http_request_duration_seconds: HistogramVec ["method", "endpoint"];
    /// Requests that are being answered.
    http_requests_in_progress: IntGaugeVec ["method", "endpoint"];

    /// Open connections.
    http_connections_active: IntGauge;
    /// Connections that were refused or shut down: address_limit when their address had too many, connection_limit when all
    /// were taken, no_request when none came in time, tls_handshake when TLS was not agreed on in time, flood when they went on
    /// sending requests that are refused.
    http_connections_refused_total: IntCounterVec ["reason"];
    /// Log lines of requests without an account that were left out, because there were too many.
    http_log_lines_omitted_total: IntCounter;
    /// Requests that fitted no rate limit, by route pattern.
    rate_limited_total: IntCounterVec ["route"];
    /// Log-ins that were refused for their name or password.
    login_failures_total: IntCounter;
    /// Log-ins that were refused because their address, or their name, has to wait after failures.
    login_pauses_total: IntCounter;

    /// Applications accepted.
    applications_created_total: IntCounterVec ["country"];
    /// From accepted to decided, in seconds.
    applications_processing_duration_seconds: Histogram;
    /// Applications that lists show, as the leading relay counts them.
    applications_by_status: IntGaugeVec ["country", "status"];
    /// Share of the approved among the decided, from 0 to 1, as the leading relay counts them.
    approval_rate: GaugeVec ["country"];
    /// Amounts approved in this month (UTC), in the country's currency, as the leading relay counts them.
    monthly_amount_approved: GaugeVec ["country"];
    /// Decided applications by the band of their risk, as the leading relay counts them.
    risk_score_distribution: IntGaugeVec ["country", "band"];
    /// Applications refused at the door, by reason code.
    applications_validation_errors_total: IntCounterVec ["country", "error_type"];

    /// Attempts at jobs, by how they ended.
    worker_tasks_total: IntCounterVec ["task_name", "status"];
    /// Run time of an attempt, in seconds.
    worker_task_duration_seconds: HistogramVec ["task_name"];
    /// Jobs in work on this instance.
    worker_active_tasks: IntGaugeVec ["worker_id"];
    /// Jobs that wait or run, as the leading instance counts them; beyond 10,000 an estimate.
    worker_queue_depth: IntGauge;
    /// Dead letters by status, as the leading instance counts them, up to 10,000 of each.
    dlq_jobs: IntGaugeVec ["status"];
    /// From due to claimed, in seconds.
    worker_job_wait_seconds: Histogram;

    /// Calls to bureaus, by how they ended; a call that the breaker refused counts as circuit_open.
    provider_calls_total: IntCounterVec ["country", "provider", "status"];
    /// Time of a call, in seconds.
    provider_call_duration_seconds: HistogramVec ["country", "provider"];
    /// 0 closed, 1 open, 2 half-open.
    provider_circuit_breaker_state: IntGaugeVec ["country", "provider"];
    /// Whether operators have forced it: 0 auto, 1 forced open, 2 forced closed.
    provider_circuit_breaker_mode: IntGaugeVec ["country", "provider"];
    /// Changes of a breaker's state.
    provider_circuit_breaker_transitions_total: IntCounterVec ["country", "provider", "to"];

    /// Webhooks that came or were tried again, by the bureau they are about and what became of them.
    webhook_events_total: IntCounterVec ["provider", "result"];

    /// Stored words and events of kinds that this version does not know, by table: a newer version writes them.
    unknown_labels_total: IntCounterVec ["table"];

    /// Connections of the pool that are in use.
    db_connections_active: IntGauge;
    /// Connections of the pool that wait.
    db_connections_idle: IntGauge;
    /// 1 while lists and statistics are read from the replica.
    db_replica_up: IntGauge;
    /// How far the replica is behind, in seconds; NaN when that is not known.
    db_replica_lag_seconds: Gauge;
    /// Reads that the database answered in the replica's place.
    db_replica_fallbacks_total: IntCounter;
    /// 1 while this instance is told of changes over the channel, postgres (LISTEN) or redis; 0 while it polls instead.
    push_channel_up: IntGaugeVec ["channel"];
    /// How often a channel was lost: its connection ended, or its heartbeat did not come back.
    push_channel_losses_total: IntCounterVec ["channel"];

    /// Answers that were given from a copy, by what they are about.
    cache_hits_total: IntCounterVec ["cache_key_pattern"];
    /// Answers that had to be read from the database, by what they are about.
    cache_misses_total: IntCounterVec ["cache_key_pattern"];
    /// Time of get (with the load, on a miss), load, redis_get and redis_set, in seconds.
    cache_operation_duration_seconds: HistogramVec ["operation"];

    /// Commands to Redis, by how they ended: ok, error, timeout, or refused by the open breaker.
    redis_calls_total: IntCounterVec ["operation", "result"];
    /// Time of a command to Redis, in seconds.
    redis_call_duration_seconds: HistogramVec ["operation"];
    /// 0 when Redis is used, 1 while it is left alone.
    redis_breaker_state: IntGauge;
    /// Events that this instance's readers got, by where from: redis or database.
    bus_events_read_total: IntCounterVec ["source"];

    /// Open WebSocket connections.
    websocket_connections_active: IntGauge;
    /// Messages sent to WebSocket clients.
    websocket_messages_sent_total: IntCounterVec ["message_type"];
    /// Updates that a slow client never got because a newer one replaced them, or because it was cut off.
    websocket_messages_dropped_total: IntCounter;

    /// Looks of staff at other people's applications that were recorded.
    staff_views_recorded_total: IntCounter;
    /// Looks of staff that found no room to wait for the database: they are in the log alone.
    staff_views_lost_total: IntCounter;

    /// Runs of recurring tasks, by how they ended, as the leading instance counts them.
    scheduled_runs_total: IntCounterVec ["task", "outcome"];
    /// When a recurring task was last completed, in seconds since 1970; told by the leading instance alone.
    scheduled_task_last_success_timestamp_seconds: IntGaugeVec ["task"];
    /// For how many months to come every table has its partition; told by the leading instance.
    partitions_ahead_months: IntGauge;

    /// Messages or writes that wait before an actor.
    actor_mailbox_depth: IntGaugeVec ["actor"];
    /// Restarts after a death.
    actor_restarts_total: IntCounterVec ["actor"];
    /// Age of the oldest event that was not published yet, in seconds, as the leading relay sees it.
    outbox_lag_seconds: Histogram;
}

/// Registers what is known of this process (`process_*`): CPU time, memory, open files, threads, start.
#[cfg(target_os = "linux")]
fn register_process(registry: &Registry) -> Result<()> {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process)).map_err(Error::internal)
}

/// Elsewhere the system does not tell in `/proc`.
#[cfg(not(target_os = "linux"))]
fn register_process(_: &Registry) -> Result<()> {
    Ok(())
}

impl Metrics {
    /// Everything in the Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be encoded: a defect.
    pub fn render(&self) -> Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).map_err(Error::internal)?;
        String::from_utf8(text).map_err(Error::internal)
    }
}

/// Seconds as Prometheus has them.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A kind of metric that can be made from its options.
trait Metric: Sized {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self>;
}

impl Metric for IntCounter {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Metric for IntCounterVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Metric for IntGauge {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Metric for IntGaugeVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Metric for Gauge {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(opts)
    }
}

impl Metric for GaugeVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(opts, labels)
    }
}

impl Metric for Histogram {
    fn build(opts: Opts, _: &[&str]) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::from(opts).buckets(LATENCY_BUCKETS.to_vec()))
    }
}

impl Metric for HistogramVec {
    fn build(opts: Opts, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(HistogramOpts::from(opts).buckets(LATENCY_BUCKETS.to_vec()), labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_registered_once_and_rendered_with_its_help() {
        let metrics = Metrics::new().unwrap();
        metrics.applications_created_total.with_label_values(&["ES"]).inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("# HELP applications_created_total Applications accepted."));
        assert!(text.contains("applications_created_total{country=\"ES\"} 1"));
        #[cfg(target_os = "linux")]
        for name in
            ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}");
        }
    }
}
