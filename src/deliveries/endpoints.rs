//! Use cases of webhook endpoints: create, change, delete, rotate the secret, list.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use slog::info;
use uuid::Uuid;

use super::signing::generate;
use super::{Deliveries, Endpoint, EndpointSecret};
use crate::accounts::ChangeOrigin;
use crate::actors::write_batcher::Written;
use crate::domain::application::Country;
use crate::domain::delivery::{Algorithm, DisabledReason};
use crate::error::{Error, PublicMessage, Result};
use crate::storage::deliveries::endpoints::{self, EndpointChange, NewEndpoint};
use crate::storage::idempotency::{self, Keyed, Once};
use crate::storage::transaction::{self, Abort};

/// An endpoint to create, with valid members.
#[derive(Debug, Clone)]
pub struct EndpointToCreate {
    pub url: String,
    pub description: String,
    pub event_types: Vec<String>,
    /// Empty for the events of all countries, and those without a country.
    pub countries: Vec<Country>,
    pub ordered: bool,
    pub enabled: bool,
    pub algorithm: Algorithm,
}

/// A change of an endpoint. Members that are `None` keep their values.
#[derive(Debug, Clone, Default)]
pub struct EndpointPatch {
    pub url: Option<String>,
    pub description: Option<String>,
    pub event_types: Option<Vec<String>>,
    pub countries: Option<Vec<Country>>,
    pub ordered: Option<bool>,
    pub enabled: Option<bool>,
}

/// An endpoint with its valid secrets, the current one first.
#[derive(Clone)]
pub struct EndpointWithSecrets {
    pub endpoint: Endpoint,
    pub secrets: Vec<EndpointSecret>,
}

fn codes(countries: &[Country]) -> Vec<String> {
    countries.iter().map(|country| country.code().to_owned()).collect()
}

fn changed(patch: EndpointPatch, now: DateTime<Utc>) -> EndpointChange {
    let change = match patch.enabled {
        Some(true) => EndpointChange::enable(),
        Some(false) => EndpointChange::disable(DisabledReason::Operator, now),
        None => EndpointChange::default(),
    };
    EndpointChange {
        url: patch.url,
        description: patch.description,
        event_types: patch.event_types,
        countries: patch.countries.as_deref().map(codes),
        ordered: patch.ordered,
        updated_at: Some(now),
        ..change
    }
}

impl Deliveries {
    /// Creates an endpoint with its first secret, at most once per idempotency key.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there are `webhook_delivery.max_endpoints`; those of [`idempotency::once`].
    pub async fn create_endpoint(
        &self,
        new: &EndpointToCreate,
        origin: &ChangeOrigin,
        keyed: Option<&Keyed<'_, EndpointWithSecrets>>,
    ) -> Result<Once<EndpointWithSecrets>> {
        let (clock, database) = (&self.resources.clock, &self.resources.database);
        let (now, secret) = (clock.now(), generate(clock, new.algorithm)?);
        let countries = codes(&new.countries);
        let disabled = (!new.enabled).then_some(DisabledReason::Operator);
        let row = NewEndpoint {
            id: clock.new_uuid(),
            url: &new.url,
            description: &new.description,
            event_types: &new.event_types,
            countries: &countries,
            ordered: new.ordered,
            disabled_at: disabled.map(|_| now),
            disabled_reason: disabled.map(DisabledReason::as_str),
            owner_id: origin.account_id(),
            created_by: origin.by(),
            created_at: now,
            updated_at: now,
        };
        let max_endpoints = self.resources.settings.webhook_delivery.max_endpoints;
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            if endpoints::count(connection).await? >= i64::from(max_endpoints) {
                let text = format!("There are {max_endpoints} webhook endpoints already. Delete one first.");
                return Err(Abort::from(Error::Conflict(PublicMessage::new(text))));
            }
            let endpoint = endpoints::insert(connection, &row).await?;
            endpoints::add_secret(connection, database.keys(), endpoint.id, &secret, now).await?;
            Ok(EndpointWithSecrets { endpoint, secrets: vec![secret.clone()] })
        };
        let logger = &self.resources.logger;
        let made = idempotency::once(database, logger, "create_webhook_endpoint", keyed, work).await?;
        if let Once::Made(_) = made {
            self.committed("webhook endpoint created", row.id, origin);
        }
        Ok(made)
    }

    /// Gets an endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn endpoint(&self, id: Uuid) -> Result<EndpointWithSecrets> {
        let mut connection = self.resources.database.get().await?;
        let endpoint = endpoints::find(&mut connection, id).await?.ok_or_else(no_endpoint)?;
        let (keys, now) = (self.resources.database.keys(), self.resources.clock.now());
        let secrets = endpoints::secrets(&mut connection, keys, id, now).await?;
        Ok(EndpointWithSecrets { endpoint, secrets })
    }

    /// Up to `limit` endpoints created before the endpoint `before`, newest first.
    pub async fn endpoints(&self, before: Option<Uuid>, limit: i64) -> Result<Vec<Endpoint>> {
        endpoints::list_page(&mut *self.resources.database.get().await?, before, limit).await
    }

    /// Changes, enables or disables an endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn change_endpoint(
        &self,
        id: Uuid,
        patch: EndpointPatch,
        origin: &ChangeOrigin,
    ) -> Result<Endpoint> {
        let disables = patch.enabled == Some(false);
        let change = changed(patch, self.resources.clock.now());
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            let current = endpoints::lock(connection, id).await?.ok_or_else(no_endpoint)?;
            // An endpoint that is disabled keeps its reason.
            let change = match disables && !current.is_enabled() {
                true => EndpointChange { disabled_at: None, disabled_reason: None, ..change.clone() },
                false => change.clone(),
            };
            Ok(endpoints::change(connection, id, &change).await?.ok_or_else(no_endpoint)?)
        };
        let endpoint = self.commit("change_webhook_endpoint", work).await?;
        self.committed("webhook endpoint changed", id, origin);
        Ok(endpoint)
    }

    /// Deletes an endpoint. Its unfinished deliveries end without an attempt.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub async fn delete_endpoint(&self, id: Uuid, origin: &ChangeOrigin) -> Result<()> {
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            let existed = endpoints::delete(connection, id).await?;
            if existed { Ok(()) } else { Err(no_endpoint().into()) }
        };
        self.commit("delete_webhook_endpoint", work).await?;
        self.committed("webhook endpoint deleted", id, origin);
        Ok(())
    }

    /// Gives an endpoint a new secret, at most once per idempotency key. The previous one stays valid for
    /// `webhook_delivery.secret_overlap_hours`. Without an `algorithm`, the new secret has that of the previous one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; those of [`idempotency::once`].
    pub async fn rotate_secret(
        &self,
        id: Uuid,
        algorithm: Option<Algorithm>,
        origin: &ChangeOrigin,
        keyed: Option<&Keyed<'_, EndpointWithSecrets>>,
    ) -> Result<Once<EndpointWithSecrets>> {
        let (clock, database) = (&self.resources.clock, &self.resources.database);
        let now = clock.now();
        let previous_until = now + self.resources.settings.webhook_delivery.secret_overlap();
        let work = async |connection: &mut AsyncPgConnection| {
            self.accounts.begin_change(connection, origin).await?;
            let endpoint = endpoints::lock(connection, id).await?.ok_or_else(no_endpoint)?;
            let valid = endpoints::secrets(connection, database.keys(), id, now).await?;
            let current = valid.first().map_or(Algorithm::Hmac, |secret| secret.algorithm);
            let secret = generate(clock, algorithm.unwrap_or(current))?;
            endpoints::add_secret(connection, database.keys(), id, &secret, previous_until).await?;
            let secrets = endpoints::secrets(connection, database.keys(), id, now).await?;
            Ok(EndpointWithSecrets { endpoint, secrets })
        };
        let logger = &self.resources.logger;
        let made = idempotency::once(database, logger, "rotate_webhook_secret", keyed, work).await?;
        if let Once::Made(_) = made {
            self.committed("webhook secret rotated", id, origin);
        }
        Ok(made)
    }

    async fn commit<R>(
        &self,
        name: &'static str,
        work: impl AsyncFn(&mut AsyncPgConnection) -> Result<R, Abort>,
    ) -> Result<R> {
        transaction::run(&self.resources.database, &self.resources.logger, name, work).await
    }

    /// Logs a committed change and wakes the relay and the scheduler.
    pub(super) fn committed(&self, what: &'static str, endpoint: Uuid, origin: &ChangeOrigin) {
        info!(self.resources.logger, "{}", what; "endpoint_id" => %endpoint, "by" => origin.by());
        (self.on_commit)(Written { jobs: true, events: true });
    }
}

pub(super) fn no_endpoint() -> Error {
    Error::NotFound("webhook endpoint")
}
