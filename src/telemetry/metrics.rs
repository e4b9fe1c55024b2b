//! All metrics, with their names, labels and help texts (docs/specification.md 12).
//!
//! Label values are bounded: countries, statuses, route patterns, names of actors and tasks. Identifiers, paths and
//! input from clients are never labels.

use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::error::{Error, Result};

/// Seconds, from cached answers to bureau timeouts.
const LATENCY_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident $([$($label:literal),*])?;)+) => {
        /// The metrics of one process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            /// Registers all metrics. Fails only if two have the same name.
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
    /// Time until the response head is sent, in seconds.
    http_request_duration_seconds: HistogramVec ["method", "endpoint"];
    /// Requests in progress.
    http_requests_in_progress: IntGaugeVec ["method", "endpoint"];

    /// Open connections.
    http_connections_active: IntGauge;
    /// Connections refused or closed, by reason: address_limit (too many from one address), connection_limit (too many
    /// in total), no_request (no request in time), tls_handshake (TLS handshake too slow), flood (kept sending rejected
    /// requests).
    http_connections_refused_total: IntCounterVec ["reason"];
    /// Log lines of unauthenticated requests that were omitted because there were too many.
    http_log_lines_omitted_total: IntCounter;
    /// Requests over a rate limit, by route pattern.
    rate_limited_total: IntCounterVec ["route"];
    /// Logins with a wrong name or password.
    login_failures_total: IntCounter;
    /// Logins rejected because the address or the account name must pause after failures.
    login_pauses_total: IntCounter;

    /// Applications accepted.
    applications_created_total: IntCounterVec ["country"];
    /// Time from creation to decision, in seconds.
    applications_processing_duration_seconds: Histogram;
    /// Applications in lists, as counted by the leading relay.
    applications_by_status: IntGaugeVec ["country", "status"];
    /// Share of decided applications that were approved, from 0 to 1, as counted by the leading relay.
    approval_rate: GaugeVec ["country"];
    /// Amount approved in the current month (UTC), in the country's currency, as counted by the leading relay.
    monthly_amount_approved: GaugeVec ["country"];
    /// Decided applications by risk band, as counted by the leading relay.
    risk_score_distribution: IntGaugeVec ["country", "band"];
    /// Applications rejected by validation, by reason code.
    applications_validation_errors_total: IntCounterVec ["country", "error_type"];

    /// Attempts at jobs, by outcome.
    worker_tasks_total: IntCounterVec ["task_name", "status"];
    /// Duration of an attempt, in seconds.
    worker_task_duration_seconds: HistogramVec ["task_name"];
    /// Jobs running on this instance.
    worker_active_tasks: IntGaugeVec ["worker_id"];
    /// Waiting and running jobs, as counted by the leading instance; an estimate above 10,000.
    worker_queue_depth: IntGauge;
    /// Dead letters by status, as counted by the leading instance, up to 10,000 of each.
    dlq_jobs: IntGaugeVec ["status"];
    /// Time from due to claimed, in seconds.
    worker_job_wait_seconds: Histogram;

    /// Calls to bureaus, by outcome; circuit_open means rejected by the circuit breaker.
    provider_calls_total: IntCounterVec ["country", "provider", "status"];
    /// Duration of a call to a bureau, in seconds.
    provider_call_duration_seconds: HistogramVec ["country", "provider"];
    /// State of the circuit breaker: 0 closed, 1 open, 2 half-open.
    provider_circuit_breaker_state: IntGaugeVec ["country", "provider"];
    /// Override of the circuit breaker: 0 auto, 1 forced open, 2 forced closed.
    provider_circuit_breaker_mode: IntGaugeVec ["country", "provider"];
    /// State changes of the circuit breaker.
    provider_circuit_breaker_transitions_total: IntCounterVec ["country", "provider", "to"];

    /// Webhooks received or retried, by bureau and result.
    webhook_events_total: IntCounterVec ["provider", "result"];

    /// Stored labels and events unknown to this version, written by a newer one, by table.
    unknown_labels_total: IntCounterVec ["table"];

    /// Finished spans. Those that trace_spans_exported_total does not count are waiting or were dropped.
    trace_spans_finished_total: IntCounter;
    /// Spans given to the exporter, by result: exported or failed.
    trace_spans_exported_total: IntCounterVec ["result"];

    /// Pooled connections in use.
    db_connections_active: IntGauge;
    /// Idle pooled connections.
    db_connections_idle: IntGauge;
    /// 1 while lists and statistics are read from the replica.
    db_replica_up: IntGauge;
    /// Replication lag in seconds; NaN if unknown.
    db_replica_lag_seconds: Gauge;
    /// Replica reads that were served by the primary database instead.
    db_replica_fallbacks_total: IntCounter;
    /// 1 while this instance receives notifications over the channel, postgres (LISTEN) or redis; 0 while it polls
    /// instead.
    push_channel_up: IntGaugeVec ["channel"];
    /// Losses of a notification channel: its connection ended or its heartbeat was missed.
    push_channel_losses_total: IntCounterVec ["channel"];

    /// Answers served from the cache, by kind.
    cache_hits_total: IntCounterVec ["cache_key_pattern"];
    /// Answers read from the database, by kind.
    cache_misses_total: IntCounterVec ["cache_key_pattern"];
    /// Duration of get (including the load on a miss), load, redis_get and redis_set, in seconds.
    cache_operation_duration_seconds: HistogramVec ["operation"];

    /// Redis commands, by result: ok, error, foreign (unexpected type), timeout, or refused by the open breaker.
    redis_calls_total: IntCounterVec ["operation", "result"];
    /// Duration of a Redis command, in seconds.
    redis_call_duration_seconds: HistogramVec ["operation"];
    /// State of the Redis breaker: 0 closed, 1 open.
    redis_breaker_state: IntGauge;
    /// Events read by this instance, by source: redis or database.
    bus_events_read_total: IntCounterVec ["source"];

    /// Open WebSocket connections.
    websocket_connections_active: IntGauge;
    /// Messages sent to WebSocket clients.
    websocket_messages_sent_total: IntCounterVec ["message_type"];
    /// Updates not sent to a slow client because a newer one replaced them or its connection was closed.
    websocket_messages_dropped_total: IntCounter;

    /// Audit views recorded.
    staff_views_recorded_total: IntCounter;
    /// Audit views that are only in the log because the queue was full.
    staff_views_lost_total: IntCounter;

    /// Runs of recurring tasks, by outcome, as counted by the leading instance.
    scheduled_runs_total: IntCounterVec ["task", "outcome"];
    /// Time of a recurring task's last success, in seconds since 1970; set only by the leading instance.
    scheduled_task_last_success_timestamp_seconds: IntGaugeVec ["task"];
    /// Number of future months for which every table has a partition; set by the leading instance.
    partitions_ahead_months: IntGauge;

    /// Messages or writes queued for an actor.
    actor_mailbox_depth: IntGaugeVec ["actor"];
    /// Restarts of failed actors.
    actor_restarts_total: IntCounterVec ["actor"];
    /// Age of the oldest unpublished event, in seconds, as measured by the leading relay.
    outbox_lag_seconds: Histogram;
}

/// Registers the process metrics (`process_*`): CPU time, memory, open files, threads, start time.
#[cfg(target_os = "linux")]
fn register_process(registry: &Registry) -> Result<()> {
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process)).map_err(Error::internal)
}

/// Process metrics need `/proc`.
#[cfg(not(target_os = "linux"))]
fn register_process(_: &Registry) -> Result<()> {
    Ok(())
}

impl Metrics {
    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).map_err(Error::internal)?;
        String::from_utf8(text).map_err(Error::internal)
    }
}

pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A type of metric that can be built from its options.
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
