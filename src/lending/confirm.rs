//! What is done with a verified webhook: by the handler that received it, and by the job that retries it
//! ([`retry`]).
//!
//! One transaction stores the message and applies it. Applying runs behind a savepoint. If it fails, the message is kept as
//! failed, together with the job that retries it with growing pauses. When its sender sends it again it is applied at once, and
//! the job ends. A message that may not speak for its application is not kept at all, nor one whose reference names the
//! applicant, or cannot be checked for that.
//!
//! ```text
//! BEGIN ── whose application? ── names the reference anybody? ── store the event (waits for an equal one)
//!        ── SAVEPOINT ── lock the application ── its reference? ── decide ── store decision, status, end of the job ── settle ── COMMIT
//!                └──── failed ── ROLLBACK TO ── note the failure, queue the retry ────────────────────────── COMMIT
//! ```
//!
//! What becomes of the application follows from the stored figures with the message's own in their place; the rules
//! decide as for a report (`countries::evaluation`). A message that is older than one already applied, or whose application
//! nobody may change any more, is kept and changes nothing. A job that waits for this answer, runs, or was not even
//! claimed yet is completed by it; whoever works on it finds its lease gone.

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
use crate::domain::decision::Case;
use crate::domain::ids::{ApplicationId, ChangeId, DecisionId, RequestId};
use crate::domain::status::{Initiator, Status};
use crate::error::{Error, PublicMessage, Result};
use crate::providers::provider_for;
use crate::providers::simulator::test_documents::is_test_document;
use crate::resources::Resources;
use crate::storage::applications;
use crate::storage::seal::KeyRing;
use crate::storage::transaction::{self, Abort};
use crate::storage::webhooks::{self, Addressee, Entered, NewEvent, WebhookDecision};

/// The provider's label while nobody knows whom a message is about.
pub const UNKNOWN_PROVIDER: &str = "unknown";

/// Tries of a transaction that fails for a passing reason, before the failure is noted.
const PATIENT_TRIES: u32 = 3;

/// A message whose signature was verified.
#[derive(Clone)]
pub struct VerifiedMessage {
    /// The countries that the verifying secret speaks for.
    pub countries: Vec<Country>,
    /// The bureau that it comes from, for metrics and logs.
    pub bureau: &'static str,
    /// Which of the messages of its application's bureau it is.
    pub key: String,
    /// What it says.
    pub confirmation: Confirmation,
    /// The body as it was signed.
    pub body: Bytes,
    /// The request that brought it.
    pub request_id: RequestId,
    /// Its W3C trace context.
    pub traceparent: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It was applied: its application has this status now.
    Applied(Uuid, Status),
    /// There was nothing left to change: its application has this status.
    Ignored(Uuid, Status),
    /// It was settled before.
    Duplicate,
}

/// What a transaction came to.
enum Outcome {
    /// As the receipt says.
    Settled(Receipt),
    /// The message is kept, and this is why it could not be applied.
    Failed(Error),
}

/// One try to apply a stored message.
struct Attempt<'a> {
    event: Uuid,
    confirmation: &'a Confirmation,
    request_id: Option<RequestId>,
    traceparent: Option<String>,
}

/// Who applies webhooks. Cheap to clone.
#[derive(Clone)]
pub struct WebhookReceiver {
    resources: Resources,
    countries: Arc<Countries>,
    on_commit: CommitHook,
}

impl WebhookReceiver {
    /// A receiver that calls `on_commit` of every change.
    pub fn new(resources: &Resources, countries: Arc<Countries>, on_commit: CommitHook) -> Self {
        Self { resources: resources.named("webhooks"), countries, on_commit }
    }

    /// The bureau of an application, when the sender may speak for it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the application does not exist or is not the sender's to speak of, which counts as a
    /// message; or the database's error.
    pub async fn bureau_of(&self, id: ApplicationId, countries: &[Country]) -> Result<&'static str> {
        let Resources { database, logger, .. } = &self.resources;
        let work = async |connection: &mut AsyncPgConnection| find_country(connection, id, countries).await;
        let country = transaction::run(database, logger, "find_webhook_bureau", work).await;
        let country = country.inspect_err(|error| self.tell(UNKNOWN_PROVIDER, id, &Err(error.clone())))?;
        Ok(provider_for(country).name())
    }

    /// Stores a message and applies it.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the application does not exist or is not the sender's to speak of;
    /// [`Error::Validation`] when its bureau gave another reference, or the reference names the applicant;
    /// [`Error::Conflict`] when the key has another body;
    /// [`Error::Unavailable`] when the message is kept but could not be applied; or the database's error.
    pub async fn receive(&self, message: &VerifiedMessage) -> Result<Receipt> {
        let id = message.confirmation.application_id;
        let work = async |connection: &mut AsyncPgConnection, tries: u32| {
            let country = find_country(connection, id, &message.countries).await?;
            self.store_and_apply(connection, message, country, tries < PATIENT_TRIES).await
        };
        let Resources { database, logger, .. } = &self.resources;
        let outcome = transaction::run_counted(database, logger, "receive_webhook", work).await;
        let is_absent = matches!(outcome, Err(Error::NotFound(_)));
        self.tell(if is_absent { UNKNOWN_PROVIDER } else { message.bureau }, id, &outcome);
        match outcome? {
            Outcome::Settled(receipt) => Ok(receipt),
            Outcome::Failed(_) => Err(Error::unavailable("webhook", "kept, and tried again")),
        }
    }

    async fn store_and_apply(
        &self,
        connection: &mut AsyncPgConnection,
        message: &VerifiedMessage,
        country: Country,
        patient: bool,
    ) -> Result<Outcome, Abort> {
        let confirmation = &message.confirmation;
        let id = confirmation.application_id;
        let (name, document) = webhooks::find_applicant(connection, self.keys(), id).await?;
        confirmation.check_reference_is_impersonal(&name, &document)?;
        let (event, is_repeated) =
            match webhooks::enter(connection, self.keys(), &self.event(message, country)).await? {
                Entered::New(id) => (id, false),
                Entered::Again(id) => (id, true),
                Entered::Duplicate => return Ok(Outcome::Settled(Receipt::Duplicate)),
                Entered::Different => {
                    let text = "Another message came with this identifier before.";
                    return Err(Error::Conflict(PublicMessage::new(text)).into());
                }
            };
        let attempt = Attempt {
            event,
            confirmation,
            request_id: Some(message.request_id.clone()),
            traceparent: message.traceparent.clone(),
        };
        let outcome = self.apply(connection, &attempt, patient).await?;
        match &outcome {
            Outcome::Settled(_) if is_repeated => webhooks::supersede_retry(connection, event).await?,
            Outcome::Settled(_) => {}
            Outcome::Failed(_) => {
                let pause = self.resources.settings.webhooks.retry_pause(1);
                let request_id = Some(message.request_id.to_string());
                webhooks::queue_retry(connection, event, pause, request_id, attempt.traceparent).await?;
            }
        }
        Ok(outcome)
    }

    fn event(&self, message: &VerifiedMessage, country: Country) -> NewEvent {
        let provider = provider_for(country).name();
        // Keyed, because senders choose their identifiers, and may make them of documents and names.
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
            // Keyed, because a body holds few enough figures to try them all.
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

    /// Applies a stored message behind a savepoint and notes what came of it. A `patient` try leaves a passing failure to
    /// the next try of the whole transaction; the sender's own mistakes undo it for good.
    async fn apply(
        &self,
        connection: &mut AsyncPgConnection,
        attempt: &Attempt<'_>,
        patient: bool,
    ) -> Result<Outcome, Abort> {
        let applied =
            transaction::once(connection, async |connection| self.decide(connection, attempt).await);
        match applied.await {
            Ok((status, changed)) => {
                let now = self.resources.clock.now();
                webhooks::settle(connection, attempt.event, changed, now).await?;
                let receipt = if changed { Receipt::Applied } else { Receipt::Ignored };
                Ok(Outcome::Settled(receipt(attempt.event, status)))
            }
            Err(error @ Error::Validation(_)) => Err(error.into()),
            Err(error) if patient && error.retryable() => Err(error.into()),
            Err(error) => {
                webhooks::fail(connection, attempt.event, &error).await?;
                Ok(Outcome::Failed(error))
            }
        }
    }

    /// Decides as the message says; the status afterwards, and whether the message changed anything.
    async fn decide(
        &self,
        connection: &mut AsyncPgConnection,
        attempt: &Attempt<'_>,
    ) -> Result<(Status, bool), Abort> {
        let confirmation = attempt.confirmation;
        let application =
            webhooks::lock_addressee(connection, self.keys(), confirmation.application_id).await?;
        check_reference(confirmation, &application)?;
        let open = application.status.next_for(Initiator::Webhook).next().is_some() && !application.deleted;
        if !open || webhooks::has_newer(connection, attempt.event).await? {
            return Ok((application.status, false));
        }
        let window = self.resources.settings.applications.duplicate_window();
        let elsewhere = applications::was_applied_elsewhere(connection, application.id, window).await?;
        let verdict = self.verdict(attempt, application, elsewhere);
        webhooks::record(connection, &verdict).await?;
        Ok((verdict.decision.status.into(), true))
    }

    fn verdict(
        &self,
        attempt: &Attempt<'_>,
        application: Addressee,
        applied_elsewhere: bool,
    ) -> WebhookDecision {
        let (clock, confirmation) = (&self.resources.clock, attempt.confirmation);
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
        let told = confirmation.showable_reason(&application.full_name, &application.identity_document);
        let reasons = [&decision.reasons.join(", "), told.unwrap_or_default()];
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
                request_id: attempt.request_id.clone(),
            },
            first_change_id: ChangeId::new(clock.new_uuid()),
            traceparent: attempt.traceparent.clone(),
        }
    }

    /// Tells metrics, log and relay what came of a message.
    fn tell(&self, provider: &str, application: ApplicationId, outcome: &Result<Outcome>) {
        let log = self.resources.logger.new(o!(
            "provider" => provider.to_owned(),
            "application_id" => application.to_string(),
        ));
        let result = match outcome {
            Ok(Outcome::Settled(Receipt::Applied(event, status))) => {
                info!(log, "webhook applied"; "event" => %event, "status" => status.as_str());
                (self.on_commit)(Written { jobs: false, events: true });
                "applied"
            }
            Ok(Outcome::Settled(Receipt::Ignored(event, status))) => {
                info!(log, "webhook changes nothing"; "event" => %event, "status" => status.as_str());
                "ignored"
            }
            Ok(Outcome::Settled(Receipt::Duplicate)) => "duplicate",
            Ok(Outcome::Failed(error)) => {
                warn!(log, "webhook could not be applied and is kept"; error.clone());
                "failed"
            }
            Err(Error::NotFound(_)) => "unknown_application",
            Err(Error::Conflict(_)) => "conflict",
            Err(Error::Validation(_)) => "invalid",
            Err(error) => {
                warn!(log, "webhook could not be stored"; error.clone());
                "error"
            }
        };
        self.count(provider, result);
    }

    /// Counts a message, also one that got no further than the door.
    pub fn count(&self, provider: &str, result: &'static str) {
        self.resources.metrics.webhook_events_total.with_label_values(&[provider, result]).inc();
    }
}

/// The country of an application, when it is one of those that the sender speaks for.
async fn find_country(
    connection: &mut AsyncPgConnection,
    id: ApplicationId,
    countries: &[Country],
) -> Result<Country, Abort> {
    let country = webhooks::find_country(connection, id).await?;
    let country = country.filter(|country| countries.contains(country));
    Ok(country.ok_or(Error::NotFound("application"))?)
}

/// A bureau that gave a reference speaks under that one alone.
fn check_reference(confirmation: &Confirmation, application: &Addressee) -> Result<()> {
    let issued = application.issued_reference.as_ref();
    if issued.is_some_and(|issued| *issued != confirmation.provider_reference) {
        let detail = "is not the reference that was given for this application";
        return Err(Error::field("/provider_reference", "wrong_reference", detail));
    }
    Ok(())
}
