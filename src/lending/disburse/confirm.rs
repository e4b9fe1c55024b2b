//! Applies what a rail reports about a payment by webhook.
//!
//! The message and its effect commit together: the event carries a keyed hash of the message, which is unique, so a message
//! has an effect at most once. A message that the state does not permit is refused and has no effect; the rail sends it
//! again, or is asked.

use diesel_async::AsyncPgConnection;
use uuid::Uuid;

use super::step::reported;
use super::{TransitionOrigin, advance, report};
use crate::actors::write_batcher::Written;
use crate::domain::application::Country;
use crate::domain::disbursement::history::{Details, Disbursement, Event};
use crate::domain::disbursement::rail::PaymentStatus;
use crate::domain::disbursement::workflow::State;
use crate::domain::ids::RequestId;
use crate::error::{Error, PublicMessage, Result};
use crate::lending::Lending;
use crate::storage::disbursements::{self, Source};
use crate::storage::transaction::{self, Abort};

/// A report whose signature was verified.
#[derive(Debug, Clone)]
pub struct PaymentReport {
    /// The countries for which the secret is valid.
    pub countries: Vec<Country>,
    /// Identifies the message among those of its sender.
    pub message_id: String,
    pub payment_key: Uuid,
    pub status: PaymentStatus,
    pub reason: Option<String>,
    pub reference: Option<String>,
    pub request_id: RequestId,
    pub traceparent: Option<String>,
}

/// The result of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportReceipt {
    Applied(Uuid, State),
    /// There was nothing to change.
    Ignored(Uuid, State),
    /// The message was applied before.
    Duplicate,
}

impl Lending {
    /// Applies a report.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such payment in a country of the sender; [`Error::Conflict`] if the state of the
    /// disbursement does not permit the report.
    pub async fn report_payment(&self, message: &PaymentReport) -> Result<ReportReceipt> {
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        let work = async |connection: &mut AsyncPgConnection| self.report_in(connection, message).await;
        let (receipt, changed) = transaction::run(database, logger, "report_payment", work).await?;
        if let Some((before, after)) = changed {
            report(&self.resources, before, &after);
            (self.on_commit)(Written { jobs: true, events: true });
        }
        Ok(receipt)
    }

    async fn report_in(
        &self,
        connection: &mut AsyncPgConnection,
        message: &PaymentReport,
    ) -> Result<(ReportReceipt, Option<(State, Disbursement)>), Abort> {
        let id = disbursements::find_by_payment_key(connection, message.payment_key).await?;
        let locked = match id {
            Some(id) => disbursements::lock(connection, id).await?,
            None => None,
        };
        let permitted = locked.filter(|found| message.countries.contains(&found.beginning.country));
        let current = permitted.ok_or(Error::NotFound("payment"))?;
        let hash = self.message_key(&current, message);
        if disbursements::find_message(connection, &hash).await?.is_some() {
            return Ok((ReportReceipt::Duplicate, None));
        }
        let state = current.stuck_in.unwrap_or(current.state);
        let Some(kind) = reported(state, message.status).filter(|_| !says_nothing_new(state, message.status))
        else {
            return Ok((ReportReceipt::Ignored(current.id, current.state), None));
        };
        let event = Event {
            kind,
            details: Details {
                reason: message.reason.clone(),
                rail_reference: message.reference.clone(),
                ..Details::default()
            },
            actor: format!("rail:{}", current.rail().as_str()),
            at: self.resources.clock.now(),
        };
        if current.after(&event).is_err() {
            let text = "the state of the disbursement does not permit this report";
            return Err(Error::Conflict(PublicMessage::new(text)).into());
        }
        let source = Source { request_id: Some(message.request_id.to_string()), message_key: Some(hash) };
        let origin = TransitionOrigin { source, traceparent: message.traceparent.clone() };
        disbursements::supersede_step(connection, current.id).await?;
        let next = advance(&self.resources, connection, &current, &event, &origin).await?;
        let receipt = ReportReceipt::Applied(next.id, next.state);
        Ok((receipt, Some((current.state, next))))
    }

    /// The hash is keyed: senders choose their identifiers.
    fn message_key(&self, current: &Disbursement, message: &PaymentReport) -> String {
        let parts = [current.rail().as_str().as_bytes(), message.message_id.as_bytes()];
        let hash = self.resources.database.keys().keyed_hash("payment-report", &parts);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whether the disbursement already reflects the status.
fn says_nothing_new(state: State, status: PaymentStatus) -> bool {
    match status {
        PaymentStatus::Settled => matches!(state, State::Confirmed | State::Booked | State::Completed),
        PaymentStatus::Rejected => matches!(state, State::Compensating | State::Cancelled | State::Returned),
        PaymentStatus::Returned => state == State::Returned,
        PaymentStatus::NotFound => true,
        PaymentStatus::Accepted | PaymentStatus::Unknown => false,
    }
}
