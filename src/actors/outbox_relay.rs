//! The outbox relay: assigns every event its offset in the global sequence.
//!
//! Each instance has one relay. One of them is the leader, which is elected by an advisory lock. The leader publishes
//! waiting events in batches, after a hint ([`Wake`], from the instance that wrote the event or by `NOTIFY`) and on a
//! poll in case a hint was lost. If Redis is configured, it appends published events to the stream. Then it notifies
//! the local broadcaster; other instances are notified by the stream or the database. A [`Projection`] processes
//! published events concurrently.
//!
//! If the leader's connection fails, the lock is released. Until its next poll, the old leader may still publish. That is
//! harmless, because assigning offsets locks the row of the position. Another instance takes over within
//! `outbox.leader_retry_ms`. After any database error, the relay releases its leadership and applies again.

pub mod lag;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use diesel_async::AsyncPgConnection;
use slog::{debug, info, warn};
use tokio::task::JoinError;

use crate::error::Result;
use crate::events::bus::redis::EventStream;
use crate::events::projection::Projection;
use crate::resources::Resources;
use crate::storage::leadership::Leadership;
use crate::storage::{outbox, transaction};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::LivenessGuard;
use crate::supervision::rounds::Rounds;
use crate::telemetry::metrics::{LeaderRole, seconds};

/// The actor's name in logs and metrics.
pub const NAME: &str = "outbox_relay";

/// The role of the advisory lock.
const ROLE: &str = "relay";

/// A hint that events are waiting.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Wake;

/// Makes a leading relay publish the waiting events. Then the relay stops, which releases its leadership.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopRelay;

/// Called after each round that published events.
pub type OnPublished = Arc<dyn Fn() + Send + Sync>;

pub struct OutboxRelay {
    resources: Resources,
    stream: Option<EventStream>,
    on_published: OnPublished,
    /// Moved into a round while it runs.
    leadership: Option<Leadership>,
    rounds: Rounds,
    projection: Arc<dyn Projection>,
    /// The rounds of the projection. They run concurrently with `rounds`, which publish.
    projecting: Rounds,
    /// Whether the next round first checks that the lock is still held.
    check_due: bool,
    /// Whether the next round applies for leadership, if this relay is not the leader.
    apply_due: bool,
    retiring: bool,
    _liveness: LivenessGuard,
}

impl OutboxRelay {
    /// A relay that appends published events to `stream` and calls `on_published` after each round that published any.
    /// While it is the leader, `projection` processes the events.
    pub fn new(
        resources: &Resources,
        stream: Option<EventStream>,
        on_published: OnPublished,
        projection: Arc<dyn Projection>,
        liveness: LivenessGuard,
    ) -> Self {
        Self {
            resources: resources.named(NAME),
            stream,
            on_published,
            leadership: None,
            rounds: Rounds::default(),
            projection,
            projecting: Rounds::default(),
            check_due: false,
            apply_due: true,
            retiring: false,
            _liveness: liveness,
        }
    }

    /// Begins a round of publishing, if this relay is the leader or applies for leadership now.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        if !self.rounds.begin() {
            return;
        }
        let held = self.leadership.take();
        let apply = std::mem::take(&mut self.apply_due);
        if held.is_none() && !apply {
            self.rounds.end();
            return;
        }
        let check = std::mem::take(&mut self.check_due);
        let (resources, on_published) = (self.resources.clone(), Arc::clone(&self.on_published));
        let (stream, is_new) = (self.stream.clone(), held.is_none());
        // Runs as a separate asynchronous task, so a panic becomes an error and releases the leadership that it held.
        let task = actix_rt::spawn(async move {
            let leadership = keep_or_acquire(&resources, held, check).await?;
            if leadership.is_some() {
                // A new leader first checks whether the database still has all announced events.
                if let Some(stream) = stream.as_ref().filter(|_| is_new) {
                    stream.catch_up().await;
                }
                publish_all(&resources, stream.as_ref(), &on_published).await?;
            }
            Ok(leadership)
        });
        ctx.spawn(task.into_actor(self).map(|ended, relay, ctx| relay.end(ended, ctx)));
    }

    /// Handles the end of a round of publishing.
    fn end(&mut self, ended: Result<Result<Option<Leadership>>, JoinError>, ctx: &mut Context<Self>) {
        let again = self.rounds.end();
        self.resources.metrics.lead(LeaderRole::Relay, matches!(ended, Ok(Ok(Some(_)))));
        let published = matches!(ended, Ok(Ok(_)));
        self.resources.work.publishing.record(published, self.resources.clock.monotonic());
        match ended {
            Ok(Ok(leadership)) => {
                self.leadership = leadership;
                if self.leadership.is_some() {
                    self.project(ctx);
                } else {
                    self.projection.withdraw();
                }
                if again && self.leadership.is_some() {
                    self.begin(ctx);
                }
            }
            Ok(Err(error)) => {
                self.projection.withdraw();
                warn!(self.resources.logger, "publishing failed; leadership released";
                    "error" => %error, "cause" => error.private_cause());
            }
            Err(panic) => {
                self.projection.withdraw();
                warn!(self.resources.logger, "publishing panicked"; "cause" => %panic);
            }
        }
        if self.retiring {
            self.retire(ctx);
        }
    }

    /// Runs the projection, now or after its current round and the pause.
    fn project(&mut self, ctx: &mut Context<Self>) {
        if !self.projecting.begin() {
            return;
        }
        let projection = Arc::clone(&self.projection);
        let task = actix_rt::spawn(async move { projection.catch_up().await });
        ctx.spawn(task.into_actor(self).map(|ended, relay, ctx| {
            let logger = &relay.resources.logger;
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(logger, "projection failed; retrying"; error),
                Err(panic) => warn!(logger, "projection panicked"; "cause" => %panic),
            }
            if relay.leads() {
                ctx.run_later(relay.projection.pause(), Self::end_projecting);
            } else {
                relay.projecting.end();
                relay.projection.withdraw();
            }
        }));
    }

    fn end_projecting(&mut self, ctx: &mut Context<Self>) {
        if self.projecting.end() && self.leads() {
            self.project(ctx);
        }
    }

    /// Whether this relay is the leader, or may be because a round is running. A running round holds the leadership.
    fn leads(&self) -> bool {
        self.leadership.is_some() || !self.rounds.is_idle()
    }

    /// Stops the actor after the current round, if any.
    fn retire(&mut self, ctx: &mut Context<Self>) {
        self.retiring = true;
        if self.rounds.is_idle() {
            ctx.stop();
        }
    }
}

/// Keeps the leadership, after a check if `check` is set, or tries to acquire it. Returns `None` if this relay is not the
/// leader.
async fn keep_or_acquire(
    resources: &Resources,
    held: Option<Leadership>,
    check: bool,
) -> Result<Option<Leadership>> {
    if let Some(mut leadership) = held {
        if !check || leadership.holds().await {
            return Ok(Some(leadership));
        }
        warn!(resources.logger, "leadership lost: the database connection failed");
        return Ok(None);
    }
    let acquired = Leadership::try_acquire(&resources.database, ROLE).await?;
    if acquired.is_some() {
        info!(resources.logger, "this instance is now the leading relay"; "instance" => &*resources.instance);
    }
    Ok(acquired)
}

/// Publishes batches until one is not full, and announces them.
async fn publish_all(
    resources: &Resources,
    stream: Option<&EventStream>,
    on_published: &OnPublished,
) -> Result<()> {
    let batch = resources.settings.outbox.publish_batch;
    loop {
        let publish = async |connection: &mut AsyncPgConnection| {
            transaction::single(connection, async |connection| outbox::publish(connection, batch).await).await
        };
        let publication = resources.database.run(publish).await?;
        if publication.published > 0 {
            let wait = u64::try_from(publication.oldest_wait_us.unwrap_or(0)).unwrap_or(0);
            resources.metrics.outbox_publish_wait_seconds.observe(seconds(Duration::from_micros(wait)));
        }
        let is_due = |stream: &&EventStream| publication.published > 0 || stream.is_behind();
        if let Some(stream) = stream.filter(is_due) {
            stream.catch_up().await;
        }
        if publication.published > 0 {
            on_published();
        }
        if publication.published < i64::from(batch) {
            return Ok(());
        }
    }
}

impl Drop for OutboxRelay {
    /// Resets the metric, because an actor that has ended is not the leader.
    fn drop(&mut self) {
        self.resources.metrics.lead(LeaderRole::Relay, false);
    }
}

impl Actor for OutboxRelay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.resources.settings.actors.mailbox_capacity);
        self.resources.metrics.lead(LeaderRole::Relay, false);
        let outbox = &self.resources.settings.outbox;
        ctx.run_interval(Duration::from_millis(outbox.poll_interval_ms), |relay, ctx| {
            relay.check_due = true;
            relay.begin(ctx);
        });
        ctx.run_interval(Duration::from_millis(outbox.leader_retry_ms), |relay, ctx| {
            relay.apply_due = true;
            relay.begin(ctx);
        });
        self.begin(ctx);
        debug!(self.resources.logger, "relay started");
    }
}

impl Handler<Wake> for OutboxRelay {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.resources.faults.pass(FaultPoint::OutboxRelay, None);
        self.begin(ctx);
    }
}

impl Handler<StopRelay> for OutboxRelay {
    type Result = ();

    fn handle(&mut self, _: StopRelay, ctx: &mut Self::Context) {
        self.begin(ctx);
        self.retire(ctx);
    }
}
