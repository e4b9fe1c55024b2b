//! Applies the messages of verified webhooks: new ones, which the HTTP handler passes on, and failed ones, which the
//! jobs of [`retry`] apply again.
//!
//! One transaction stores and applies a message. The message is applied under a savepoint. If that fails, the message is
//! kept as failed, and a job retries it with increasing pauses. If the sender sends it again, it is applied immediately and
//! the job ends. A message is not stored if its sender may not report on the application, or if its reference identifies
//! the applicant or cannot be checked.
//!
//! ```text
//! BEGIN ── find the application ── check that the reference does not identify the applicant
//!       ── store the event (waits for a concurrent one with the same key)
//!       ── SAVEPOINT ── lock the application ── check the reference ── decide
//!             │         ── store decision and status, end the job ── record the result ── COMMIT
//!             └─ error ── ROLLBACK TO ── record the failure, queue the retry ─────────── COMMIT
//! ```
//!
//! The application is decided with the same rules as for a report (`countries::evaluation`). The figures in the message
//! replace the stored figures. A message that is older than one already applied, or whose application can no longer
//! change, is stored but changes nothing. Applying a message also completes the application's job, whether the job waits
//! for this message, is running or has not been claimed yet. A worker that is running the job loses its lease.

pub mod retry;

use std::sync::Arc;

use bytes::Bytes;
use diesel_async::AsyncPgConnection;
use slog::{info, o, warn};
use uuid::Uuid;

use crate::actors::write_batcher::{CommitHook, Written};
use crate::countries::Countries;
use crate::domain::application::{Attribution, Country};
use crate::domain::confirmation::Confirmation;
use crate::domain::decision::{Case, Decision};
use crate::domain::ids::{ApplicationId, ChangeId, DecisionId, RequestId};
use crate::domain::status::{Initiator, Status};
use crate::error::{Error, PublicMessage, Result};
use crate::lending::statistics::observe_risk;
use crate::providers::provider_for;
use crate::providers::simulator::test_documents::is_test_document;
use crate::resources::Resources;
use crate::storage::applications;
use crate::storage::seal::KeyRing;
use crate::storage::transaction::{self, Abort};
use crate::storage::webhooks::{self, MessageTarget, NewEvent, StoreOutcome, WebhookDecision};
use crate::telemetry::labels::label_values;

/// The provider label of messages whose application is unknown.
pub const UNKNOWN_PROVIDER: &str = "unknown";

label_values! {
    /// The result of a message: the label `result` of the metric `webhook_events_total`.
    pub enum MessageResult {
        Applied = "applied",
        /// There was nothing to change.
        Ignored = "ignored",
        Duplicate = "duplicate",
        /// The message is kept and retried.
        Failed = "failed",
        UnknownApplication = "unknown_application",
        Conflict = "conflict",
        Invalid = "invalid",
        Unauthenticated = "unauthenticated",
        /// The message could not be stored.
        Error = "error",
    }
}

/// The maximum number of attempts of the transaction. A transient error in the last one is recorded as a failure.
const MAX_TRANSACTION_ATTEMPTS: u32 = 3;

/// A message whose signature was verified.
#[derive(Clone)]
pub struct VerifiedMessage {
    /// The countries for which the secret is valid.
    pub countries: Vec<Country>,
    /// The bureau, for metrics and logs.
    pub bureau: &'static str,
    /// The identifier of the message. It is unique among the messages of the application's bureau.
    pub key: String,
    pub confirmation: Confirmation,
    /// The signed body.
    pub body: Bytes,
    /// The ID of the request that delivered the message.
    pub request_id: RequestId,
    pub traceparent: Option<String>,
}

/// The result of receiving a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// The message was stored as this event and applied. The application now has this status.
    Applied(Uuid, Status),
    /// The message was stored as this event, but there was nothing to change. The application has this status.
    Ignored(Uuid, Status),
    /// The message was already applied or ignored.
    Duplicate,
}

/// The result of the transaction.
enum ApplyOutcome {
    /// Stored, with the decision if one was applied.
    Settled(Receipt, Option<Box<(Country, Decision)>>),
    /// The message is kept, but could not be applied because of this error.
    Failed(Error),
}

/// A stored message to apply.
struct StoredMessage<'a> {
    event: Uuid,
    confirmation: &'a Confirmation,
    request_id: Option<RequestId>,
    traceparent: Option<String>,
}

/// Applies webhooks. Cheap to clone.
#[derive(Clone)]
pub struct WebhookReceiver {
    resources: Resources,
    countries: Arc<Countries>,
    on_commit: CommitHook,
}

impl WebhookReceiver {
    /// A receiver that calls `on_commit` after every change.
    pub fn new(resources: &Resources, countries: Arc<Countries>, on_commit: CommitHook) -> Self {
        Self { resources: resources.named("webhooks"), countries, on_commit }
    }

    /// The bureau of an application, if the sender may report on it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the application does not exist or the sender may not report on it; or a database error.
    /// In both cases, the message is counted in the metrics.
    pub async fn bureau_of(&self, id: ApplicationId, countries: &[Country]) -> Result<&'static str> {
        let Resources { database, logger, .. } = &self.resources;
        let work = async |connection: &mut AsyncPgConnection| find_country(connection, id, countries).await;
        let country = transaction::run(database, logger, "find_webhook_bureau", work).await;
        let country = country.inspect_err(|error| self.report(UNKNOWN_PROVIDER, id, &Err(error.clone())))?;
        Ok(provider_for(country).name())
    }

    /// Stores a message and applies it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the application does not exist or the sender may not report on it;
    /// [`Error::Validation`] if the bureau issued a different reference, or the reference identifies the applicant;
    /// [`Error::Conflict`] if a message with the same key but a different body was received before;
    /// [`Error::Unavailable`] if the message is kept but could not be applied; or a database error.
    pub async fn receive(&self, message: &VerifiedMessage) -> Result<Receipt> {
        let id = message.confirmation.application_id;
        let work = async |connection: &mut AsyncPgConnection, attempts: u32| {
            let country = find_country(connection, id, &message.countries).await?;
            self.store_and_apply(connection, message, country, attempts < MAX_TRANSACTION_ATTEMPTS).await
        };
        let Resources { database, logger, .. } = &self.resources;
        let outcome = transaction::run_counted(database, logger, "receive_webhook", work).await;
        let is_absent = matches!(outcome, Err(Error::NotFound(_)));
        self.report(if is_absent { UNKNOWN_PROVIDER } else { message.bureau }, id, &outcome);
        match outcome? {
            ApplyOutcome::Settled(receipt, _) => Ok(receipt),
            ApplyOutcome::Failed(_) => {
                Err(Error::unavailable("webhook", "the message was stored and will be retried"))
            }
        }
    }

    async fn store_and_apply(
        &self,
        connection: &mut AsyncPgConnection,
        message: &VerifiedMessage,
        country: Country,
        retry_transient: bool,
    ) -> Result<ApplyOutcome, Abort> {
        let confirmation = &message.confirmation;
        let id = confirmation.application_id;
        let (name, document) = webhooks::find_applicant(connection, self.keys(), id).await?;
        confirmation.check_reference_is_not_personal(&name, &document)?;
        let (event, is_repeated) =
            match webhooks::store(connection, self.keys(), &self.event(message, country)).await? {
                StoreOutcome::New(id) => (id, false),
                StoreOutcome::Again(id) => (id, true),
                StoreOutcome::Duplicate => return Ok(ApplyOutcome::Settled(Receipt::Duplicate, None)),
                StoreOutcome::Different => {
                    let text = "A different message with this identifier was received before.";
                    return Err(Error::Conflict(PublicMessage::new(text)).into());
                }
            };
        let stored = StoredMessage {
            event,
            confirmation,
            request_id: Some(message.request_id.clone()),
            traceparent: message.traceparent.clone(),
        };
        let outcome = self.apply(connection, &stored, retry_transient).await?;
        match &outcome {
            ApplyOutcome::Settled(..) if is_repeated => webhooks::supersede_retry(connection, event).await?,
            ApplyOutcome::Settled(..) => {}
            ApplyOutcome::Failed(_) => {
                let pause = self.resources.settings.webhooks.retry_pause(1);
                let request_id = Some(message.request_id.to_string());
                webhooks::queue_retry(connection, event, pause, request_id, stored.traceparent).await?;
            }
        }
        Ok(outcome)
    }

    fn event(&self, message: &VerifiedMessage, country: Country) -> NewEvent {
        let provider = provider_for(country).name();
        // The hash is keyed: senders choose their identifiers and may derive them from documents or names.
        let hash = self.keys().keyed_hash("webhook-key", &[provider.as_bytes(), message.key.as_bytes()]);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        NewEvent {
            id: self.resources.clock.new_uuid(),
            idempotency_key: format!("{provider}/{hash}"),
            provider,
            country,
            application_id: message.confirmation.application_id,
            provider_reference: message.confirmation.provider_reference.clone(),
            outcome: message.confirmation.outcome,
            // The hash is keyed: the figures of a body have so few possible values that they could be guessed.
            fingerprint: self.keys().keyed_hash("webhook-body", &[&message.body]),
            payload: message.body.to_vec(),
            request_id: Some(message.request_id.to_string()),
            traceparent: message.traceparent.clone(),
            occurred_at: message.confirmation.occurred_at,
            received_at: self.resources.clock.now(),
        }
    }

    fn keys(&self) -> &KeyRing {
        self.resources.database.keys()
    }

    /// Applies a stored message under a savepoint and records the result. With `retry_transient`, transient errors are
    /// returned, so the caller retries the whole transaction. Validation errors are always returned, so a new message is
    /// not stored.
    async fn apply(
        &self,
        connection: &mut AsyncPgConnection,
        message: &StoredMessage<'_>,
        retry_transient: bool,
    ) -> Result<ApplyOutcome, Abort> {
        let applied =
            transaction::once(connection, async |connection| self.decide(connection, message).await);
        match applied.await {
            Ok((status, decided)) => {
                let (now, changed) = (self.resources.clock.now(), decided.is_some());
                webhooks::settle(connection, message.event, changed, now).await?;
                let receipt = if changed { Receipt::Applied } else { Receipt::Ignored };
                Ok(ApplyOutcome::Settled(receipt(message.event, status), decided))
            }
            Err(error @ Error::Validation(_)) => Err(error.into()),
            Err(error) if retry_transient && error.retryable() => Err(error.into()),
            Err(error) => {
                webhooks::fail(connection, message.event, &error).await?;
                Ok(ApplyOutcome::Failed(error))
            }
        }
    }

    /// Decides the application on the basis of the message. Returns the resulting status, and the decision if the
    /// message changed anything.
    async fn decide(
        &self,
        connection: &mut AsyncPgConnection,
        message: &StoredMessage<'_>,
    ) -> Result<(Status, Option<Box<(Country, Decision)>>), Abort> {
        let confirmation = message.confirmation;
        let application =
            webhooks::lock_addressee(connection, self.keys(), confirmation.application_id).await?;
        check_reference(confirmation, &application)?;
        let open = application.status.next_for(Initiator::Webhook).next().is_some() && !application.deleted;
        if !open || webhooks::has_newer(connection, message.event).await? {
            return Ok((application.status, None));
        }
        let window = self.resources.settings.applications.duplicate_window();
        let elsewhere = applications::another_account_applied(connection, application.id, window).await?;
        let country = application.country;
        let verdict = self.verdict(message, application, elsewhere);
        webhooks::record(connection, &verdict).await?;
        Ok((verdict.decision.status.into(), Some(Box::new((country, verdict.decision)))))
    }

    fn verdict(
        &self,
        message: &StoredMessage<'_>,
        application: MessageTarget,
        applied_elsewhere: bool,
    ) -> WebhookDecision {
        let (clock, confirmation) = (&self.resources.clock, message.confirmation);
        let is_shared = self.resources.settings.applications.shared_test_documents
            && is_test_document(application.country, application.identity_document.reveal());
        let name = provider_for(application.country).name();
        let issued = application.issued_reference.as_deref();
        let case = Case {
            requested_amount: application.requested_amount,
            monthly_income: application.monthly_income,
            term_months: application.term_months,
            banking_data: confirmation.merged_into(application.banking_data, name, issued),
            applied_elsewhere: applied_elsewhere && !is_shared,
        };
        let decision = self.countries.rules(application.country).evaluate(&case);
        let shown_reason =
            confirmation.showable_reason(&application.full_name, &application.identity_document);
        let reasons = [&decision.reasons.join(", "), shown_reason.unwrap_or_default()];
        let reasons: Vec<&str> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
        WebhookDecision {
            id: DecisionId::new(clock.new_uuid()),
            application_id: application.id,
            from: application.status,
            case,
            decision,
            attribution: Attribution {
                change_id: ChangeId::new(clock.new_uuid()),
                changed_by: format!("webhook:{name}"),
                reason: Some(reasons.join(": ")).filter(|reason| !reason.is_empty()),
                request_id: message.request_id.clone(),
            },
            first_change_id: ChangeId::new(clock.new_uuid()),
            traceparent: message.traceparent.clone(),
        }
    }

    /// Reports the result of a message to metrics, log and relay.
    fn report(&self, provider: &str, application: ApplicationId, outcome: &Result<ApplyOutcome>) {
        let log = self.resources.logger.new(o!(
            "provider" => provider.to_owned(),
            "application_id" => application.to_string(),
        ));
        let result = match outcome {
            Ok(ApplyOutcome::Settled(Receipt::Applied(event, status), decided)) => {
                info!(log, "webhook applied"; "event" => %event, "status" => status.as_str());
                (self.on_commit)(Written { jobs: false, events: true });
                if let Some((country, decision)) = decided.as_deref() {
                    observe_risk(&self.resources.metrics, *country, decision);
                }
                MessageResult::Applied
            }
            Ok(ApplyOutcome::Settled(Receipt::Ignored(event, status), _)) => {
                info!(log, "webhook ignored: nothing to change"; "event" => %event, "status" => status.as_str());
                MessageResult::Ignored
            }
            Ok(ApplyOutcome::Settled(Receipt::Duplicate, _)) => MessageResult::Duplicate,
            Ok(ApplyOutcome::Failed(error)) => {
                warn!(log, "webhook could not be applied: the message is kept"; error.clone());
                MessageResult::Failed
            }
            Err(Error::NotFound(_)) => MessageResult::UnknownApplication,
            Err(Error::Conflict(_)) => MessageResult::Conflict,
            Err(Error::Validation(_)) => MessageResult::Invalid,
            Err(error) => {
                warn!(log, "webhook could not be stored"; error.clone());
                MessageResult::Error
            }
        };
        self.count(provider, result);
    }

    /// Counts a message, including messages that were rejected before they were stored. `provider` is the bureau's name.
    pub fn count(&self, provider: &str, result: MessageResult) {
        let labels = [provider_label(provider), result.as_str()];
        self.resources.metrics.webhook_events_total.with_label_values(&labels).inc();
    }
}

/// The label of the bureau with this name.
fn provider_label(name: &str) -> &'static str {
    let bureaus = Country::ALL.into_iter().map(provider_for);
    let named = bureaus.into_iter().find(|bureau| bureau.name() == name);
    named.map_or(UNKNOWN_PROVIDER, |bureau| bureau.label())
}

/// The country of an application that the sender may report on.
async fn find_country(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    countries: &[Country],
) -> Result<Country, Abort> {
    let country = webhooks::find_country(connection, id).await?;
    let country = country.filter(|country| countries.contains(country));
    Ok(country.ok_or(Error::NotFound("application"))?)
}

/// Checks that a message contains the reference that the bureau issued, if it issued one.
fn check_reference(confirmation: &Confirmation, application: &MessageTarget) -> Result<()> {
    let issued = application.issued_reference.as_ref();
    if issued.is_some_and(|issued| *issued != confirmation.provider_reference) {
        let detail = "is not the reference that the bureau issued for this application";
        return Err(Error::field("/provider_reference", "wrong_reference", detail));
    }
    Ok(())
}
