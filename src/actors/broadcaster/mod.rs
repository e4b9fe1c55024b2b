//! The broadcaster: delivers events from the bus to the subscribed WebSocket sessions of this instance.
//!
//! It reads the bus from its last position after each hint ([`Wake`]), and on a poll in case a hint was lost. The JSON
//! of an event is built once and shared. State that must survive a restart is in [`Sessions`], outside the actor.
//! When a client reconnects, the broadcaster reads the missed events from the bus again. This replay runs concurrently
//! with live delivery, so a thousand reconnecting clients do not delay live events.
//!
//! Failure modes:
//! - If the bus cannot be read, delivery is delayed until a later poll succeeds. No event is lost.
//! - If the broadcaster fails, its replacement continues. Queues ignore events that they already have.
//! - If a client does not read, its [`SessionQueue`] stays bounded.

mod feed;
mod frame;
mod session_queue;
mod sessions;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{debug, warn};
use tokio::task::JoinError;

use self::feed::Update;
use crate::domain::published::Position;
use crate::error::Result;
use crate::events::bus::EventBus;
use crate::events::envelope::Envelope;
use crate::events::registry::EventRegistry;
use crate::resources::Resources;
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::LivenessGuard;
use crate::supervision::rounds::Rounds;
use crate::telemetry::trace::{Entered, KeyValue, SpanKind, Tracer};

pub use self::frame::{Frame, FrameKind};
pub use self::session_queue::{Closing, SessionQueue, Taken};
pub use self::sessions::{Membership, Sessions, Subscription, Viewer};
pub use self::topic::Topic;

/// The actor's name in logs and metrics.
pub const NAME: &str = "broadcaster";

/// The maximum number of events in one read of the bus, for live delivery and for replays.
const PAGE: u32 = 512;

/// A hint that events were published, or that a session needs a response or can continue its replay.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;

pub struct Broadcaster {
    resources: Resources,
    bus: Arc<dyn EventBus>,
    types: Arc<EventRegistry>,
    sessions: Sessions,
    /// The rounds of live delivery.
    delivering: Rounds,
    /// The rounds of replays. They run concurrently with live delivery.
    recovering: Rounds,
    _liveness: LivenessGuard,
}

impl Broadcaster {
    /// A broadcaster that takes over existing `sessions`.
    pub fn new(
        resources: &Resources,
        bus: Arc<dyn EventBus>,
        types: Arc<EventRegistry>,
        sessions: Sessions,
        liveness: LivenessGuard,
    ) -> Self {
        Self {
            resources: resources.named(NAME),
            bus,
            types,
            sessions,
            delivering: Rounds::default(),
            recovering: Rounds::default(),
            _liveness: liveness,
        }
    }

    /// Delivers new events, then continues replays.
    fn deliver(&mut self, ctx: &mut Context<Self>) {
        if !self.delivering.begin() {
            return;
        }
        let (resources, bus, sessions) =
            (self.resources.clone(), Arc::clone(&self.bus), self.sessions.clone());
        let types = Arc::clone(&self.types);
        // Runs as a separate asynchronous task, so a panic becomes an error instead of ending the actor.
        let task = actix_rt::spawn(async move { deliver_new(&resources, &*bus, &types, &sessions).await });
        ctx.spawn(task.into_actor(self).map(|ended, broadcaster, ctx| {
            let again = broadcaster.delivering.end();
            if broadcaster.succeeded("delivery of events", ended) {
                broadcaster.recover(ctx);
                if again {
                    broadcaster.deliver(ctx);
                }
            }
        }));
    }

    /// Responds to waiting subscriptions and continues replays, if there are any.
    fn recover(&mut self, ctx: &mut Context<Self>) {
        if !self.sessions.needs_recovery() || !self.recovering.begin() {
            return;
        }
        let (bus, types, sessions) = (Arc::clone(&self.bus), Arc::clone(&self.types), self.sessions.clone());
        let task = actix_rt::spawn(async move { recover_all(&*bus, &types, &sessions).await });
        ctx.spawn(task.into_actor(self).map(|ended, broadcaster, ctx| {
            let again = broadcaster.recovering.end();
            if broadcaster.succeeded("replay of events", ended) && again {
                broadcaster.recover(ctx);
            }
        }));
    }

    /// Whether a round succeeded. Logs a failure, which the next poll retries.
    fn succeeded(&self, what: &'static str, ended: Result<Result<()>, JoinError>) -> bool {
        match &ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(self.resources.logger, "{} failed", what;
                "error" => %error, "cause" => error.private_cause()),
            Err(panic) => warn!(self.resources.logger, "{} panicked", what; "cause" => %panic),
        }
        matches!(ended, Ok(Ok(())))
    }
}

/// Delivers all events after the current position. If no session has a subscription, it only moves the position.
async fn deliver_new(
    resources: &Resources,
    bus: &dyn EventBus,
    types: &EventRegistry,
    sessions: &Sessions,
) -> Result<()> {
    if sessions.position().is_none() || !sessions.has_listeners() {
        sessions.skip_to(bus.position().await?);
    }
    while sessions.has_listeners()
        && let Some(position) = sessions.position()
    {
        let events = bus.read_after(position, PAGE).await?;
        let is_full = events.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
        if events.is_empty() {
            // There are no new events, or a new epoch began.
            sessions.skip_to(bus.position().await?);
        }
        let end = events.last().map(|event| event.offset);
        // The spans end when the page is in the queues of the sessions.
        let _spans = delivery_spans(&resources.tracer, &events);
        let updates = events.iter().filter_map(|event| {
            let update = Update::new(types, position.epoch, event);
            if update.is_none() {
                record_unknown(resources, event);
            }
            update
        });
        sessions.deliver(&updates.collect::<Vec<_>>(), end);
        if !is_full {
            break;
        }
    }
    Ok(())
}

/// A span for each event of a sampled trace.
fn delivery_spans(tracer: &Tracer, events: &[Envelope]) -> Vec<Entered> {
    let traced = events.iter().filter(|event| tracer.is_exporting() && event.traceparent.is_some());
    traced
        .map(|event| {
            tracer.enter(event.traceparent.as_deref(), SpanKind::Consumer, || {
                let attributes = vec![
                    KeyValue::new("event.type", event.event_type.clone()),
                    KeyValue::new("event.subject", event.subject.to_string()),
                    KeyValue::new("event.offset", event.offset),
                ];
                ("broadcast_event".into(), attributes)
            })
        })
        .collect()
}

/// Logs and counts an event that this version cannot deliver. Instances with a newer version deliver it.
fn record_unknown(resources: &Resources, event: &Envelope) {
    resources.metrics.unknown_labels_total.with_label_values(&["outbox"]).inc();
    warn!(resources.logger, "skipping an event of unknown type or shape"; "id" => %event.id,
        "type" => &event.event_type, "offset" => event.offset);
}

/// Responds to the waiting subscriptions. Then replays missed events page by page, until no recovering session has
/// space in its queue.
async fn recover_all(bus: &dyn EventBus, types: &EventRegistry, sessions: &Sessions) -> Result<()> {
    let extent = bus.extent().await?;
    sessions.skip_to(extent.end);
    sessions.answer_waiting(&extent);
    let epoch = extent.end.epoch;
    while let Some(after) = sessions.next_cursor() {
        let events = bus.read_after(Position { epoch, offset: after }, PAGE).await?;
        let end = events.last().map(|event| event.offset);
        let updates: Vec<Update> =
            events.iter().filter_map(|event| Update::new(types, epoch, event)).collect();
        sessions.replay(after, &updates, end);
        tokio::task::yield_now().await;
    }
    Ok(())
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.resources.settings.actors.mailbox_capacity);
        let poll = Duration::from_millis(self.resources.settings.outbox.poll_interval_ms);
        ctx.run_interval(poll, |broadcaster, ctx| broadcaster.deliver(ctx));
        self.deliver(ctx);
        debug!(self.resources.logger, "broadcaster started"; "sessions" => self.sessions.count());
    }
}

impl Handler<Wake> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.resources.faults.pass(FaultPoint::Broadcaster, None);
        self.deliver(ctx);
    }
}
