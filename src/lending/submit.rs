//! Submitting an application.
//!
//! The write batcher inserts the application together with its job, audit row and event. For a request with an
//! `Idempotency-Key`, it also stores the response. The application then waits for its decision.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Caller, Lending};
use crate::actors::write_batcher::WriteBatchers;
use crate::domain::application::{Country, NewApplication, TermMonths};
use crate::domain::ids::{ApplicationId, ChangeId};
use crate::domain::money::Money;
use crate::domain::personal_data::{BirthDate, FullName, IdentityDocument, PersonalMembers};
use crate::error::Result;
use crate::storage::applications::{InsertOutcome, Insertion, held_until};
use crate::storage::idempotency::{Keyed, SealedReply, in_flight};

use chrono::{DateTime, Utc};

/// The delays between attempts of an insert that contends with another transaction. Most contention lasts a few
/// milliseconds.
const CONTENTION_PAUSES: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(80)];

/// A validated application to submit.
#[derive(Clone)]
pub struct Draft {
    pub country: Country,
    pub full_name: FullName,
    /// In normalized form.
    pub identity_document: IdentityDocument,
    pub requested_amount: Money,
    /// As declared by the applicant.
    pub monthly_income: Money,
    /// The number of instalments.
    pub term_months: TermMonths,
    /// If known.
    pub birth_date: Option<BirthDate>,
    /// Country data that is stored in clear text.
    pub country_specific_data: Map<String, Value>,
    /// Country data that is sealed.
    pub personal_data: PersonalMembers,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("country", &self.country).finish_non_exhaustive()
    }
}

/// The result of submitting an application.
pub enum Submitted {
    Made(Arc<NewApplication>),
    /// A repetition of an earlier request. This is the stored response to that request.
    Replayed(SealedReply),
    /// The account has an open application for the document.
    Duplicate {
        existing: ApplicationId,
        /// When that application's claim on the document expires. It is released earlier if the application is closed.
        open_until: Option<DateTime<Utc>>,
    },
}

impl Lending {
    /// Submits an application, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::KeyReused`](crate::error::Error::KeyReused), [`Error::InFlight`](crate::error::Error::InFlight)
    pub async fn submit(
        &self,
        caller: Caller,
        draft: Draft,
        keyed: Option<&Keyed<'_, NewApplication>>,
    ) -> Result<Submitted> {
        let Self { resources, write_batchers, cache, .. } = self;
        let id_source = &resources.clock;
        let attribution = caller.attribution(ChangeId::new(id_source.new_uuid()), None);
        let application = Arc::new(NewApplication {
            id: ApplicationId::new(id_source.new_uuid()),
            country: draft.country,
            full_name: draft.full_name,
            identity_document: draft.identity_document,
            requested_amount: draft.requested_amount,
            monthly_income: draft.monthly_income,
            term_months: draft.term_months,
            birth_date: draft.birth_date,
            country_specific_data: draft.country_specific_data,
            personal_data: draft.personal_data,
            created_by: caller.account,
            attribution,
            traceparent: caller.traceparent,
        });
        let document =
            resources.database.keys().document_index(application.country, &application.identity_document);
        let window = resources.settings.applications.duplicate_window();
        let claim_until = application.id.created_at().zip(window).map(|(made, window)| made + window);
        let stored = match keyed {
            Some(keyed) => Some((keyed.write.clone(), (keyed.seal_reply)(&application)?)),
            None => None,
        };
        let insertion = Insertion { application: Arc::clone(&application), claim_until, keyed: stored };
        match (insert(write_batchers, insertion).await?, keyed) {
            (InsertOutcome::Inserted, _) => {
                cache.record_change(application.id, NewApplication::VERSION, &application.created_by);
                let country = application.country.code();
                resources.metrics.applications_created_total.with_label_values(&[country]).inc();
                Ok(Submitted::Made(application))
            }
            (InsertOutcome::Known(known), Some(keyed)) => {
                keyed.write.reply_for(known).map(Submitted::Replayed)
            }
            (InsertOutcome::Duplicate(existing), _) => {
                let owner = &application.created_by;
                let read = async |connection: &mut _| held_until(connection, owner, document).await;
                let open_until = resources.database.run(read).await?;
                Ok(Submitted::Duplicate { existing, open_until })
            }
            (InsertOutcome::InFlight | InsertOutcome::Contended | InsertOutcome::Known(_), _) => {
                Err(in_flight())
            }
        }
    }
}

/// Inserts an application if the conditions of the insertion hold. Returns after the commit. If another transaction is
/// inserting an application for the same document, the insert is retried a few times, so the response can name the other
/// application. Other writes do not wait for these retries.
///
/// # Errors
/// The errors of [`WriteBatchers::write`].
pub async fn insert(
    write_batchers: &WriteBatchers,
    insertion: impl Into<Insertion>,
) -> Result<InsertOutcome> {
    let insertion = insertion.into();
    let mut pauses = CONTENTION_PAUSES.into_iter();
    loop {
        let outcome = write_batchers.write(insertion.clone()).await?;
        match (outcome, pauses.next()) {
            (InsertOutcome::Contended, Some(pause)) => tokio::time::sleep(pause).await,
            (outcome, _) => return Ok(outcome),
        }
    }
}
