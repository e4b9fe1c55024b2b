//! Event consumers: pass published events to their handlers.
//!
//! Each instance with the role consumer has one of these actors for each consumer of the registry. The actor works in
//! rounds ([`ConsumerRun`]): after a hint that events were published or a stream has delivered entries, when a deferred
//! event becomes due, and on a poll in case a hint was lost. The poll also renews the leases on the partitions of the
//! consumer, which the instances divide among them.
//!
//! Positions and leases are in the database, and handlers that panic do not end a round. A restarted actor acquires its
//! partitions again and continues at their positions. If an instance dies, others take over within `events.lease_ms`.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{debug, warn};
use tokio::task::JoinError;

use crate::error::Result;
use crate::events::consumers::{AnyConsumer, ConsumerRun, NextRound, Sources};
use crate::resources::Resources;
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::root::Root;
use crate::supervision::rounds::Rounds;

/// The actor's name in logs and metrics.
pub const NAME: &str = "event_consumer";

/// A hint that events were published.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;

/// A hint that the stream has delivered entries.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct EntriesRead;

/// Ends the actor after its current round and releases its partitions.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopConsuming;

/// The parts of an event consumer.
#[derive(Clone)]
struct Parts {
    resources: Resources,
    consumer: Arc<dyn AnyConsumer>,
    sources: Sources,
    handle: Handle<EventConsumer>,
}

impl Parts {
    fn run(&self) -> ConsumerRun {
        let handle = self.handle.clone();
        let on_batch = Arc::new(move || handle.hint(EntriesRead));
        ConsumerRun::new(&self.resources, Arc::clone(&self.consumer), &self.sources, on_batch)
    }
}

pub struct EventConsumer {
    parts: Parts,
    /// Moved into a round while it runs.
    run: Option<ConsumerRun>,
    rounds: Rounds,
    /// Begins the next round.
    timer: Option<SpawnHandle>,
    retiring: bool,
    _liveness: LivenessGuard,
}

/// The handles of the event consumers of an instance, one for each consumer of the registry.
pub type ConsumerHandles = Arc<[Handle<EventConsumer>]>;

/// Keeps an event consumer running behind `handle` that reads events from `sources`.
pub fn keep(
    root: &Root,
    handle: &Handle<EventConsumer>,
    resources: &Resources,
    consumer: Arc<dyn AnyConsumer>,
    sources: Sources,
) {
    let parts = Parts { resources: resources.named(NAME), consumer, sources, handle: handle.clone() };
    root.keep(handle, resources.settings.actors.mailbox_capacity, move |liveness| {
        EventConsumer::new(parts.clone(), liveness)
    });
}

impl EventConsumer {
    fn new(parts: Parts, liveness: LivenessGuard) -> Self {
        Self {
            run: Some(parts.run()),
            parts,
            rounds: Rounds::default(),
            timer: None,
            retiring: false,
            _liveness: liveness,
        }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if self.retiring || !self.rounds.begin() {
            return;
        }
        let mut run = self.run.take().unwrap_or_else(|| self.parts.run());
        // Runs as a separate asynchronous task, so a panic becomes an error instead of ending the actor.
        let task = actix_rt::spawn(async move {
            let next = run.round().await;
            (run, next)
        });
        ctx.spawn(task.into_actor(self).map(|ended, consumer, ctx| consumer.end(ended, ctx)));
    }

    fn end(&mut self, ended: Result<(ConsumerRun, Result<NextRound>), JoinError>, ctx: &mut Context<Self>) {
        let again = self.rounds.end();
        let logger = &self.parts.resources.logger;
        let next = match ended {
            Ok((run, next)) => {
                self.run = Some(run);
                next.unwrap_or_else(|error| {
                    warn!(logger, "round of an event consumer failed; retrying";
                        "consumer" => self.parts.consumer.name(), error);
                    NextRound::WhenPublished
                })
            }
            Err(panic) => {
                warn!(logger, "round of an event consumer panicked"; "consumer" => self.parts.consumer.name(),
                    "cause" => %panic);
                NextRound::WhenPublished
            }
        };
        if self.retiring {
            self.retire(ctx);
            return;
        }
        match next {
            NextRound::Now => self.begin(ctx),
            _ if again => self.begin(ctx),
            NextRound::After(pause) => self.schedule(pause, ctx),
            NextRound::WhenPublished => {}
        }
    }

    fn schedule(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.timer = Some(ctx.run_later(pause, Self::begin));
    }

    /// Releases the partitions and ends the actor, unless a round is running, which does so at its end.
    fn retire(&mut self, ctx: &mut Context<Self>) {
        self.retiring = true;
        if !self.rounds.is_idle() {
            return;
        }
        let run = self.run.take();
        let release = async move {
            if let Some(mut run) = run {
                run.release().await;
            }
        };
        ctx.spawn(release.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

impl Actor for EventConsumer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let settings = &self.parts.resources.settings;
        ctx.set_mailbox_capacity(settings.actors.mailbox_capacity);
        let poll = Duration::from_millis(settings.outbox.poll_interval_ms).min(settings.events.lease() / 3);
        ctx.run_interval(poll, Self::begin);
        self.begin(ctx);
        debug!(self.parts.resources.logger, "event consumer started"; "consumer" => self.parts.consumer.name());
    }
}

impl Handler<Wake> for EventConsumer {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.parts.resources.faults.pass(FaultPoint::EventConsumer, None);
        self.begin(ctx);
    }
}

impl Handler<EntriesRead> for EventConsumer {
    type Result = ();

    fn handle(&mut self, _: EntriesRead, ctx: &mut Self::Context) {
        self.begin(ctx);
    }
}

impl Handler<StopConsuming> for EventConsumer {
    type Result = ();

    fn handle(&mut self, _: StopConsuming, ctx: &mut Self::Context) {
        self.retire(ctx);
    }
}
