//! How a death is noticed, and how others reach whoever lives now.
//!
//! actix's own `Supervisor` does not survive a panic: it ends with the task that holds both. So each supervised actor
//! holds a [`LivenessGuard`]. However the actor ends, by a panic inside a message, by stopping itself, or with its thread,
//! it is dropped, the line breaks, and whoever waits on the other end ([`LivenessGuard::pair`]) knows at once, without
//! polling. Clients of a permanent actor hold a [`Handle`], which always points at the newest actor.

use std::sync::{Arc, RwLock};

use actix::dev::ToEnvelope;
use actix::prelude::*;
use tokio::sync::{Notify, oneshot};

use crate::error::{Error, Result};

/// Held by an actor as long as it lives.
#[derive(Debug)]
pub struct LivenessGuard {
    _end: oneshot::Sender<()>,
}

/// The watcher's end: resolves when the actor is gone.
#[derive(Debug)]
pub struct Termination(oneshot::Receiver<()>);

impl LivenessGuard {
    /// A line and its other end.
    pub fn pair() -> (Self, Termination) {
        let (tx, rx) = oneshot::channel();
        (Self { _end: tx }, Termination(rx))
    }
}

impl Termination {
    /// Waits until the actor is gone.
    pub async fn wait(self) {
        let _ = self.0.await;
    }
}

/// The address of a permanent actor, whichever actor lives now.
pub struct Handle<A: Actor> {
    name: &'static str,
    place: Arc<Place<A>>,
}

/// Where the newest actor can be reached, and word of a change.
struct Place<A: Actor> {
    current: RwLock<Option<Addr<A>>>,
    changed: Notify,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { name: self.name, place: Arc::clone(&self.place) }
    }
}

impl<A: Actor> Handle<A> {
    /// A handle that points at nobody yet.
    pub fn vacant(name: &'static str) -> Self {
        Self { name, place: Arc::new(Place { current: RwLock::default(), changed: Notify::new() }) }
    }

    /// The actor's role, for logs and metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Points the handle, and every clone of it, at a replacement.
    pub fn point_at(&self, addr: Addr<A>) {
        *self.place.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(addr);
        self.place.changed.notify_waiters();
    }

    /// Whether somebody lives there now.
    pub fn is_alive(&self) -> bool {
        self.addr().is_some_and(|addr| addr.connected())
    }

    /// Waits until somebody lives there.
    pub async fn wait_alive(&self) {
        loop {
            let changed = self.place.changed.notified();
            if self.is_alive() {
                return;
            }
            changed.await;
        }
    }

    fn addr(&self) -> Option<Addr<A>> {
        self.place.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Sends a message and waits for the answer, within the mailbox's bound.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the actor is dead or dies before it answers.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr().ok_or_else(|| Error::unavailable(self.name, "not running"))?;
        addr.send(message).await.map_err(|error| Error::unavailable(self.name, error))
    }

    /// Leaves a message without waiting.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when the mailbox is full, [`Error::Unavailable`] when the actor is dead.
    pub fn tell<M>(&self, message: M) -> Result<()>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr().ok_or_else(|| Error::unavailable(self.name, "not running"))?;
        addr.try_send(message).map_err(|error| match error {
            SendError::Full(_) => {
                Error::Overloaded { what: self.name, retry_after: std::time::Duration::from_secs(1) }
            }
            SendError::Closed(_) => Error::unavailable(self.name, "mailbox closed"),
        })
    }

    /// Leaves a hint: when it cannot be delivered, the receiver finds out by itself (it polls, or it is new and looks
    /// first).
    pub fn hint<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        if let Some(addr) = self.addr() {
            let _ = addr.try_send(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fragile {
        _liveness: LivenessGuard,
    }

    impl Actor for Fragile {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Touch {
        hard: bool,
    }

    impl Handler<Touch> for Fragile {
        type Result = ();

        fn handle(&mut self, message: Touch, _: &mut Self::Context) {
            assert!(!message.hard, "touched too hard");
        }
    }

    #[actix_rt::test]
    async fn a_panic_inside_a_message_breaks_the_lifeline_and_closes_the_mailbox() {
        let handle = Handle::<Fragile>::vacant("fragile");
        assert!(matches!(handle.ask(Touch { hard: false }).await, Err(Error::Unavailable { .. })));
        let (line, death) = LivenessGuard::pair();
        handle.point_at(Fragile { _liveness: line }.start());
        handle.ask(Touch { hard: false }).await.unwrap();
        assert!(handle.ask(Touch { hard: true }).await.is_err());
        death.wait().await;
        assert!(!handle.is_alive());

        let (line, _death) = LivenessGuard::pair();
        handle.clone().point_at(Fragile { _liveness: line }.start());
        handle.ask(Touch { hard: false }).await.expect("every clone reaches the restarted actor");
    }
}
