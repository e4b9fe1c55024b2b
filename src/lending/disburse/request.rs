//! Requests the disbursement of an application.

use diesel_async::AsyncPgConnection;

use super::{TransitionOrigin, queue_next, report};
use crate::actors::write_batcher::Written;
use crate::domain::disbursement::destination::{Destination, is_same_holder};
use crate::domain::disbursement::history::{Beginning, Details, Disbursement, Event};
use crate::domain::disbursement::rail::{DestinationKind, Rail};
use crate::domain::disbursement::workflow::EventKind;
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::error::{Error, PublicMessage, Result};
use crate::lending::{Caller, Lending};
use crate::rails::destinations;
use crate::storage::applications;
use crate::storage::disbursements::{self, Source};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::Abort;

/// A destination as a client sent it.
pub struct RequestedDestination {
    pub kind: DestinationKind,
    pub value: String,
    pub holder_name: String,
}

impl RequestedDestination {
    /// Validates and normalizes the value.
    ///
    /// # Errors
    /// [`Error::Validation`] with the reason code.
    pub fn validate(self) -> Result<Destination> {
        let refused = |why: destinations::BadDestination| {
            Error::field("/destination/value", why.as_str(), why.detail())
        };
        let value = destinations::parse(self.kind, &self.value).map_err(refused)?;
        Ok(Destination::new(self.kind, value, self.holder_name))
    }
}

impl Lending {
    /// Begins the disbursement of an approved application, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Validation`] if the rail of the country does not pay to such a destination;
    /// [`Error::Conflict`] if the application is not approved or has a disbursement, or if its rail is not configured; the
    /// errors of
    /// [`idempotency::once`].
    pub async fn disburse(
        &self,
        caller: &Caller,
        id: ApplicationId,
        destination: &Destination,
        keyed: Option<&Keyed<'_, Disbursement>>,
    ) -> Result<Once<Disbursement>> {
        let work = async |connection: &mut AsyncPgConnection| {
            self.disburse_in(connection, caller, id, destination).await
        };
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        let made = idempotency::once(database, logger, "request_disbursement", keyed, work).await?;
        if let Once::Made(begun) = &made {
            report(&self.resources, begun.state, begun);
            (self.on_commit)(Written { jobs: true, events: true });
        }
        Ok(made)
    }

    async fn disburse_in(
        &self,
        connection: &mut AsyncPgConnection,
        caller: &Caller,
        id: ApplicationId,
        destination: &Destination,
    ) -> Result<Disbursement, Abort> {
        let keys = self.resources.database.keys();
        let application = applications::get(connection, keys, id, &caller.may_change).await?;
        let rail = Rail::of(application.country);
        if !self.resources.settings.disbursements.is_available(rail, self.resources.settings.environment) {
            let text = "disbursements are not configured for the country of this application";
            return Err(Error::Conflict(PublicMessage::new(text.to_owned())).into());
        }
        if rail.destination() != destination.kind {
            let kind = rail.destination().as_str();
            let detail = format!("must be {kind} for an application of this country");
            return Err(Error::field("/destination/kind", "unsupported_kind", detail).into());
        }
        // The lock orders concurrent requests and decisions about the application.
        let status = disbursements::lock_application(connection, id).await?;
        check_payable(status, disbursements::has_live(connection, id).await?)?;
        let beginning = Beginning {
            application_id: id,
            country: application.country,
            amount: application.requested_amount,
            destination_kind: destination.kind,
            destination: destination.masked(),
            holder_differs: !is_same_holder(destination.reveal_holder(), application.full_name.reveal()),
            owner: application.created_by,
            requested_by: caller.account.clone(),
            requester_id: caller.account_id,
            reverses: None,
        };
        let event = Event {
            kind: EventKind::Requested,
            details: Details { beginning: Some(beginning), ..Details::default() },
            actor: caller.account.clone(),
            at: self.resources.clock.now(),
        };
        let origin = origin(caller);
        let disbursement = self.resources.clock.new_uuid();
        let begun = disbursements::begin(connection, disbursement, &event, &origin.source).await?;
        disbursements::store_destination(connection, keys, begun.id, destination).await?;
        queue_next(&self.resources, connection, &begun, &origin).await?;
        Ok(begun)
    }
}

/// The origin of a change that a caller requests.
pub(super) fn origin(caller: &Caller) -> TransitionOrigin {
    let source = Source { request_id: Some(caller.request_id.to_string()), message_key: None };
    TransitionOrigin { source, traceparent: caller.traceparent.clone() }
}

fn check_payable(status: Option<Status>, has_live: bool) -> Result<()> {
    let refuse = |text: String| Err(Error::Conflict(PublicMessage::new(text)));
    match status {
        None => Err(Error::NotFound("application")),
        Some(_) if has_live => refuse("the application has a disbursement already".to_owned()),
        Some(Status::Approved) => Ok(()),
        Some(other) => {
            refuse(format!("only an APPROVED application can be paid out, not one that is {other}"))
        }
    }
}
