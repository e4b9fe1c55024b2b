//! One case for each function of `storage/` that takes a connection, or for each variant of the function's query.
//!
//! A name is `module::function`, followed by a space and a description if the function has several cases. Each call
//! runs in a transaction that is rolled back.

use std::ops::RangeInclusive;
use std::time::Duration;

use aval::domain::account::{KeyLimits, Role, Scope};
use aval::domain::application::{Country, DataChange};
use aval::domain::confirmation::ReportedOutcome;
use aval::domain::delivery::{Algorithm, AttemptResult, DeliveryStatus, DisabledReason};
use aval::domain::disbursement::destination::Destination;
use aval::domain::disbursement::history::{Beginning, Details, Event};
use aval::domain::disbursement::rail::DestinationKind;
use aval::domain::disbursement::workflow::EventKind;
use aval::domain::ids::{ApplicationId, DecisionId, EventId, RequestId};
use aval::domain::money::Money;
use aval::domain::personal_data::Email;
use aval::domain::status::{Initiator, Status};
use aval::error::Error;
use aval::resilience::circuit_breaker::CircuitMode;
use aval::storage::account_contacts::Contact;
use aval::storage::account_settings::StoredSettings;
use aval::storage::applications::{
    BeginJob, Change, Insertion, ListFilter, PageStart, SortOrder, TotalBounds, Visibility,
};
use aval::storage::circuit_events::NewCircuitChange;
use aval::storage::circuit_overrides::SetOverride;
use aval::storage::consumers::dead_letters::EventDeadLetterFilter;
use aval::storage::consumers::deferred::NewDeferredEvent;
use aval::storage::consumers::failures::{AfterFailure, Failure};
use aval::storage::consumers::leases::HeldPartition;
use aval::storage::decisions::DecisionRecord;
use aval::storage::deliveries::endpoints::{EndpointChange, EndpointSecret, NewEndpoint};
use aval::storage::deliveries::fan_out::{NewMessage, fan_out, insert_for};
use aval::storage::deliveries::list::{AttemptFilter, DeliveryFilter};
use aval::storage::deliveries::repeat::RecoverFilter;
use aval::storage::deliveries::{NewAttempt, endpoints, list, repeat};
use aval::storage::disbursements::approvals::{self, Approval};
use aval::storage::disbursements::list::DisbursementFilter;
use aval::storage::disbursements::pools::{self, Entry};
use aval::storage::disbursements::{self, Source};
use aval::storage::failed_jobs::{DeadLetterFilter, Operator, RetryAll};
use aval::storage::idempotency::{KeyedWrite, SealedReply};
use aval::storage::ingest::dead_letters::{IngestDeadLetterFilter, NewIngestDeadLetter};
use aval::storage::ingest::{EventListFilter, NewIngestedEvent, SharedText};
use aval::storage::jobs::{
    Claim, DeadLetter, Heartbeat, JobFilter, KnownTask, NewJob, Priority, Quota, Release,
};
use aval::storage::lanes::LaneChange;
use aval::storage::outbox::OutboxRetention;
use aval::storage::provider_retries::Requeue;
use aval::storage::refresh_tokens::RefreshToken;
use aval::storage::reviews::{AssignmentFilter, NewAssignment, ReviewFilter};
use aval::storage::scheduled_runs::{Cause, Ending, NewRun, Outcome, RunFilter};
use aval::storage::security_events::{EventFilter, SecurityEvent};
use aval::storage::staff_views::{StaffView, ViewAction, ViewFilter};
use aval::storage::statistics::FiguresQuery;
use aval::storage::types::{FailedJobStatus, WebhookStatus};
use aval::storage::users::UserChange;
use aval::storage::webhooks::{NewEvent, WebhookDecision, WebhookFilter};
use aval::storage::{
    account_contacts, account_settings, api_keys, applications, audit, circuit_events, circuit_history,
    circuit_overrides, consumers, decisions, deliveries, failed_jobs, idempotency, ingest, jobs, lanes,
    login_addresses, outbox, overview, provider_retries, refresh_tokens, reviews, saved_views,
    scheduled_runs, security_events, staff_views, statistics, users, webhooks, ws_tickets,
};
use chrono::{Days, NaiveDate, TimeDelta};
use diesel_async::AsyncPgConnection;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::fill::World;
use crate::support::engine::application;

/// A call of a function, and the requirements for its plans.
pub(super) struct Case {
    /// `module::function`, and the variant.
    pub(super) name: &'static str,
    /// The maximum number of months that one statement may read of the tables with monthly partitions.
    pub(super) months: usize,
    /// Parts of the names of indexes that must be used. The names are compared without months.
    pub(super) indexes: &'static [&'static str],
    /// The call; errors are returned as text.
    pub(super) call:
        for<'a> fn(&'a mut AsyncPgConnection, &'a World) -> LocalBoxFuture<'a, Result<(), String>>,
}

const SECOND: Duration = Duration::from_secs(1);

fn held() -> Vec<HeldPartition> {
    (0..16).map(|partition| HeldPartition { partition, position: 0, fence: 0 }).collect()
}

fn deferred(w: &World) -> NewDeferredEvent<'static> {
    NewDeferredEvent {
        event_id: EventId::new(w.clock.new_uuid()),
        event_type: "toy.made.v1",
        subject: w.deferred_subject,
        partition: 3,
        time: w.now,
        offset: 7,
        request_id: None,
        traceparent: None,
        data: serde_json::value::RawValue::NULL,
        is_isolated: false,
    }
}

/// An event that is not stored.
fn ingested(w: &World) -> NewIngestedEvent {
    let text = |text: &str| SharedText::from(text.to_owned());
    NewIngestedEvent {
        user_id: text("user-1"),
        occurred_at: w.now,
        id: SharedText::from(w.clock.new_uuid().to_string()),
        event_type: text("t"),
        properties: text("{}"),
    }
}

fn of_user(w: &World, event_type: Option<&str>) -> EventListFilter {
    EventListFilter {
        user_id: "user-1".to_owned(),
        event_type: event_type.map(str::to_owned),
        from: w.now - TimeDelta::days(7),
        until: w.now + TimeDelta::days(1),
    }
}

fn refused(w: &World) -> NewIngestDeadLetter {
    NewIngestDeadLetter {
        account: "key:test".to_owned(),
        code: "bad_type",
        detail: "the event must be an object".to_owned(),
        event: SharedText::from("7".to_owned()),
        received_at: w.now,
    }
}

/// For lists, which may read all months.
const ALL: usize = usize::MAX;

macro_rules! cases {
    ($($name:literal [$months:expr] [$($index:literal),*] |$sql:ident, $world:ident| $call:expr;)+) => {
        &[$(Case {
            name: $name,
            months: $months,
            indexes: &[$($index),*],
            call: |$sql, $world| Box::pin(async move {
                let _ = $world;
                $call.await.map(drop).map_err(|error| format!("{error:?}"))
            }),
        }),+]
    };
}

#[rustfmt::skip]
pub(super) const CASES: &[Case] = cases! {
    "api_keys::insert" [0] [] |sql, w| api_keys::insert(sql, &new_key(w));
    "api_keys::find" [0] ["api_keys_pkey"] |sql, w| api_keys::find(sql, w.api_key);
    "api_keys::find_and_share_lock" [0] ["api_keys_pkey"] |sql, w| api_keys::find_and_share_lock(sql, w.api_key);
    "api_keys::list_page" [0] ["api_keys_pkey"] |sql, w| api_keys::list_page(sql, Some(w.api_key), 20);
    "api_keys::revoke" [0] ["api_keys_pkey"] |sql, w| api_keys::revoke(sql, w.api_key, w.now);
    "api_keys::touch" [0] ["api_keys_pkey"] |sql, w| api_keys::touch(sql, w.api_key, w.now);

    "applications::change::change status" [1] ["applications_pkey", "pending_jobs_one_per_application_idx"]
        |sql, w| change(sql, w, Change::Status(Status::Cancelled));
    "applications::change::change data" [1] ["applications_pkey"]
        |sql, w| change(sql, w, Change::CountryData(DataChange { open: vec![("employer", Some(json!(1)))], personal: vec![] }));
    "applications::change::change deletion" [1] ["applications_pkey", "document_claims_pkey"]
        |sql, w| change(sql, w, Change::Delete);
    "applications::candidates::by_filter" [ALL] [] |sql, _w| async move {
        let filter = ListFilter { country: Some(Country::Es), status: Some(Status::UnderReview), ..ListFilter::default() };
        applications::by_filter(sql, &filter, &Visibility::All, 10_001).await
    };
    "applications::candidates::by_ids" [ALL] ["applications_pkey"]
        |sql, w| async move { applications::by_ids(sql, &[w.application, w.review], &Visibility::All).await };
    "applications::candidates::archived_of" [0] []
        |sql, w| async move { applications::archived_of(sql, &[w.application, w.review], &Visibility::All).await };
    "applications::claims::held_until" [0] ["document_claims_pkey"] |sql, w| applications::held_until(sql, "tester", w.document);
    "applications::claims::delete_expired_claims" [0] ["document_claims_expiry_idx"]
        |sql, w| applications::delete_expired_claims(sql, w.now, 100);
    "applications::insert::insert" [1] [] |sql, w| async move { applications::insert(sql, &w.keys, &[new_application(w)]).await };
    "applications::insert::insert_making_partitions" [1] []
        |sql, w| async move { applications::insert_making_partitions(sql, &w.keys, &new_application(w)).await };
    "applications::find" [1] ["applications_pkey"] |sql, w| applications::find(sql, &w.keys, w.application, &Visibility::All);
    "applications::get" [1] ["applications_pkey"] |sql, w| applications::get(sql, &w.keys, w.application, &Visibility::All);
    "applications::is_visible" [1] ["applications_pkey"] |sql, w| applications::is_visible(sql, w.application, &Visibility::All);
    "applications::country" [1] ["applications_pkey"] |sql, w| applications::country(sql, w.application, &Visibility::All);
    "applications::owner" [1] ["applications_pkey"] |sql, w| applications::owner(sql, w.application);
    "applications::owner_and_version" [1] ["applications_pkey"] |sql, w| applications::owner_and_version(sql, w.application);
    "applications::another_account_applied" [2] ["applications_pkey", "applications_document_index_id_idx"]
        |sql, w| applications::another_account_applied(sql, w.application, Some(TimeDelta::days(1)));
    "applications::list::list_page of all" [1] ["applications_pkey"] |sql, w| list(sql, w, ListFilter::default());
    "applications::list::list_page of a country and status" [ALL] ["status_id_idx"]
        |sql, w| list(sql, w, ListFilter { country: Some(Country::Es), status: Some(Status::Completed), ..ListFilter::default() });
    "applications::list::list_page of a status" [ALL] ["applications_status_id_idx"]
        |sql, w| list(sql, w, ListFilter { status: Some(Status::Completed), ..ListFilter::default() });
    "applications::list::list_page of a document" [ALL] ["applications_document_index_id_idx"]
        |sql, w| list(sql, w, ListFilter { document: Some(w.document), ..ListFilter::default() });
    "applications::list::list_page of data" [ALL] ["applications_country_specific_data_idx"]
        |sql, w| list(sql, w, ListFilter { country_data: Some(Map::from_iter([("employer".to_owned(), json!(7))])), ..ListFilter::default() });
    "applications::list::list_page of a report" [ALL] ["applications_banking_data_idx"]
        |sql, w| list(sql, w, ListFilter { banking_data: Some(Map::from_iter([("credit_score".to_owned(), json!(7))])), ..ListFilter::default() });
    "applications::list::list_page of a day" [1] ["applications_pkey"] |sql, w| list(sql, w, ListFilter {
        from: w.application.created_at(), to: w.application.created_at().map(|at| at + TimeDelta::hours(1)), ..ListFilter::default() });
    "applications::list::list_page of one's own" [ALL] ["applications_"] |sql, w| applications::list_page(
        sql, &w.keys, all_applications(), own(), SortOrder::NewestFirst, PageStart::After(w.application), 21);
    "applications::list::list_page of changes" [ALL] ["applications_updated_at_id_idx", "applications_created_by_updated_at_id_idx"]
        |sql, w| async move {
            let filter = ListFilter { updated_since: Some(w.now - TimeDelta::hours(1)), ..ListFilter::default() };
            for visibility in [&Visibility::All, own()] {
                for start in [PageStart::Beginning, PageStart::AfterUpdate(w.now - TimeDelta::minutes(30), w.application)] {
                    applications::list_page(sql, &w.keys, &filter, visibility, SortOrder::LeastRecentlyUpdated, start, 21).await?;
                }
            }
            Ok::<_, Error>(())
        };
    "applications::total::total" [ALL] ["application_counts_pkey", "outbox_offset_idx"]
        |sql, _w| applications::total(sql, all_applications(), &Visibility::All, bounds());
    "applications::total::total of one's own" [ALL] ["application_counts_pkey", "outbox_offset_idx"]
        |sql, _w| applications::total(sql, all_applications(), own(), bounds());

    "audit::list" [1] ["audit_logs_pkey"] |sql, w| audit::list(sql, &w.keys, w.application, |_| false);
    "decisions::store" [1] ["applications_pkey", "pending_jobs_pkey"]
        |sql, w| async move { decisions::store(sql, &[decided(w)]).await };
    "decisions::find_latest" [1] ["decisions_pkey"] |sql, w| decisions::find_latest(sql, w.application);
    "circuit_events::record" [0] [] |sql, w| async move {
        let id = EventId::new(w.clock.new_uuid());
        circuit_events::record(sql, &circuit_change(w, id)).await
    };
    "circuit_history::list_page" [0] ["circuit_changes_pkey", "circuit_override_log_pkey"]
        |sql, w| circuit_history::list_page(sql, None, Some(w.application.as_uuid()), 21);
    "circuit_history::list_page of a country" [0] ["circuit_changes_pkey"]
        |sql, w| circuit_history::list_page(sql, Some(Country::Es), Some(w.application.as_uuid()), 21);
    "circuit_history::delete_before" [0] ["circuit_changes_time_idx"]
        |sql, w| circuit_history::delete_before(sql, w.now - TimeDelta::days(400), 100);
    "circuit_overrides::in_force" [0] [] |sql, _w| circuit_overrides::in_force(sql);
    "circuit_overrides::list" [0] [] |sql, _w| circuit_overrides::list(sql);
    "circuit_overrides::set" [0] [] |sql, w| async move { circuit_overrides::set(sql, &forced_open(w)).await };

    "consumers::leases::register" [0] ["outbox_offset_idx"] |sql, _w| consumers::leases::register(sql, "new");
    "consumers::leases::report" [0] [] |sql, _w| consumers::leases::report(sql, "webhooks", "one", SECOND);
    "consumers::leases::hold" [0] [] |sql, _w| async move { consumers::leases::hold(sql, "webhooks", &held(), SECOND).await };
    "consumers::leases::acquire" [0] []
        |sql, _w| async move { consumers::leases::acquire(sql, "webhooks", "one", SECOND, &held(), 16).await };
    "consumers::leases::release" [0] [] |sql, _w| async move { consumers::leases::release(sql, "webhooks", &held()).await };
    "consumers::leases::leave" [0] [] |sql, _w| consumers::leases::leave(sql, "webhooks", "one");
    "consumers::inbox::record" [0] []
        |sql, w| async move { consumers::inbox::record(sql, "webhooks", &[(EventId::new(w.clock.new_uuid()), 7)]).await };
    "consumers::inbox::delete_expired" [0] ["inbox_offset_idx"] |sql, _w| consumers::inbox::delete_expired(sql, 10);
    "consumers::deferred::defer" [0] [] |sql, w| async move { consumers::deferred::defer(sql, "webhooks", &[deferred(w)]).await };
    "consumers::deferred::blocked_subjects" [0] ["deferred_events_subject_idx"]
        |sql, w| consumers::deferred::blocked_subjects(sql, "webhooks", vec![w.deferred_subject, w.user]);
    "consumers::deferred::scheduled_subjects" [0] ["deferred_events_due_idx"]
        |sql, _w| consumers::deferred::scheduled_subjects(sql, "webhooks", (0..16).collect(), 100);
    "consumers::deferred::first_of_subject" [0] ["deferred_events_subject_idx"]
        |sql, w| consumers::deferred::first_of_subject(sql, "webhooks", w.deferred_subject, 100);
    "consumers::deferred::remove" [0] ["deferred_events_pkey"]
        |sql, w| async move { consumers::deferred::remove(sql, &[w.event_dead_letter]).await };
    "consumers::failures::record_failure" [0] ["deferred_events_event_key"] |sql, w| {
        let failure = Failure::new(1, AfterFailure::Retry(SECOND), &aval::error::Error::NotUnderReview);
        consumers::failures::record_failure(sql, "webhooks", EventId::new(w.application.as_uuid()), failure)
    };
    "consumers::isolation::isolate_due" [0] ["deferred_events_due_idx", "deferred_events_subject_idx", "deferred_events_pkey"]
        |sql, _w| consumers::isolation::isolate_due(sql, "webhooks", (0..16).collect(), (100, 100));
    "consumers::deferred::schedule_heads" [0] ["deferred_events_subject_idx"]
        |sql, w| consumers::deferred::schedule_heads(sql, "webhooks", vec![w.deferred_subject]);
    "consumers::deferred::unschedule" [0] ["deferred_events_"]
        |sql, w| consumers::deferred::unschedule(sql, "webhooks", vec![w.deferred_subject]);
    "consumers::dead_letters::list_page" [0] ["deferred_events_"] |sql, w| async move {
        consumers::dead_letters::list_page(sql, &EventDeadLetterFilter::default(), Some(w.event_dead_letter), 21).await
    };
    "consumers::dead_letters::list_page of a consumer" [0] ["deferred_events_"] |sql, _w| async move {
        let filter = EventDeadLetterFilter { consumer: Some("webhooks".to_owned()), ..EventDeadLetterFilter::default() };
        consumers::dead_letters::list_page(sql, &filter, None, 21).await
    };
    "consumers::dead_letters::oldest" [0] ["deferred_events_"]
        |sql, _w| async move { consumers::dead_letters::oldest(sql, &EventDeadLetterFilter::default(), 21).await };
    "consumers::dead_letters::get" [0] ["deferred_events_"] |sql, w| consumers::dead_letters::get(sql, w.event_dead_letter);
    "consumers::dead_letters::lock_consumer" [0] [] |sql, _w| consumers::dead_letters::lock_consumer(sql, "webhooks");
    "consumers::dead_letters::replay" [0] ["deferred_events_pkey"]
        |sql, w| async move { consumers::dead_letters::replay(sql, "webhooks", &[w.event_dead_letter]).await };
    "consumers::dead_letters::skip" [0] ["deferred_events_"]
        |sql, w| async move { consumers::dead_letters::skip(sql, "webhooks", &[w.event_dead_letter]).await };
    "consumers::dead_letters::rewind" [0] ["inbox_offset_idx", "deferred_events_offset_idx"]
        |sql, _w| consumers::dead_letters::rewind(sql, "webhooks", i64::MAX - 1);
    "consumers::dead_letters::uncopied" [0] ["deferred_events_"] |sql, _w| consumers::dead_letters::uncopied(sql, 100);
    "consumers::dead_letters::mark_copied" [0] ["deferred_events_pkey"]
        |sql, w| async move { consumers::dead_letters::mark_copied(sql, &[w.event_dead_letter]).await };
    "consumers::dead_letters::delete_before" [0] ["deferred_events_"]
        |sql, w| consumers::dead_letters::delete_before(sql, w.now - TimeDelta::days(400), 10);
    "consumers::overview::lags" [0] ["outbox_offset_idx", "deferred_events_"] |sql, _w| consumers::overview::lags(sql);
    "consumers::overview::partitions" [0] [] |sql, _w| consumers::overview::partitions(sql);

    "failed_jobs::list::list_page" [0] ["failed_jobs_pkey"]
        |sql, w| async move { failed_jobs::list_page(sql, &DeadLetterFilter::default(), Some(w.dead_letter), 21).await };
    "failed_jobs::list::list_page of a status" [0] ["failed_jobs_status_idx"] |sql, _w| async move {
        let filter = DeadLetterFilter { status: Some(FailedJobStatus::Ignored), ..DeadLetterFilter::default() };
        failed_jobs::list_page(sql, &filter, None, 21).await
    };
    "failed_jobs::list::list_page of an application" [0] ["failed_jobs_application_idx"] |sql, w| async move {
        let filter = DeadLetterFilter { application_id: Some(w.application), ..DeadLetterFilter::default() };
        failed_jobs::list_page(sql, &filter, None, 21).await
    };
    "failed_jobs::get" [0] ["failed_jobs_pkey"] |sql, w| failed_jobs::get(sql, w.dead_letter);
    "failed_jobs::mark" [0] ["failed_jobs_pkey"]
        |sql, w| async move { failed_jobs::mark(sql, w.dead_letter, FailedJobStatus::Reviewed, &operator()).await };
    "failed_jobs::retry::retry" [1] ["failed_jobs_pkey"] |sql, w| async move {
        // The result does not matter here.
        let _ = failed_jobs::retry(sql, w.dead_letter, &operator()).await;
        Ok::<_, Error>(())
    };
    "failed_jobs::retry::retry_all" [ALL] ["failed_jobs_"] |sql, w| async move {
        let filter = DeadLetterFilter { application_id: Some(w.application), ..DeadLetterFilter::default() };
        failed_jobs::retry_all(sql, &RetryAll { filter, limit: 10, dry_run: false }, &operator()).await
    };

    "overview::last_errors" [0] ["failed_jobs_pkey"] |sql, _w| overview::last_errors(sql, 5);
    "failed_jobs::list_of_application" [0] ["failed_jobs_application_idx"] |sql, w| failed_jobs::list_of_application(sql, w.application);

    "idempotency::begin" [0] ["idempotency_keys_pkey"] |sql, w| async move { idempotency::begin(sql, &keyed(w)).await };
    "idempotency::store" [0] [] |sql, w| async move { idempotency::store(sql, &keyed(w), &reply()).await };
    "idempotency::delete_expired" [0] ["idempotency_keys_expiry_idx"] |sql, w| idempotency::delete_expired(sql, w.now, 100);

    "applications::begin::begin" [2] ["pending_jobs_pkey", "applications_pkey"] |sql, w| async move {
        let (lease, application_id, attribution) = (w.job.lease, w.job.application_id.unwrap(), w.attribution());
        applications::begin(sql, &w.keys, &[BeginJob { lease, application_id, attribution, traceparent: None, other_account_window_ms: 86_400_000 }]).await
    };
    "jobs::dead_letter::move_to_dead_letters" [1] ["pending_jobs_pkey"] |sql, w| async move { jobs::move_to_dead_letters(sql, &[dead_letter(w)]).await };
    "jobs::claim::claim" [0] ["pending_jobs_lanes_idx", "pending_jobs_pkey"] |sql, _w| async move { jobs::claim(sql, &claim()).await };
    "jobs::claim::claim_exhausted" [0] ["pending_jobs_leases_idx"] |sql, _w| async move { jobs::claim_exhausted(sql, &claim()).await };
    "jobs::renew" [0] ["pending_jobs_pkey"]
        |sql, w| async move { jobs::renew(sql, &[Heartbeat { lease: w.job.lease, lease_ms: 1000 }]).await };
    "jobs::release" [0] ["pending_jobs_pkey"] |sql, w| async move { jobs::release(sql, &[Release {
        lease: w.job.lease, delay_ms: 0, give_attempt_back: true, error: None, provider_reference: None }]).await };
    "jobs::enqueue::enqueue" [0] [] |sql, w| async move { jobs::enqueue(sql, &new_job(w)).await };
    "jobs::finish::complete" [0] ["pending_jobs_pkey"] |sql, w| jobs::complete(sql, w.job.lease);
    "jobs::finish::supersede" [0] ["pending_jobs_pkey"] |sql, w| async move { jobs::supersede(sql, &[w.job.lease]).await };
    "jobs::figures::depth" [0] [] |sql, _w| jobs::depth(sql);
    "jobs::figures::oldest_due" [0] ["pending_jobs_lanes_idx", "pending_jobs_leases_idx"] |sql, _w| jobs::oldest_due(sql);
    "jobs::figures::lane_figures" [0] ["pending_jobs_lanes_idx"] |sql, _w| jobs::lane_figures(sql);
    "jobs::figures::dead_letters" [0] [] |sql, _w| jobs::dead_letters(sql);
    "jobs::list::list_page" [0] ["pending_jobs_pkey"]
        |sql, w| async move { jobs::list_page(sql, &JobFilter::default(), Some(w.job.lease.job_id.as_uuid()), 21).await };
    "jobs::list::list_page of an application" [0] ["pending_jobs_one_per_application_idx"] |sql, w| async move {
        jobs::list_page(sql, &JobFilter { application_id: Some(w.application), ..JobFilter::default() }, None, 21).await
    };
    "lanes::paused" [0] [] |sql, _w| lanes::paused(sql);
    "lanes::change" [0] [] |sql, w| async move { lanes::change(sql, &pause(w)).await };

    "login_addresses::record" [0] ["login_addresses_pkey"]
        |sql, w| login_addresses::record(sql, w.user, &[7; 32], w.now);
    "login_addresses::is_known" [0] ["login_addresses_pkey"]
        |sql, w| login_addresses::is_known(sql, &w.user_name, &[7; 32]);
    "login_addresses::delete_before" [0] ["login_addresses_expiry_idx"]
        |sql, w| login_addresses::delete_before(sql, w.now - TimeDelta::days(400));

    "outbox::publish" [0] ["outbox_unpublished_idx", "outbox_pkey"] |sql, _w| outbox::publish(sql, 100);
    "outbox::position" [0] [] |sql, _w| outbox::position(sql);
    "outbox::begin_new_epoch" [0] [] |sql, _w| outbox::begin_new_epoch(sql, uuid::Uuid::nil(), 0);
    "outbox::oldest_wait" [0] ["outbox_unpublished_idx"] |sql, w| outbox::oldest_wait(sql, w.now);
    "outbox::oldest_offset" [0] ["outbox_offset_idx"] |sql, _w| outbox::oldest_offset(sql);
    "outbox::read_after" [0] ["outbox_offset_idx"] |sql, _w| outbox::read_after(sql, 100, 100);
    "outbox::delete_expired" [0] ["outbox_pkey"]
        |sql, w| async move {
            let hour = Duration::from_secs(3600);
            outbox::delete_expired(sql, w.now, OutboxRetention { minimum: hour, unread: hour }, 100).await
        };

    "provider_retries::requeue_due" [ALL] ["provider_retries_due_idx"] |sql, _w| provider_retries::requeue_due(
        sql, Requeue { country: Country::Es, limit: 5, min_interval_ms: 1, max_interval_ms: 2 });
    "provider_retries::countries_due" [0] ["provider_retries_due_idx"] |sql, _w| provider_retries::countries_due(sql);

    "refresh_tokens::insert" [0] ["users_pkey"] |sql, w| async move { refresh_tokens::insert(sql, &new_token(w)).await };
    "refresh_tokens::find" [0] ["refresh_tokens_token_hash_key"] |sql, _w| refresh_tokens::find(sql, &[7; 32]);
    "refresh_tokens::rotate" [0] ["refresh_tokens_pkey"]
        |sql, w| async move {
            let token = refresh_tokens::find(sql, &[7; 32]).await?;
            let unknown = RefreshToken {
                id: w.token, family: w.token_family, user_id: w.user, expires_at: w.now, rotated_at: None,
                revoked_at: None, session_started_at: w.now, uses: 0,
            };
            refresh_tokens::rotate(sql, &token.unwrap_or(unknown), w.clock.new_uuid(), w.now).await
        };
    "refresh_tokens::revoke_surplus" [0] ["refresh_tokens_family_idx"]
        |sql, w| refresh_tokens::revoke_surplus(sql, w.token_family, 0, w.now);
    "refresh_tokens::revoke_family" [0] ["refresh_tokens_family_idx"]
        |sql, w| refresh_tokens::revoke_family(sql, w.token_family, w.now);
    "refresh_tokens::open_sessions" [0] ["refresh_tokens_user_idx"]
        |sql, w| refresh_tokens::open_sessions(sql, w.user, w.now, 100);
    "refresh_tokens::revoke_of_account" [0] ["refresh_tokens_"]
        |sql, w| refresh_tokens::revoke_of_account(sql, w.user, Some(w.token_family), w.now);
    "refresh_tokens::revoke_of_account with all sessions" [0] ["refresh_tokens_user_idx"]
        |sql, w| refresh_tokens::revoke_of_account(sql, w.user, None, w.now);
    "refresh_tokens::delete_expired" [0] ["refresh_tokens_expiry_idx"] |sql, w| refresh_tokens::delete_expired(sql, w.now);

    "account_contacts::of" [0] ["account_contacts_pkey"] |sql, w| async move { account_contacts::of(sql, &w.keys, &[w.api_key]).await };
    "account_contacts::replace" [0] ["account_contacts_pkey"] |sql, w| async move {
        account_contacts::replace(sql, &w.keys, w.user, &Contact { name: None, email: Email::parse("ana@example.com") }).await
    };
    "account_settings::find" [0] ["account_settings_pkey"] |sql, w| account_settings::find(sql, w.user);
    "account_settings::set" [0] [] |sql, w| async move { account_settings::set(sql, w.user, &stored_settings()).await };

    "saved_views::list" [0] ["saved_views_name_key"] |sql, w| saved_views::list(sql, w.user);
    "saved_views::count" [0] ["saved_views_name_key"] |sql, w| saved_views::count(sql, w.user);
    "saved_views::insert" [0] ["users_pkey"] |sql, w| async move { saved_views::insert(sql, &new_view(w, &json!({}))).await };
    "saved_views::delete" [0] ["saved_views_pkey"] |sql, w| saved_views::delete(sql, w.user, w.user);

    "scheduled_runs::begin" [0] [] |sql, w| async move { scheduled_runs::begin(sql, &new_run(w)).await };
    "scheduled_runs::begin_requested" [0] ["scheduled_runs_"] |sql, w| scheduled_runs::begin_requested(sql, w.run, w.now, "test");
    "scheduled_runs::finish" [0] ["scheduled_runs_"] |sql, w| async move {
        let ending = Ending { outcome: Outcome::Completed, detail: json!({}), error: None };
        scheduled_runs::finish(sql, w.run, w.now, &ending).await
    };
    "scheduled_runs::abandon_orphans" [0] ["scheduled_runs_running_idx"] |sql, w| scheduled_runs::abandon_orphans(sql, w.now);
    "scheduled_runs::request" [0] [] |sql, w| scheduled_runs::request(sql, w.clock.new_uuid(), "task_a", w.now, "test");
    "scheduled_runs::delete_expired" [0] ["scheduled_runs_"]
        |sql, w| scheduled_runs::delete_expired(sql, w.now - TimeDelta::days(170), 10);
    "scheduled_runs::list::list_page" [0] ["scheduled_runs_pkey"]
        |sql, w| async move { scheduled_runs::list_page(sql, &RunFilter::default(), Some(w.run), 21).await };
    "scheduled_runs::list::list_page of a task" [0] ["scheduled_runs_"] |sql, _w| async move {
        scheduled_runs::list_page(sql, &RunFilter { task: Some("task_none"), ..RunFilter::default() }, None, 21).await
    };
    "scheduled_runs::list::latest" [0] ["scheduled_runs_"] |sql, _w| scheduled_runs::latest(sql, &["task_a", "task_b"]);
    "scheduled_runs::records::records" [0] ["scheduled_runs_requested_idx", "scheduled_runs_schedule_idx"]
        |sql, _w| scheduled_runs::records(sql, &["task_a", "task_b"]);

    "security_events::set_origin" [0] [] |sql, w| async move {
        let keys = crate::support::engine::key_ring(&crate::support::engine::settings(&[]));
        security_events::set_origin(sql, &keys, w.clock.new_uuid(), Some("test"), Some("192.0.2.1"), None).await
    };
    "security_events::keep_sessions_of" [0] [] |sql, w| security_events::keep_sessions_of(sql, w.user);
    "security_events::record" [0] []
        |sql, _w| security_events::record(sql, SecurityEvent::LoggedOut, None, Some("test"), json!({}));
    "security_events::list_page" [0] ["security_events_pkey"] |sql, w| async move {
        security_events::list_page(sql, &EventFilter::default(), Some(w.application.as_uuid()), 51).await
    };
    "security_events::list_page of an account" [0] ["security_events_subject_idx"] |sql, _w| async move {
        let filter = EventFilter { subject: Some("nobody".to_owned()), ..EventFilter::default() };
        security_events::list_page(sql, &filter, None, 51).await
    };
    "security_events::delete_before" [0] ["security_events_expiry_idx"]
        |sql, w| security_events::delete_before(sql, w.now - TimeDelta::days(400), 100);

    "staff_views::insert" [0] [] |sql, w| async move { staff_views::insert(sql, &[view(w)]).await };
    "staff_views::list_page" [0] ["staff_views_pkey"]
        |sql, w| async move { staff_views::list_page(sql, &ViewFilter::default(), Some(w.application.as_uuid()), 51).await };
    "staff_views::list_page of an account" [0] ["staff_views_account"] |sql, _w| async move {
        let filter = ViewFilter { account: Some("account 7".to_owned()), ..ViewFilter::default() };
        staff_views::list_page(sql, &filter, None, 51).await
    };
    "staff_views::list_page of an application" [0] ["staff_views_application"] |sql, w| async move {
        let filter = ViewFilter { application_id: Some(w.application.as_uuid()), ..ViewFilter::default() };
        staff_views::list_page(sql, &filter, None, 51).await
    };
    "staff_views::delete_expired" [0] ["staff_views"] |sql, _w| staff_views::delete_expired(sql, 100);

    "statistics::project" [1] ["outbox_offset_idx", "applications_pkey", "audit_logs_pkey"]
        |sql, _w| statistics::project(sql, 14);
    "statistics::read" [1] ["outbox_offset_idx", "outbox_unpublished_idx", "application_counts_pkey", "application_days_pkey"]
        |sql, w| async move { statistics::read(sql, &figures_query(), w.now).await };
    "statistics::days::read" [1] ["outbox_offset_idx", "outbox_unpublished_idx", "application_days_pkey"]
        |sql, w| async move { statistics::days::read(sql, &figures_query(), &last_days(w), w.now).await };
    "statistics::count_listed" [0] ["outbox_offset_idx", "outbox_unpublished_idx", "application_counts_pkey"]
        |sql, _w| async move { statistics::count_listed(sql, &figures_query(), Some(Status::Pending)).await };

    "users::insert" [0] [] |sql, w| async move { users::insert(sql, &new_user(w)).await };
    "users::any" [0] [] |sql, _w| users::any(sql);
    "users::find" [0] ["users_pkey"] |sql, w| users::find(sql, w.user);
    "users::get" [0] ["users_pkey"] |sql, w| users::get(sql, w.user);
    "users::get_listed" [0] ["users_pkey"] |sql, w| users::get_listed(sql, w.user);
    "users::lock_listed" [0] ["users_pkey"] |sql, w| users::lock_listed(sql, w.user);
    "users::lock" [0] ["users_pkey"] |sql, w| users::lock(sql, w.user);
    "users::find_and_share_lock" [0] ["users_pkey"] |sql, w| users::find_and_share_lock(sql, w.user);
    "users::rehash" [0] ["users_pkey"] |sql, w| users::rehash(sql, w.user, "$argon2id$v=19$m=8,t=1,p=1$x$y");
    "users::find_by_name" [0] ["users_username_key"] |sql, w| users::find_by_name(sql, &w.user_name);
    "users::password_hash" [0] ["users_pkey"] |sql, w| users::password_hash(sql, w.user);
    "users::find_admin" [0] ["users_enabled_admins_idx"] |sql, _w| users::find_admin(sql);
    "users::list_page" [0] ["users_pkey"] |sql, _w| users::list_page(sql, None, 20);
    "users::lock_other_admins" [0] ["users_enabled_admins_idx"] |sql, w| users::lock_other_admins(sql, w.user);
    "users::update" [0] ["users_pkey", "refresh_tokens_user_idx"] |sql, w| async move {
        let before = users::get(sql, w.user).await?;
        users::update(sql, &before.into(), &UserChange { role: None, disabled: Some(true), password_hash: None }, w.now).await
    };
    "users::end_tokens" [0] ["users_pkey"] |sql, w| users::end_tokens(sql, w.user);

    "disbursements::find" [0] ["disbursements_"] |sql, w| disbursements::find(sql, w.disbursement, own());
    "disbursements::lock" [0] ["disbursements_pkey"] |sql, w| disbursements::lock(sql, w.disbursement);
    "disbursements::find_by_payment_key" [0] ["disbursements_payment_key"]
        |sql, w| disbursements::find_by_payment_key(sql, w.disbursement);
    "disbursements::has_live" [0] ["disbursements_"] |sql, w| disbursements::has_live(sql, w.application);
    "disbursements::is_in_progress" [0] ["disbursements_"] |sql, w| disbursements::is_in_progress(sql, w.application);
    "disbursements::lock_application" [1] ["applications_pkey"] |sql, w| disbursements::lock_application(sql, w.application);
    "disbursements::begin" [0] [] |sql, w| async move {
        disbursements::begin(sql, w.clock.new_uuid(), &requested(w), &Source::default()).await
    };
    "disbursements::record" [0] ["disbursements_pkey"] |sql, w| async move {
        let current = disbursements::lock(sql, w.disbursement).await?.unwrap();
        let event = Event { kind: EventKind::FundsReserved, details: Details::default(), ..requested(w) };
        disbursements::record(sql, &current, &event, &Source::default()).await
    };
    "disbursements::events" [0] ["disbursement_events_"] |sql, w| async move {
        // The rows of this database have no beginnings, which matters only when they are replayed.
        disbursements::events(sql, w.disbursement).await
    };
    "disbursements::find_message" [0] ["disbursement_events_message_once"]
        |sql, w| async move { disbursements::find_message(sql, &w.disbursement.to_string()).await };
    "disbursements::store_destination" [0] []
        |sql, w| async move { disbursements::store_destination(sql, &w.keys, w.clock.new_uuid(), &destination()).await };
    "disbursements::get_destination" [0] ["disbursement_destinations_pkey"] |sql, w| async move {
        let id = w.clock.new_uuid();
        disbursements::store_destination(sql, &w.keys, id, &destination()).await?;
        disbursements::get_destination(sql, &w.keys, id).await
    };
    "disbursements::queue_step" [0] [] |sql, w| async move {
        let current = disbursements::lock(sql, w.disbursement).await?.unwrap();
        disbursements::queue_step(sql, &current, SECOND, None, None).await
    };
    "disbursements::supersede_step" [0] ["pending_jobs_one_per_disbursement_idx"]
        |sql, w| disbursements::supersede_step(sql, w.disbursement);
    "disbursements::ids_after" [0] ["disbursement_events_"] |sql, w| disbursements::ids_after(sql, Some(w.disbursement), 100);
    "disbursements::restore" [0] ["disbursements_pkey"] |sql, w| async move {
        let current = disbursements::lock(sql, w.disbursement).await?.unwrap();
        disbursements::restore(sql, &current).await
    };
    "disbursements::list::list_page" [0] ["disbursements_pkey"] |sql, w| async move {
        let filter = DisbursementFilter::default();
        disbursements::list::list_page(sql, &Visibility::All, &filter, Some(w.disbursement), 20).await
    };
    "disbursements::list::list_page of one's own" [0] ["disbursements_"] |sql, w| async move {
        let filter = DisbursementFilter { application_id: Some(w.disbursement), ..DisbursementFilter::default() };
        disbursements::list::list_page(sql, own(), &filter, None, 20).await
    };
    "disbursements::approvals::insert" [0] [] |sql, w| async move { approvals::insert(sql, &approval(w)).await };
    "disbursements::approvals::find" [0] ["disbursement_approvals_pkey"] |sql, w| approvals::find(sql, w.approval);
    "disbursements::approvals::find_pending" [0] ["disbursement_approvals_"]
        |sql, w| approvals::find_pending(sql, w.disbursement);
    "disbursements::approvals::decide" [0] ["disbursement_approvals_pkey"]
        |sql, w| approvals::decide(sql, w.approval, "approved", Some(("other", w.user)), w.now);
    "disbursements::approvals::of_disbursement" [0] ["disbursement_approvals_disbursement_idx"]
        |sql, w| approvals::of_disbursement(sql, w.disbursement);
    "disbursements::approvals::pending" [0] ["disbursement_approvals_pkey"]
        |sql, w| approvals::pending(sql, Some(w.approval), 20);
    "disbursements::pools::reserve" [0] ["funding_reservations_pkey"]
        |sql, w| pools::reserve(sql, w.clock.new_uuid(), Country::Es, Money::parse("10").unwrap());
    "disbursements::pools::reserve from several shares" [0] ["funding_reservations_pkey"]
        |sql, w| pools::reserve(sql, w.clock.new_uuid(), Country::Es, Money::parse("9000000").unwrap());
    "disbursements::pools::release" [0] ["funding_reservations_pkey"] |sql, w| pools::release(sql, w.disbursement);
    "disbursements::pools::book" [0] ["funding_reservations_pkey"]
        |sql, w| async move { pools::book(sql, &entry(w), w.disbursement).await };
    "disbursements::pools::book_return" [0] ["ledger_entries_once"] |sql, w| async move {
        pools::book_return(sql, &entry(w), w.clock.new_uuid(), w.disbursement, Money::parse("1").unwrap()).await
    };
    "disbursements::pools::deposit" [0] []
        |sql, w| async move { pools::deposit(sql, &entry(w), Money::parse("100").unwrap()).await };
    "disbursements::pools::levels" [0] [] |sql, _w| pools::levels(sql);
    "deliveries::find_due" [0] ["webhook_deliveries_pkey", "webhook_messages_pkey"] |sql, w| deliveries::find_due(sql, w.delivery);
    "deliveries::record_attempt" [0] ["webhook_deliveries_pkey"]
        |sql, w| async move { deliveries::record_attempt(sql, &w.keys, &attempt(w)).await };
    "deliveries::finish" [0] ["webhook_deliveries_pkey"]
        |sql, w| deliveries::finish(sql, w.delivery, DeliveryStatus::Delivered, w.now);
    "deliveries::queue_next" [0] ["webhook_deliveries_order_idx"]
        |sql, w| deliveries::queue_next(sql, w.endpoint, w.delivery_subject);
    "deliveries::delete_attempts_before" [0] ["webhook_attempts_expiry_idx"]
        |sql, w| deliveries::delete_attempts_before(sql, w.now - TimeDelta::days(170), 10);
    "deliveries::delete_deliveries_before" [0] ["webhook_deliveries_expiry_idx"]
        |sql, w| deliveries::delete_deliveries_before(sql, w.now - TimeDelta::days(170), 10);
    "deliveries::delete_messages_before" [0] ["webhook_messages_expiry_idx"]
        |sql, w| deliveries::delete_messages_before(sql, w.now - TimeDelta::days(170), 10);
    "deliveries::delete_secrets_before" [0] ["webhook_secrets_expiry_idx"]
        |sql, w| deliveries::delete_secrets_before(sql, w.now, 10);
    "deliveries::endpoints::insert" [0] [] |sql, w| async move { endpoints::insert(sql, &new_endpoint(w)).await };
    "deliveries::endpoints::count" [0] [] |sql, _w| endpoints::count(sql);
    "deliveries::endpoints::find" [0] [] |sql, w| endpoints::find(sql, w.endpoint);
    "deliveries::endpoints::lock" [0] [] |sql, w| endpoints::lock(sql, w.endpoint);
    "deliveries::endpoints::list_page" [0] [] |sql, w| endpoints::list_page(sql, Some(w.endpoint), 20);
    "deliveries::endpoints::change" [0] [] |sql, w| async move {
        endpoints::change(sql, w.endpoint, &EndpointChange::disable(DisabledReason::Gone, w.now)).await
    };
    "deliveries::endpoints::delete" [0] [] |sql, w| endpoints::delete(sql, w.endpoint);
    "deliveries::endpoints::add_secret" [0] ["webhook_secrets_endpoint_idx"]
        |sql, w| async move { endpoints::add_secret(sql, &w.keys, w.endpoint, &secret(w), w.now).await };
    "deliveries::endpoints::secrets" [0] ["webhook_secrets_endpoint_idx"] |sql, w| async move {
        endpoints::secrets(sql, &w.keys, uuid::Uuid::nil(), w.now).await
    };
    "deliveries::fan_out::fan_out" [0] ["webhook_deliveries_order_idx"]
        |sql, w| async move { fan_out(sql, &message(w)).await };
    "deliveries::fan_out::insert_for" [0] [] |sql, w| async move { insert_for(sql, &message(w), w.endpoint).await };
    "deliveries::list::list_page" [0] ["webhook_deliveries_", "pending_jobs_one_per_webhook_delivery_idx"]
        |sql, w| async move { list::list_page(sql, w.endpoint, &DeliveryFilter::default(), None, 20).await };
    "deliveries::list::list_page of a status" [0] ["webhook_deliveries_status_idx"] |sql, w| async move {
        let filter = DeliveryFilter { status: Some(DeliveryStatus::Dead), ..DeliveryFilter::default() };
        list::list_page(sql, w.endpoint, &filter, Some(w.delivery), 20).await
    };
    "deliveries::list::find" [0] ["webhook_deliveries_pkey", "webhook_messages_pkey"] |sql, w| list::find(sql, w.delivery);
    "deliveries::list::attempts_page" [0] ["webhook_attempts_"] |sql, w| async move {
        list::attempts_page(sql, &w.keys, w.endpoint, &AttemptFilter::default(), None, 20).await
    };
    "deliveries::list::attempts_page of a delivery" [0] ["webhook_attempts_"] |sql, w| async move {
        let filter = AttemptFilter { delivery_id: Some(w.delivery), ..AttemptFilter::default() };
        list::attempts_page(sql, &w.keys, w.endpoint, &filter, None, 20).await
    };
    "deliveries::repeat::repeat" [0] ["webhook_deliveries_pkey"] |sql, w| repeat::repeat(sql, vec![w.delivery]);
    "deliveries::repeat::resend" [0] ["webhook_deliveries_pkey", "pending_jobs_one_per_webhook_delivery_idx"]
        |sql, w| repeat::resend(sql, w.delivery, w.now);
    "ingest::insert::insert" [0] [] |sql, w| async move { ingest::insert(sql, w.now, &[&ingested(w)]).await };
    "ingest::insert::matching" [0] ["ingested_events"] |sql, w| async move { ingest::matching(sql, &[&ingested(w)]).await };
    "ingest::list::list_page" [0] ["ingested_events"]
        |sql, w| async move { ingest::list_page(sql, &of_user(w, None), None, 20).await };
    "ingest::list::list_page of a type" [0] ["ingested_events"] |sql, w| async move {
        ingest::list_page(sql, &of_user(w, Some("t")), Some(&(w.now, "x".to_owned())), 20).await
    };
    "ingest::dead_letters::insert" [0] []
        |sql, w| ingest::dead_letters::insert(sql, vec![refused(w)]);
    "ingest::dead_letters::trim" [0] ["ingest_dead_letters_pkey"] |sql, _w| ingest::dead_letters::trim(sql, 100);
    "ingest::dead_letters::delete_before" [0] ["ingest_dead_letters_expiry_idx"]
        |sql, w| ingest::dead_letters::delete_before(sql, w.now - TimeDelta::days(170), 10);
    "ingest::dead_letters::list_page" [0] ["ingest_dead_letters_pkey"] |sql, w| async move {
        ingest::dead_letters::list_page(sql, &IngestDeadLetterFilter::default(), Some(w.endpoint), 20).await
    };
    "ingest::dead_letters::list_page of a code" [0] ["ingest_dead_letters_"] |sql, _w| async move {
        let filter = IngestDeadLetterFilter { code: Some("code_1".to_owned()), ..IngestDeadLetterFilter::default() };
        ingest::dead_letters::list_page(sql, &filter, None, 20).await
    };
    "ingest::dead_letters::get" [0] ["ingest_dead_letters_pkey"] |sql, w| async move {
        let id = w.application.as_uuid();
        ingest::dead_letters::get(sql, id).await
    };
    "ingest::dead_letters::delete" [0] ["ingest_dead_letters_pkey"] |sql, w| ingest::dead_letters::delete(sql, w.endpoint);
    "deliveries::repeat::recoverable" [0] ["webhook_deliveries_"] |sql, w| async move {
        let since = w.now - TimeDelta::days(400);
        repeat::recoverable(sql, &RecoverFilter { endpoint_id: w.endpoint, since, until: Some(w.now), limit: 100 }).await
    };
    "webhooks::list::list_page" [0] ["webhook_events_pkey"]
        |sql, w| async move { webhooks::list_page(sql, &WebhookFilter::default(), Some(w.webhook), 20).await };
    "webhooks::list::list_page of an application" [0] ["webhook_events_application_idx"] |sql, w| async move {
        webhooks::list_page(sql, &WebhookFilter { application_id: Some(w.application), ..WebhookFilter::default() }, None, 20).await
    };
    "webhooks::list::list_page of a status" [0] ["webhook_events_status_idx", "pending_jobs_one_per_webhook_event_idx"] |sql, _w| async move {
        webhooks::list_page(sql, &WebhookFilter { status: Some(WebhookStatus::Failed), ..WebhookFilter::default() }, None, 20).await
    };
    "webhooks::store" [0] [] |sql, w| async move { webhooks::store(sql, &w.keys, &event(w)).await };
    "webhooks::settle" [0] ["webhook_events_pkey"] |sql, w| webhooks::settle(sql, w.webhook, true, w.now);
    "webhooks::fail" [0] ["webhook_events_pkey"]
        |sql, w| async move { webhooks::fail(sql, w.webhook, &Error::NotFound("test")).await };
    "webhooks::retry::queue_retry" [0] []
        |sql, w| webhooks::queue_retry(sql, w.webhook, Duration::from_secs(1), None, None);
    "webhooks::retry::supersede_retry" [0] ["pending_jobs_one_per_webhook_event_idx"]
        |sql, w| webhooks::supersede_retry(sql, w.webhook);
    "webhooks::retry::take_failed" [0] ["webhook_events_pkey"] |sql, w| webhooks::take_failed(sql, &w.keys, w.webhook);
    "webhooks::delete_received_before" [0] ["webhook_events_received_idx"]
        |sql, w| webhooks::delete_received_before(sql, w.now - TimeDelta::days(170), 10);
    "webhooks::verdict::find_country" [1] ["applications_pkey"] |sql, w| webhooks::find_country(sql, w.application);
    "webhooks::verdict::find_applicant" [1] ["applications_pkey"] |sql, w| webhooks::find_applicant(sql, &w.keys, w.application);
    "webhooks::verdict::lock_addressee" [1] ["applications_pkey"] |sql, w| webhooks::lock_addressee(sql, &w.keys, w.application);
    "webhooks::verdict::has_newer" [0] ["webhook_events_"] |sql, w| webhooks::has_newer(sql, w.webhook);
    "webhooks::verdict::record" [1] ["applications_pkey"] |sql, w| async move { webhooks::record(sql, &verdict(w)).await };

    "reviews::list_page" [2] ["reviews_waiting_idx", "applications_pkey", "decisions_pkey"]
        |sql, w| reviews::list_page(sql, &w.keys, ReviewFilter::default(), Some((w.now - TimeDelta::days(70), w.review)), 21);
    "reviews::list_page of a country" [2] ["reviews_country_waiting_idx"] |sql, w| reviews::list_page(
        sql, &w.keys, ReviewFilter { country: Some(Country::Es), assignment: Some(AssignmentFilter::Unassigned) }, None, 21);
    "reviews::list_page of assignments" [ALL] ["reviews_assigned_idx"] |sql, w| async move {
        for assignment in [AssignmentFilter::To(w.user), AssignmentFilter::ToOthersThan(w.user)] {
            let filter = ReviewFilter { country: None, assignment: Some(assignment) };
            reviews::list_page(sql, &w.keys, filter, None, 21).await?;
        }
        Ok::<_, Error>(())
    };
    "reviews::find" [1] ["reviews_pkey", "applications_pkey", "decisions_pkey"] |sql, w| reviews::find(sql, &w.keys, w.review);
    "reviews::find_assignment" [0] ["reviews_pkey"] |sql, w| reviews::find_assignment(sql, w.review);
    "reviews::lock_next" [0] ["reviews_waiting_idx", "reviews_country_waiting_idx"] |sql, _w| async move {
        reviews::lock_next(sql, None).await?;
        reviews::lock_next(sql, Some(Country::Es)).await
    };
    "reviews::assign" [0] ["reviews_pkey"] |sql, w| async move {
        let request_id = &RequestId::parse("plans").unwrap();
        reviews::assign(sql, &NewAssignment { application_id: w.review, assigned_to: w.user, minutes: 15, request_id }).await
    };
    "reviews::release" [0] ["reviews_pkey"]
        |sql, w| async move { reviews::release(sql, w.review, &RequestId::parse("plans").unwrap()).await };
    "applications::review_lock::lock_review" [0] ["reviews_pkey"] |sql, w| applications::lock_review(sql, w.review, w.user);
    "reviews::assigned_to_others_than" [0] ["reviews_assigned_idx"]
        |sql, w| reviews::assigned_to_others_than(sql, w.user);

    "ws_tickets::insert" [0] ["users_pkey"] |sql, w| async move { ws_tickets::insert(sql, &ticket(w)).await };
    "ws_tickets::take" [0] ["ws_tickets_pkey"] |sql, _w| ws_tickets::take(sql, &[7; 32]);
    "ws_tickets::delete_expired" [0] ["ws_tickets_expiry_idx"] |sql, w| ws_tickets::delete_expired(sql, w.now);
};

async fn change(
    sql: &mut AsyncPgConnection,
    w: &World,
    change: Change,
) -> Result<(), aval::storage::transaction::Abort> {
    let (by, attribution) = (&Visibility::All, w.attribution());
    let id = w.application;
    applications::change(sql, &w.keys, id, by, Initiator::Staff, w.user, &change, &attribution, None, None)
        .await
        .map(|_| ())
}

async fn list(sql: &mut AsyncPgConnection, w: &World, filter: ListFilter) -> aval::error::Result<usize> {
    let (all, order, start) = (&Visibility::All, SortOrder::NewestFirst, PageStart::Beginning);
    applications::list_page(sql, &w.keys, &filter, all, order, start, 21).await.map(|page| page.len())
}

fn all_applications() -> &'static ListFilter {
    static EVERYTHING: std::sync::LazyLock<ListFilter> = std::sync::LazyLock::new(ListFilter::default);
    &EVERYTHING
}

fn own() -> &'static Visibility {
    static OWN: std::sync::LazyLock<Visibility> =
        std::sync::LazyLock::new(|| Visibility::OwnedBy("account 7".to_owned()));
    &OWN
}

fn bounds() -> TotalBounds {
    TotalBounds { examined: 100, uncounted: 100 }
}

fn figures_query() -> FiguresQuery<'static> {
    FiguresQuery { visibility: own(), country: None, max_uncounted: 1 }
}

fn new_application(w: &World) -> Insertion {
    application(&w.clock, Country::Es, "12345678Z").into()
}

fn claim() -> Claim {
    Claim {
        worker: "test".to_owned(),
        limit: 10,
        lease_ms: 1000,
        tasks: vec![KnownTask { name: "process_credit_application", max_attempts: 3 }],
        lanes: vec![Quota::whole("ES"), Quota::whole("MX")],
    }
}

fn new_job(w: &World) -> NewJob {
    NewJob {
        task_name: "process_credit_application".to_owned(),
        application_id: Some(w.application.as_uuid()),
        lane: "ES".to_owned(),
        args: json!({}),
        priority: Priority::Fresh,
        delay: Duration::ZERO,
        request_id: None,
        traceparent: None,
    }
}

fn new_run(w: &World) -> NewRun<'static> {
    NewRun {
        id: w.clock.new_uuid(),
        task: "task_a",
        cause: Cause::Schedule,
        due_at: w.now,
        started_at: w.now,
        instance: "test",
    }
}

fn operator() -> Operator {
    Operator {
        account: "test".to_owned(),
        reason: "test".to_owned(),
        request_id: "test".to_owned(),
        traceparent: None,
    }
}

fn forced_open(w: &World) -> SetOverride {
    SetOverride {
        country: Country::Es,
        mode: CircuitMode::ForcedOpen,
        reason: Some("test".to_owned()),
        account: "test".to_owned(),
        request_id: "test".to_owned(),
        expires_at: Some(w.now + TimeDelta::hours(1)),
    }
}

fn pause(w: &World) -> LaneChange {
    LaneChange {
        lane: "ES".to_owned(),
        paused: true,
        reason: "test".to_owned(),
        account: "test".to_owned(),
        request_id: "test".to_owned(),
        expires_at: Some(w.now + TimeDelta::hours(1)),
    }
}

fn decided(w: &World) -> DecisionRecord {
    DecisionRecord {
        id: DecisionId::new(w.clock.new_uuid()),
        application_id: w.job.application_id.unwrap(),
        lease: w.job.lease,
        case: w.case.clone(),
        decision: w.decision.clone(),
        provider_available: true,
        retry_after_ms: None,
        attribution: w.attribution(),
        traceparent: None,
    }
}

fn dead_letter(w: &World) -> DeadLetter {
    DeadLetter {
        lease: w.job.lease,
        error_type: "test".to_owned(),
        error_message: "test".to_owned(),
        backtrace: None,
    }
}

fn verdict(w: &World) -> WebhookDecision {
    WebhookDecision {
        id: DecisionId::new(w.clock.new_uuid()),
        application_id: w.application,
        from: Status::Pending,
        case: w.case.clone(),
        decision: w.decision.clone(),
        attribution: w.attribution(),
        first_change_id: w.change_id(),
        traceparent: None,
    }
}

fn event(w: &World) -> NewEvent {
    NewEvent {
        id: w.clock.new_uuid(),
        idempotency_key: "test".to_owned(),
        provider: "test",
        country: Country::Es,
        application_id: w.application,
        provider_reference: "test".to_owned(),
        outcome: ReportedOutcome::Confirmed,
        fingerprint: [7; 32],
        payload: b"{}".to_vec(),
        request_id: None,
        traceparent: None,
        occurred_at: w.now,
        received_at: w.now,
    }
}

fn keyed(w: &World) -> KeyedWrite {
    KeyedWrite {
        key_digest: [7; 32],
        fingerprint: [7; 32],
        account: "test".to_owned(),
        route: "test".to_owned(),
        at: w.now,
        expires_at: w.now + TimeDelta::days(1),
    }
}

fn reply() -> SealedReply {
    SealedReply { status: 201, envelope: vec![1] }
}

fn view(w: &World) -> StaffView {
    StaffView {
        id: w.clock.new_uuid(),
        account: "test".to_owned(),
        action: ViewAction::List.as_str().to_owned(),
        application_id: None,
        document_index: None,
        filter: json!({}),
        request_id: None,
        viewed_at: w.now,
        keep_until: w.now,
    }
}

fn circuit_change(w: &World, id: EventId) -> NewCircuitChange {
    NewCircuitChange {
        id,
        country: Country::Es,
        provider: "test".to_owned(),
        kind: "closed",
        instance: "test".to_owned(),
        cause: "forced",
        changed_at: w.now,
        event: Some(("circuit.closed.v1", json!({}))),
    }
}

fn stored_settings() -> StoredSettings {
    StoredSettings { language: None, time_zone: None, theme: "auto".to_owned() }
}

fn new_view<'a>(w: &World, filters: &'a Value) -> saved_views::NewView<'a> {
    saved_views::NewView { id: w.clock.new_uuid(), user_id: w.user, page: "reviews", name: "test", filters }
}

fn last_days(w: &World) -> RangeInclusive<NaiveDate> {
    let today = w.now.date_naive();
    today - Days::new(30)..=today
}

fn new_key(w: &World) -> api_keys::NewApiKey<'static> {
    api_keys::NewApiKey {
        id: w.clock.new_uuid(),
        name: "test",
        key_hash: &[7; 32],
        role: Role::User,
        scopes: &[Scope::ApplicationsRead],
        created_by: "test",
        made_by_user: None,
        made_by_key: None,
        expires_at: None,
        limits: KeyLimits::default(),
    }
}

fn new_user(w: &World) -> users::NewUser<'static> {
    users::NewUser {
        id: w.clock.new_uuid(),
        username: "test",
        password_hash: "$argon2id$",
        role: Role::User,
        created_by: "test",
    }
}

fn new_token(w: &World) -> refresh_tokens::NewRefreshToken<'static> {
    refresh_tokens::NewRefreshToken {
        id: w.clock.new_uuid(),
        token_hash: &[7; 32],
        family: w.clock.new_uuid(),
        user_id: w.user,
        issued_at: w.now,
        expires_at: w.now + TimeDelta::days(1),
        session_started_at: w.now,
        address: None,
        user_agent: Some("test"),
    }
}

fn ticket(w: &World) -> ws_tickets::WsTicket {
    ws_tickets::WsTicket {
        ticket_hash: vec![7; 32],
        user_id: Some(w.user),
        token_version: Some(0),
        api_key_id: None,
        session_until: None,
        expires_at: w.now + TimeDelta::days(1),
    }
}

fn requested(world: &World) -> Event {
    let beginning = Beginning {
        application_id: ApplicationId::new(world.clock.new_uuid()),
        country: Country::Es,
        amount: Money::parse("100").unwrap(),
        destination_kind: DestinationKind::Iban,
        destination: "****1332".to_owned(),
        holder_differs: false,
        owner: "test".to_owned(),
        requested_by: "test".to_owned(),
        requester_id: world.user,
        reverses: None,
    };
    let details = Details { beginning: Some(beginning), ..Details::default() };
    Event { kind: EventKind::Requested, details, actor: "test".to_owned(), at: world.now }
}

fn destination() -> Destination {
    Destination::new(DestinationKind::Iban, "ES9121000418450200051332".to_owned(), "Ana".to_owned())
}

fn approval(world: &World) -> Approval {
    Approval {
        id: world.clock.new_uuid(),
        disbursement_id: world.clock.new_uuid(),
        action: "pay".to_owned(),
        reason: "test".to_owned(),
        maker: "test".to_owned(),
        maker_id: world.user,
        requested_at: world.now,
        expires_at: world.now,
        decision: None,
        checker: None,
        checker_id: None,
        decided_at: None,
    }
}

fn entry(world: &World) -> Entry<'static> {
    Entry { id: world.clock.new_uuid(), country: Country::Es, actor: "test" }
}

fn attempt(world: &World) -> NewAttempt {
    NewAttempt {
        id: world.clock.new_uuid(),
        delivery_id: world.delivery,
        endpoint_id: world.endpoint,
        result: AttemptResult::Refused,
        status_code: Some(500),
        duration_ms: 1,
        response: b"an error".to_vec(),
        error: None,
        attempted_at: world.now,
    }
}

fn new_endpoint(world: &World) -> NewEndpoint<'static> {
    NewEndpoint {
        id: world.clock.new_uuid(),
        url: "https://example.com",
        description: "",
        event_types: ["*".to_owned()].as_slice().to_vec().leak(),
        countries: &[],
        ordered: false,
        disabled_at: None,
        disabled_reason: None,
        owner_id: None,
        created_by: "test",
        created_at: world.now,
        updated_at: world.now,
    }
}

fn secret(world: &World) -> EndpointSecret {
    EndpointSecret {
        id: world.clock.new_uuid(),
        algorithm: Algorithm::Hmac,
        secret: vec![1; 32].into(),
        public_key: None,
        created_at: world.now,
        expires_at: None,
    }
}

fn message(world: &World) -> NewMessage {
    NewMessage {
        id: world.clock.new_uuid(),
        event_type: "application.created.v1".to_owned(),
        subject: world.delivery_subject,
        country: Some("ES".to_owned()),
        body: "{}".to_owned(),
        request_id: None,
        traceparent: None,
    }
}
