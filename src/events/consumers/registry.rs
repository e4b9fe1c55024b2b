//! The registry of consumers.

use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::type_filter::TypeFilter;
use super::{Consumer, OnDeadLetter};
use crate::error::Result;
use crate::events::envelope::Envelope;

/// The form of [`Consumer`] that the registry can store.
pub trait AnyConsumer: Send + Sync {
    /// [`Consumer::NAME`].
    fn name(&self) -> &'static str;

    /// [`Consumer::event_types`].
    fn event_types(&self) -> TypeFilter;

    /// [`Consumer::on_dead_letter`].
    fn on_dead_letter(&self) -> OnDeadLetter;

    /// [`Consumer::handle`].
    fn handle<'a>(
        &'a self,
        event: &'a Envelope,
        connection: &'a mut AsyncPgConnection,
    ) -> LocalBoxFuture<'a, Result<()>>;
}

impl<C: Consumer> AnyConsumer for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn event_types(&self) -> TypeFilter {
        Consumer::event_types(self)
    }

    fn on_dead_letter(&self) -> OnDeadLetter {
        Consumer::on_dead_letter(self)
    }

    fn handle<'a>(
        &'a self,
        event: &'a Envelope,
        connection: &'a mut AsyncPgConnection,
    ) -> LocalBoxFuture<'a, Result<()>> {
        Consumer::handle(self, event, connection).boxed_local()
    }
}

/// The consumers of this version. Cheap to clone.
#[derive(Clone)]
pub struct Consumers(Arc<[Arc<dyn AnyConsumer>]>);

impl Consumers {
    /// A registry of these consumers. Their names must be distinct.
    pub fn new(consumers: impl IntoIterator<Item = Arc<dyn AnyConsumer>>) -> Self {
        Self(consumers.into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn AnyConsumer>> {
        self.0.iter()
    }
}
