//! Decisions of people about disbursements. Each needs two: one requests an action, another approves or declines it.
//!
//! The database refuses an approval by the account that requested it. A disbursement has at most one pending request, which
//! expires.

use diesel_async::AsyncPgConnection;
use uuid::Uuid;

use super::request::origin;
use super::{Approval, advance, report};
use crate::actors::write_batcher::Written;
use crate::domain::disbursement::history::{Details, Disbursement, Event};
use crate::domain::disbursement::workflow::{self, EventKind};
use crate::domain::named::named;
use crate::error::{Error, PublicMessage, Result};
use crate::lending::{Caller, Lending};
use crate::storage::disbursements::{self, approvals};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::Abort;

named! {
    /// An action that needs a second person.
    Action {
        /// Pay a large amount, or to another holder than the applicant.
        Pay = "pay",
        /// Run the step again in which a disbursement is stuck.
        Resume = "resume",
        /// Revert a disbursement whose payment was not started.
        Cancel = "cancel",
        /// Declare that the payment was made.
        ResolvePaid = "resolve_paid",
        /// Declare that the payment was not made.
        ResolveUnpaid = "resolve_unpaid",
    }
}

impl Action {
    /// The event of an approved action.
    const fn event(self) -> EventKind {
        match self {
            Self::Pay => EventKind::Approved,
            Self::Resume => EventKind::Resumed,
            Self::Cancel => EventKind::CancelRequested,
            Self::ResolvePaid => EventKind::ResolvedPaid,
            Self::ResolveUnpaid => EventKind::ResolvedUnpaid,
        }
    }
}

fn conflict(text: &str) -> Error {
    Error::Conflict(PublicMessage::new(text))
}

fn check_permitted(current: &Disbursement, action: Action) -> Result<()> {
    let next = workflow::next(current.state, current.stuck_in, action.event());
    next.map(drop).ok_or_else(|| {
        let (action, state) = (action.as_str(), current.state);
        Error::Conflict(PublicMessage::new(format!("{action} is not possible in the state {state}")))
    })
}

impl Lending {
    /// Requests an action, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the state does not permit the action or a request is pending.
    pub async fn request_action(
        &self,
        caller: &Caller,
        id: Uuid,
        action: Action,
        reason: &str,
        keyed: Option<&Keyed<'_, Approval>>,
    ) -> Result<Once<Approval>> {
        let work = async |connection: &mut AsyncPgConnection| {
            let locked = disbursements::lock(connection, id).await?;
            let current = locked.ok_or(Error::NotFound("disbursement"))?;
            check_permitted(&current, action)?;
            let approval = self.new_approval(caller, id, action, reason);
            self.expire_pending(connection, id).await?;
            match approvals::insert(connection, &approval).await? {
                true => Ok(approval),
                false => Err(conflict("the disbursement has a pending request").into()),
            }
        };
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        idempotency::once(database, logger, "request_disbursement_action", keyed, work).await
    }

    fn new_approval(&self, caller: &Caller, id: Uuid, action: Action, reason: &str) -> Approval {
        let now = self.resources.clock.now();
        Approval {
            id: self.resources.clock.new_uuid(),
            disbursement_id: id,
            action: action.as_str().to_owned(),
            reason: reason.to_owned(),
            maker: caller.account.clone(),
            maker_id: caller.account_id,
            requested_at: now,
            expires_at: now + self.resources.settings.disbursements.approval_time(),
            decision: None,
            checker: None,
            checker_id: None,
            decided_at: None,
        }
    }

    /// Ends a pending request whose time is over, so that it does not block another one.
    async fn expire_pending(&self, connection: &mut AsyncPgConnection, id: Uuid) -> Result<()> {
        let now = self.resources.clock.now();
        match approvals::find_pending(connection, id).await? {
            Some(pending) if pending.expires_at <= now => {
                approvals::decide(connection, pending.id, "expired", None, now).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Approves or declines a request as its second person. An approved action is carried out in the same transaction.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] if the caller requested the action; [`Error::Conflict`] if the request
    /// was decided or has expired, or the state no longer permits the action.
    pub async fn decide_approval(
        &self,
        caller: &Caller,
        id: Uuid,
        approves: bool,
        keyed: Option<&Keyed<'_, Approval>>,
    ) -> Result<Once<Approval>> {
        let work =
            async |connection: &mut AsyncPgConnection| self.decide_in(connection, caller, id, approves).await;
        let (database, logger) = (&self.resources.database, &self.resources.logger);
        let decided =
            idempotency::once(database, logger, "decide_disbursement_approval", keyed, work).await?;
        (self.on_commit)(Written { jobs: true, events: true });
        Ok(decided)
    }

    async fn decide_in(
        &self,
        connection: &mut AsyncPgConnection,
        caller: &Caller,
        id: Uuid,
        approves: bool,
    ) -> Result<Approval, Abort> {
        let found = approvals::find(connection, id).await?.ok_or(Error::NotFound("approval"))?;
        let locked = disbursements::lock(connection, found.disbursement_id).await?;
        let current = locked.ok_or(Error::NotFound("disbursement"))?;
        let now = self.resources.clock.now();
        if found.maker_id == caller.account_id || found.maker == caller.account {
            let text = "A request must be decided by another person than the one who made it.";
            return Err(Error::Forbidden(PublicMessage::new(text)).into());
        }
        if found.expires_at <= now {
            return Err(conflict("the request has expired").into());
        }
        let decision = if approves { "approved" } else { "declined" };
        let checker = Some((caller.account.as_str(), caller.account_id));
        if !approvals::decide(connection, id, decision, checker, now).await? {
            return Err(conflict("the request was decided before").into());
        }
        self.carry_out(connection, caller, &current, &found, approves).await?;
        let decided = approvals::find(connection, id).await?;
        Ok(decided.ok_or(Error::NotFound("approval"))?)
    }

    async fn carry_out(
        &self,
        connection: &mut AsyncPgConnection,
        caller: &Caller,
        current: &Disbursement,
        request: &Approval,
        approves: bool,
    ) -> Result<(), Abort> {
        let unknown = |_unknown| Error::unknown_label("disbursement action", &request.action);
        let action: Action = request.action.parse().map_err(unknown)?;
        let kind = match (action, approves) {
            (_, true) => action.event(),
            (Action::Pay, false) => EventKind::Declined,
            (_, false) => return Ok(()),
        };
        if approves {
            check_permitted(current, action)?;
        }
        let event = Event {
            kind,
            details: Details::reason(if approves { action.as_str() } else { "declined" }),
            actor: caller.account.clone(),
            at: self.resources.clock.now(),
        };
        disbursements::supersede_step(connection, current.id).await?;
        let next = advance(&self.resources, connection, current, &event, &origin(caller)).await?;
        report(&self.resources, current.state, &next);
        Ok(())
    }

    /// Up to `limit` pending requests, newest first, after the request `after`.
    pub async fn pending_approvals(&self, after: Option<Uuid>, limit: i64) -> Result<Vec<Approval>> {
        let read = async |connection: &mut _| approvals::pending(connection, after, limit).await;
        self.resources.database.run(read).await
    }
}
