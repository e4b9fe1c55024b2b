//! All metrics, with their names, labels and help texts (docs/specification.md, section 12; docs/metrics.md).
//!
//! Label values are bounded: countries, statuses, route patterns, names of actors and tasks. Identifiers, paths and
//! input from clients are never labels.
//!
//! In a declaration, `of` names the sources of the label values ([`KnownLabels`]), in the order of the labels. These series
//! are exported as 0 from the start. The label values of a metric without `of` are not known in advance. `in` names the
//! buckets of a histogram.
//!
//! [`kinds`] defines the gauges that are not always exported: gauges that only the leader exports, and gauges whose value
//! may be unknown.

mod kinds;

use std::time::Duration;

use prometheus::{
    Encoder as _, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use self::kinds::{HousekeeperGauges, MeasuredGauge, RelayGauges};
use self::kinds::{Metric, MetricOptions};
use super::labels::{KnownLabels, Values};
use crate::error::{Error, Result};

/// Buckets in seconds, from cached responses to bureau timeouts.
const LATENCY: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds, from an indexed read to the statement timeout. Fewer buckets, because there are many operations.
const QUERY: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Seconds that work waits: from an idle instance to an outage of hours.
const WAIT: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0];

/// Risk scores, from 0 to 100.
const SCORE: &[f64] = &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0];

/// Numbers of events, from a single one to the largest group.
const SIZE: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];

/// The roles of which one instance is the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderRole {
    Relay,
    Housekeeper,
}

impl LeaderRole {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Housekeeper => "housekeeper",
        }
    }
}

/// A metric as declared, for documentation and tests.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub metric_type: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// Whether series are exported from the start for all label values.
    pub has_known_labels: bool,
    /// The leader that alone exports the metric.
    pub leader: Option<LeaderRole>,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident $([$($label:literal),*])?
        $(of [$($source:ident),*])? $(in $buckets:ident)?;)+) => {
        /// The metrics of one process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Metrics {
            /// Every metric, in the order of this file.
            pub const DECLARATIONS: &'static [Declaration] = &[
                $(Declaration {
                    name: stringify!($field),
                    metric_type: <$kind as Metric>::TYPE,
                    labels: &[$($($label),*)?],
                    help: concat!($($help),+).trim_ascii(),
                    has_known_labels: !<[&str]>::is_empty(&[$($(stringify!($source)),*)?]),
                    leader: <$kind as Metric>::LEADER,
                },)+
            ];

            /// Registers all metrics, with 0 for the known label values. Fails only if two have the same name.
            pub fn new(known: &KnownLabels) -> Result<Self> {
                let registry = Registry::new();
                register_process(&registry)?;
                $(
                    let sources: &[&Values] = &[$($(&known.$source),*)?];
                    let declared = MetricOptions {
                        opts: Opts::new(stringify!($field), concat!($($help),+).trim()),
                        labels: &[$($($label),*)?],
                        buckets: [$($buckets,)? LATENCY][0],
                        known: if sources.is_empty() { Vec::new() } else { Values::combine(sources) },
                    };
                    let $field = <$kind as Metric>::build(declared).map_err(Error::internal)?;
                    registry.register(Box::new($field.clone())).map_err(Error::internal)?;
                )+
                Ok(Self { registry, $($field,)+ })
            }

            /// Whether this instance is the leader.
            pub fn leads(&self, leader: LeaderRole) -> bool {
                self.leadership_held.with_label_values(&[leader.as_str()]).get() == 1
            }

            /// Records whether this instance is the leader. The metrics of this leader are exported only while it is.
            pub fn lead(&self, leader: LeaderRole, leads: bool) {
                self.leadership_held.with_label_values(&[leader.as_str()]).set(i64::from(leads));
                $(Metric::lead(&self.$field, leader, leads);)+
            }
        }
    };
}

metrics! {
    /// Answered requests, by method, route pattern and status code.
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
    http_connections_refused_total: IntCounterVec ["reason"] of [refusals];
    /// Log lines of unauthenticated requests that were omitted because there were too many.
    http_log_lines_omitted_total: IntCounter;
    /// Requests that exceeded a rate limit, by route pattern.
    rate_limited_total: IntCounterVec ["route"] of [routes];
    /// Sign-ins with a wrong account name or password.
    login_failures_total: IntCounter;
    /// Sign-ins rejected because of earlier failures from the address or for the account name.
    login_pauses_total: IntCounter;

    /// Accepted applications.
    applications_created_total: IntCounterVec ["country"] of [countries];
    /// Time from creation to decision, in seconds.
    applications_processing_duration_seconds: Histogram;
    /// Applications that are not deleted.
    applications_by_status: RelayGauges ["country", "status"];
    /// Share of decided applications that were approved, from 0 to 1.
    approval_rate: RelayGauges ["country"];
    /// Amount approved in the current month (UTC), in the country's currency.
    monthly_amount_approved: RelayGauges ["country"];
    /// Risk scores of decisions, from 0 to 100.
    risk_score_distribution: HistogramVec ["country"] of [countries] in SCORE;
    /// Applications rejected by validation, by reason code.
    applications_validation_errors_total: IntCounterVec ["country", "error_type"];

    /// Job attempts, by outcome.
    worker_tasks_total: IntCounterVec ["task_name", "status"] of [tasks, job_statuses];
    /// Duration of an attempt, in seconds.
    worker_task_duration_seconds: HistogramVec ["task_name"] of [tasks];
    /// Jobs running on this instance.
    worker_active_tasks: IntGaugeVec ["worker_id"];
    /// Waiting and running jobs; an estimate above 10,000.
    worker_queue_depth: HousekeeperGauges;
    /// Waiting time of the job that has been due longest, in seconds; 0 if no job waits. Jobs of lanes that an operator
    /// has paused do not count.
    worker_queue_age_seconds: HousekeeperGauges;
    /// Dead letters by status, up to 10,000 of each.
    dlq_jobs: HousekeeperGauges ["status"];
    /// Time between a job becoming due and its claim, in seconds.
    worker_job_wait_seconds: Histogram in WAIT;

    /// Calls to bureaus, by outcome; circuit_open means rejected by the circuit breaker.
    provider_calls_total: IntCounterVec ["country", "provider", "status"] of [bureaus, call_statuses];
    /// Duration of a call to a bureau, in seconds.
    provider_call_duration_seconds: HistogramVec ["country", "provider"] of [bureaus];
    /// State of the circuit breaker: 0 closed, 1 open, 2 half-open.
    provider_circuit_breaker_state: IntGaugeVec ["country", "provider"];
    /// Override of the circuit breaker: 0 auto, 1 forced open, 2 forced closed.
    provider_circuit_breaker_mode: IntGaugeVec ["country", "provider"];
    /// State changes of the circuit breaker.
    provider_circuit_breaker_transitions_total: IntCounterVec ["country", "provider", "to"] of [bureaus, circuit_states];

    /// Webhooks received or retried, by bureau and result.
    webhook_events_total: IntCounterVec ["provider", "result"] of [webhook_senders, webhook_results];

    /// Deliveries to webhook endpoints that ended, by result: delivered, dead (all attempts failed, or the endpoint answered
    /// with 410) or skipped (the endpoint is disabled).
    webhook_deliveries_total: IntCounterVec ["result"] of [delivery_results];
    /// Attempts at deliveries to webhook endpoints, by result.
    webhook_attempts_total: IntCounterVec ["result"] of [attempt_results];
    /// Duration of an attempt at a delivery, in seconds.
    webhook_attempt_duration_seconds: Histogram;
    /// Transitions of disbursements, by the state after the transition.
    disbursement_transitions_total: IntCounterVec ["state"] of [disbursement_states];
    /// Duration of a step of a disbursement, in seconds.
    disbursement_step_duration_seconds: HistogramVec ["step"] of [disbursement_steps];
    /// Calls to payment rails, by operation and status.
    rail_calls_total: IntCounterVec ["rail", "operation", "status"] of [rails, rail_operations, rail_statuses];
    /// Duration of a call to a payment rail, in seconds.
    rail_call_duration_seconds: HistogramVec ["rail"] of [rails];
    /// State of the circuit breaker of a payment rail: 0 closed, 1 open, 2 half-open.
    rail_circuit_breaker_state: IntGaugeVec ["rail"] of [rails];
    /// Jobs of deliveries that returned to the queue because their endpoint had too many attempts in progress.
    webhook_attempts_deferred_total: IntCounter;

    /// Ingested events, by result: accepted, duplicate (already stored), conflict (another event with its key is stored) or
    /// rejected (not valid).
    ingest_events_total: IntCounterVec ["result"] of [event_results];
    /// Events that one statement stored, including repeated ones.
    ingest_group_events: Histogram in SIZE;
    /// Duration of storing a group of ingested events, in seconds.
    ingest_write_duration_seconds: Histogram;
    /// Ingested events that wait for a writer of this instance.
    ingest_queue_events: IntGauge;
    /// Ingest requests that were refused because the memory for events was used up.
    ingest_overloaded_total: IntCounter;
    /// Number of days after today that have partitions for ingested events.
    ingest_partitions_ahead: HousekeeperGauges;

    /// Stored enum values and events that are unknown to this version because a newer version wrote them, by table.
    unknown_labels_total: IntCounterVec ["table"] of [tables];

    /// Finished spans. Those that trace_spans_exported_total does not count are waiting or were dropped.
    trace_spans_finished_total: IntCounter;
    /// Spans passed to the exporter, by result: exported or failed.
    trace_spans_exported_total: IntCounterVec ["result"] of [span_results];

    /// Pooled connections in use.
    db_connections_active: IntGauge;
    /// Idle pooled connections.
    db_connections_idle: IntGauge;
    /// The maximum number of pooled connections, database.pool_size.
    db_connections_max: IntGauge;
    /// Duration of database statements by operation, in seconds.
    db_query_duration_seconds: HistogramVec ["operation"] in QUERY;
    /// 1 while lists and statistics are read from the replica; absent without a replica.
    db_replica_up: MeasuredGauge;
    /// Replication lag in seconds; absent if it is unknown or there is no replica.
    db_replica_lag_seconds: MeasuredGauge;
    /// Replica reads that were served by the primary database instead.
    db_replica_fallbacks_total: IntCounter;
    /// 1 while this instance receives notifications over the push channel, postgres (LISTEN) or redis; 0 while it polls
    /// instead.
    push_channel_up: IntGaugeVec ["channel"];
    /// Losses of a notification channel: its connection ended or its heartbeat was missed.
    push_channel_losses_total: IntCounterVec ["channel"] of [push_channels];

    /// Responses served from the cache, by kind.
    cache_hits_total: IntCounterVec ["cache_key_pattern"] of [cache_patterns];
    /// Responses read from the database, by kind.
    cache_misses_total: IntCounterVec ["cache_key_pattern"] of [cache_patterns];
    /// Duration of get (including the load on a miss), load, redis_get and redis_set, in seconds.
    cache_operation_duration_seconds: HistogramVec ["operation"] of [cache_operations];

    /// Redis commands, by result: ok, error, foreign (a value of an unexpected type), timeout, or refused (breaker open).
    redis_calls_total: IntCounterVec ["operation", "result"] of [redis_operations, redis_results];
    /// Duration of a Redis command, in seconds.
    redis_call_duration_seconds: HistogramVec ["operation"] of [redis_operations];
    /// State of the Redis breaker: 0 closed, 1 open.
    redis_breaker_state: IntGauge;
    /// Events read by this instance, by source: redis or database.
    bus_events_read_total: IntCounterVec ["source"] of [bus_sources];

    /// Attempts of consumers at events, by result: handled, failed (will be repeated) or dead_letter.
    event_consumer_events_total: IntCounterVec ["consumer", "result"];
    /// Events that were deleted before the consumer read them.
    event_consumer_lost_total: IntCounterVec ["consumer"];
    /// Published events after the lowest position of the consumer, of all types.
    event_consumer_pending_events: HousekeeperGauges ["consumer"];
    /// Age of the oldest published event after the lowest position of the consumer, in seconds; 0 if there is none.
    event_consumer_lag_seconds: HousekeeperGauges ["consumer"];
    /// Events that wait for another attempt or behind an earlier event of their subject, up to 10,000.
    event_consumer_deferred_events: HousekeeperGauges ["consumer"];
    /// Dead letters of the consumer, up to 10,000.
    event_consumer_dead_letters: HousekeeperGauges ["consumer"];
    /// Events that a consumer read, by source: stream (in Redis) or outbox. Events of other consumers' types are included.
    event_consumer_events_read_total: IntCounterVec ["consumer", "source"];
    /// Published events since the oldest one that a consumer group in Redis has not acknowledged; 0 if there is none.
    event_stream_group_lag_events: RelayGauges ["group"];

    /// Open WebSocket connections.
    websocket_connections_active: IntGauge;
    /// Messages sent to WebSocket clients.
    websocket_messages_sent_total: IntCounterVec ["message_type"] of [message_types];
    /// Updates not sent to a slow client because a newer one replaced them or its connection was closed.
    websocket_messages_dropped_total: IntCounter;

    /// Recorded audit views.
    staff_views_recorded_total: IntCounter;
    /// Audit views that are only in the log because the queue was full.
    staff_views_lost_total: IntCounter;

    /// Runs of scheduled tasks that this instance started or found abandoned, by outcome.
    scheduled_runs_total: IntCounterVec ["task", "outcome"] of [scheduled_tasks, run_outcomes];
    /// Time of a scheduled task's last success, in seconds since 1970.
    scheduled_task_last_success_timestamp_seconds: HousekeeperGauges ["task"];
    /// Number of future months for which every table has a partition.
    partitions_ahead_months: HousekeeperGauges;
    /// 1 while this instance is the leader, by role: relay or housekeeper; absent on instances that cannot become
    /// leader.
    leadership_held: IntGaugeVec ["role"];

    /// Messages or writes that wait for a permanent actor of this instance or are being handled by it.
    actor_mailbox_depth: IntGaugeVec ["actor"];
    /// Restarts of failed actors.
    actor_restarts_total: IntCounterVec ["actor"] of [actors];
    /// Age of the oldest unpublished event, in seconds; 0 if none waits, absent while the database does not respond. Every
    /// instance with the role relay measures it, so it also grows when no relay publishes.
    outbox_lag_seconds: MeasuredGauge;
    /// Time that the oldest event of each published batch waited, in seconds.
    outbox_publish_wait_seconds: Histogram in WAIT;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_registered_once_and_rendered_with_its_help() {
        let metrics = Metrics::new(&KnownLabels::default()).unwrap();
        metrics.applications_created_total.with_label_values(&["ES"]).inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("# HELP applications_created_total Accepted applications."));
        assert!(text.contains("applications_created_total{country=\"ES\"} 1"));
        #[cfg(target_os = "linux")]
        for name in
            ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}");
        }
    }
}
