//! Collects the values of metric labels from the modules that use them.

use super::shared::REDIS_WATCH;
use crate::actors::broadcaster::{self, FrameKind};
use crate::actors::housekeeper::{self, tasks::ScheduledTask};
use crate::actors::ingest_writer::{self, EventResult};
use crate::actors::job::{self, AttemptStatus};
use crate::actors::provider_gateway::{self, CallStatus};
use crate::actors::{event_consumer, outbox_relay, scheduler, supervisor, view_recorder, write_batcher};
use crate::cache::{CacheOperation, Subject, follower};
use crate::deliveries::deliver::DeliverWebhook;
use crate::domain::application::Country;
use crate::domain::delivery::{AttemptResult, DeliveryStatus};
use crate::domain::disbursement::rail::Rail;
use crate::domain::disbursement::workflow::{self, Step};
use crate::events::streams::appender;
use crate::events::{bus, notifications};
use crate::lending::confirm::retry::RetryWebhookEvent;
use crate::lending::confirm::{MessageResult, UNKNOWN_PROVIDER};
use crate::lending::disburse::step::DisbursementStep;
use crate::lending::process::ProcessCreditApplication;
use crate::providers::provider_for;
use crate::queue::task::Task;
use crate::rails::gateway;
use crate::resilience::circuit_breaker::State;
use crate::resources::TABLES_WITH_LABELS;
use crate::storage::replica;
use crate::storage::scheduled_runs::Outcome;
use crate::telemetry::labels::KnownLabels;
use crate::telemetry::trace;
use crate::{http, redis};

/// Every actor and asynchronous task that is restarted after a failure.
const SUPERVISED: [&str; 20] = [
    appender::NAME,
    broadcaster::NAME,
    bus::redis::WATCH,
    event_consumer::NAME,
    follower::NAME,
    housekeeper::NAME,
    ingest_writer::NAME,
    job::NAME,
    notifications::NAME,
    outbox_relay::NAME,
    outbox_relay::lag::NAME,
    provider_gateway::NAME,
    provider_gateway::events::NAME,
    provider_gateway::overrides::NAME,
    REDIS_WATCH,
    replica::WATCH,
    scheduler::NAME,
    supervisor::NAME,
    view_recorder::NAME,
    write_batcher::NAME,
];

/// The names of the tasks in the registry of `app::engine`.
const TASKS: [&str; 4] =
    [ProcessCreditApplication::NAME, RetryWebhookEvent::NAME, DeliverWebhook::NAME, DisbursementStep::NAME];

/// The label values that are known when a process starts.
pub fn known_labels() -> KnownLabels {
    let bureaus = || Country::ALL.into_iter().map(|country| (country, provider_for(country).label()));
    KnownLabels {
        actors: SUPERVISED.into_iter().collect(),
        attempt_results: AttemptResult::ALL.iter().map(|result| result.as_str()).collect(),
        bureaus: bureaus().map(|(country, bureau)| [country.code(), bureau]).collect(),
        bus_sources: bus::redis::EventSource::VALUES.iter().copied().collect(),
        cache_operations: CacheOperation::VALUES.iter().copied().collect(),
        cache_patterns: Subject::PATTERNS.into_iter().collect(),
        call_statuses: CallStatus::VALUES.iter().copied().collect(),
        circuit_states: State::ALL.into_iter().map(State::as_str).collect(),
        countries: Country::ALL.into_iter().map(Country::code).collect(),
        delivery_results: ended().map(DeliveryStatus::as_str).collect(),
        event_results: EventResult::VALUES.iter().copied().collect(),
        disbursement_states: workflow::State::ALL.iter().map(|state| state.as_str()).collect(),
        disbursement_steps: Step::ALL.iter().map(|step| step.as_str()).collect(),
        job_statuses: AttemptStatus::VALUES.iter().copied().collect(),
        message_types: FrameKind::ALL.into_iter().map(FrameKind::as_str).collect(),
        push_channels: [notifications::CHANNEL, bus::redis::CHANNEL].into_iter().collect(),
        rail_operations: gateway::Operation::VALUES.iter().copied().collect(),
        rail_statuses: gateway::RailCallStatus::VALUES.iter().copied().collect(),
        rails: Rail::ALL.iter().map(|rail| rail.as_str()).collect(),
        redis_operations: redis::Operation::VALUES.iter().copied().collect(),
        redis_results: redis::CallResult::VALUES.iter().copied().collect(),
        refusals: http::refusal_labels().collect(),
        routes: http::endpoint_labels().into_iter().collect(),
        run_outcomes: Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect(),
        scheduled_tasks: ScheduledTask::ALL.into_iter().map(ScheduledTask::name).collect(),
        span_results: trace::ExportResult::VALUES.iter().copied().collect(),
        tables: TABLES_WITH_LABELS.into_iter().collect(),
        tasks: TASKS.into_iter().collect(),
        webhook_results: MessageResult::VALUES.iter().copied().collect(),
        webhook_senders: bureaus().map(|(_, bureau)| bureau).chain([UNKNOWN_PROVIDER]).collect(),
    }
}

/// The statuses of deliveries that have ended.
fn ended() -> impl Iterator<Item = DeliveryStatus> {
    DeliveryStatus::ALL.iter().copied().filter(|status| status.is_finished())
}
