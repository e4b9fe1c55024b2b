//! Detecting the end of an actor, and reaching its replacement.
//!
//! actix's own `Supervisor` does not survive a panic, because it runs in the same task as the actor. Therefore each
//! supervised actor holds a [`LivenessGuard`]. However the actor ends (a panic in a message, stopping itself, or the
//! end of its thread), the guard is dropped, and its [`Termination`] resolves immediately, without polling. Callers of a
//! permanent actor hold a [`Handle`], which always refers to the newest actor.
//!
//! actix does not report the length of a mailbox. Therefore the handle counts the messages that were sent through it and
//! are not handled yet ([`Handle::measure`]). For a message that is sent without waiting, an asynchronous task waits until
//! it is handled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use actix::dev::ToEnvelope;
use actix::prelude::*;
use prometheus::IntGauge;
use tokio::sync::{Notify, oneshot};

use crate::error::{Error, Result};

/// Held by an actor as long as it lives.
#[derive(Debug)]
pub struct LivenessGuard {
    _end: oneshot::Sender<()>,
}

/// Resolves when the actor has ended.
#[derive(Debug)]
pub struct Termination(oneshot::Receiver<()>);

impl LivenessGuard {
    /// A guard, and the [`Termination`] that resolves when the guard is dropped.
    pub fn pair() -> (Self, Termination) {
        let (tx, rx) = oneshot::channel();
        (Self { _end: tx }, Termination(rx))
    }
}

impl Termination {
    /// Waits until the actor has ended.
    pub async fn wait(self) {
        let _ = self.0.await;
    }
}

/// The address of a permanent actor, which stays valid across restarts.
pub struct Handle<A: Actor> {
    name: &'static str,
    target: Arc<Target<A>>,
}

/// The address of the newest actor, and a notification of changes.
struct Target<A: Actor> {
    current: RwLock<Option<Addr<A>>>,
    changed: Notify,
    mailbox: OnceLock<Mailbox>,
}

/// The messages that an actor has not handled yet.
struct Mailbox {
    /// Their number. Actors of the same name share this gauge.
    unhandled: IntGauge,
    /// How many of them were sent without waiting.
    sent_without_waiting: AtomicUsize,
    /// The maximum of `sent_without_waiting`.
    capacity: usize,
}

/// Counts a message from its sending until its handling has ended.
struct Unhandled<A: Actor> {
    target: Arc<Target<A>>,
    without_waiting: bool,
}

impl<A: Actor> Unhandled<A> {
    fn count(target: &Arc<Target<A>>, without_waiting: bool) -> Self {
        if let Some(mailbox) = target.mailbox.get() {
            mailbox.unhandled.inc();
            mailbox.sent_without_waiting.fetch_add(usize::from(without_waiting), Ordering::Relaxed);
        }
        Self { target: Arc::clone(target), without_waiting }
    }
}

impl<A: Actor> Drop for Unhandled<A> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.target.mailbox.get() {
            mailbox.unhandled.dec();
            mailbox.sent_without_waiting.fetch_sub(usize::from(self.without_waiting), Ordering::Relaxed);
        }
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { name: self.name, target: Arc::clone(&self.target) }
    }
}

impl<A: Actor> Handle<A> {
    /// A handle without an actor.
    pub fn vacant(name: &'static str) -> Self {
        let target = Target { current: RwLock::default(), changed: Notify::new(), mailbox: OnceLock::new() };
        Self { name, target: Arc::new(target) }
    }

    /// Counts unhandled messages in `unhandled`, and limits those that are sent without waiting to `capacity`. Must be called
    /// before the first message; further calls have no effect.
    pub(super) fn measure(&self, unhandled: IntGauge, capacity: usize) {
        let _ = self.target.mailbox.set(Mailbox {
            unhandled,
            sent_without_waiting: AtomicUsize::new(0),
            capacity,
        });
    }

    /// The actor's name in logs and metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Points this handle and all its clones to a new actor.
    pub fn point_at(&self, addr: Addr<A>) {
        *self.target.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(addr);
        self.target.changed.notify_waiters();
    }

    /// Whether the actor is alive.
    pub fn is_alive(&self) -> bool {
        self.addr().is_some_and(|addr| addr.connected())
    }

    /// Waits until an actor is alive.
    pub async fn wait_alive(&self) {
        loop {
            let changed = self.target.changed.notified();
            if self.is_alive() {
                return;
            }
            changed.await;
        }
    }

    fn addr(&self) -> Option<Addr<A>> {
        self.target.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Sends a message and waits for the response. If the mailbox is full, it also waits for space.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the actor is dead or dies before it responds.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr().ok_or_else(|| Error::unavailable(self.name, "not running"))?;
        let _unhandled = Unhandled::count(&self.target, false);
        addr.send(message).await.map_err(|error| Error::unavailable(self.name, error))
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the mailbox is full, [`Error::Unavailable`] if the actor is dead.
    pub fn tell<M>(&self, message: M) -> Result<()>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let addr = self.addr().ok_or_else(|| Error::unavailable(self.name, "not running"))?;
        if !addr.connected() {
            return Err(Error::unavailable(self.name, "mailbox closed"));
        }
        if self.is_full() {
            let retry_after = std::time::Duration::from_secs(1);
            return Err(Error::Overloaded { what: self.name, retry_after });
        }
        let unhandled = Unhandled::count(&self.target, true);
        // The message is in the mailbox now. If other senders have filled the mailbox first, the spawned task waits for space.
        let sent = addr.send(message);
        tokio::spawn(async move {
            let _ = sent.await;
            drop(unhandled);
        });
        Ok(())
    }

    /// Sends a hint and ignores failures. The receiver does not depend on hints: it polls, and a new actor first checks for
    /// work.
    pub fn hint<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let _ = self.tell(message);
    }

    fn is_full(&self) -> bool {
        let is_full =
            |mailbox: &Mailbox| mailbox.sent_without_waiting.load(Ordering::Relaxed) >= mailbox.capacity;
        self.target.mailbox.get().is_some_and(is_full)
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
        must_panic: bool,
    }

    impl Handler<Touch> for Fragile {
        type Result = ();

        fn handle(&mut self, message: Touch, _: &mut Self::Context) {
            assert!(!message.must_panic, "the message requests a panic");
        }
    }

    #[actix_rt::test]
    async fn a_panic_in_a_message_drops_the_guard_and_closes_the_mailbox() {
        let handle = Handle::<Fragile>::vacant("fragile");
        assert!(matches!(handle.ask(Touch { must_panic: false }).await, Err(Error::Unavailable { .. })));
        let (guard, termination) = LivenessGuard::pair();
        handle.point_at(Fragile { _liveness: guard }.start());
        handle.ask(Touch { must_panic: false }).await.unwrap();
        assert!(handle.ask(Touch { must_panic: true }).await.is_err());
        termination.wait().await;
        assert!(!handle.is_alive());

        let (guard, _termination) = LivenessGuard::pair();
        handle.clone().point_at(Fragile { _liveness: guard }.start());
        handle.ask(Touch { must_panic: false }).await.expect("every clone reaches the restarted actor");
    }
}
