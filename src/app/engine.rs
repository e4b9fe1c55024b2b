//! The engine: everything except the HTTP server.

use std::sync::Arc;

use actix::{Actor, Context};
use slog::info;
use tokio_util::sync::CancellationToken;

use super::bureaus::{endpoints, start_simulator};
use super::event_types::event_types;
use super::rails::{rail_gateway, start_rail_simulator};
use super::shared::{Readers, Shared};
use crate::accounts::Accounts;
use crate::actors::broadcaster::{self, Broadcaster, Sessions};
use crate::actors::event_consumer::{self, ConsumerHandles};
use crate::actors::housekeeper::{self, Housekeeper};
use crate::actors::ingest_writer::{self, IngestQueue, IngestWriter};
use crate::actors::job::JobParts;
use crate::actors::outbox_relay::{self, OutboxRelay};
use crate::actors::provider_gateway;
use crate::actors::provider_gateway::events::{self, CircuitEvents};
use crate::actors::provider_gateway::overrides::{self, CircuitOverrides};
use crate::actors::provider_gateway::{Endpoint, GatewayParts, ProviderGateway};
use crate::actors::scheduler::{self, Scheduler};
use crate::actors::supervisor::{self, Supervisor};
use crate::actors::view_recorder::{self, ViewLog, ViewRecorder};
use crate::actors::write_batcher::{self, CommitHook, WriteBatcher, WriteBatchers, Written};
use crate::clock::Clock;
use crate::config::{InstanceRole, Settings};
use crate::countries::Countries;
use crate::deliveries::Deliveries;
use crate::deliveries::admission::Admission;
use crate::deliveries::deliver::DeliverWebhook;
use crate::deliveries::fan_out::WebhookFanOut;
use crate::domain::application::Country;
use crate::error::Result;
use crate::events::consumers::{AnyConsumer, Consumers};
use crate::events::feed::Feed;
use crate::events::notifications;
use crate::lending::confirm::WebhookReceiver;
use crate::lending::confirm::retry::RetryWebhookEvent;
use crate::lending::disburse::step::DisbursementStep;
use crate::lending::process::ProcessCreditApplication;
use crate::lending::statistics::ApplicationStatistics;
use crate::providers::simulator::Simulator;
use crate::queue::running_jobs::RunningJobs;
use crate::queue::task::{AnyTask, Tasks};
use crate::rails::simulator::RailSimulator;
use crate::resources::Resources;
use crate::storage::Database;
use crate::storage::listener::Notification;
use crate::storage::observer::StatementObserver;
use crate::storage::seal::KeyRing;
use crate::supervision::faults::Faults;
use crate::supervision::handle::{Handle, LivenessGuard};
use crate::supervision::root::{Arbiters, Root};
use crate::telemetry::Telemetry;

/// The handles of the permanent actors. If this instance does not have the role of an actor, the actor's handle stays
/// vacant. Hints to it are dropped, because the database notifies the instances that have the role.
#[derive(Clone)]
pub struct Handles {
    pub scheduler: Handle<Scheduler>,
    pub supervisor: Handle<Supervisor>,
    pub gateway: Handle<ProviderGateway>,
    pub relay: Handle<OutboxRelay>,
    pub broadcaster: Handle<Broadcaster>,
    pub consumers: ConsumerHandles,
    pub housekeeper: Handle<Housekeeper>,
    pub view_recorder: Handle<ViewRecorder>,
}

impl Handles {
    fn readers(&self) -> Readers {
        Readers { broadcaster: self.broadcaster.clone(), consumers: Arc::clone(&self.consumers) }
    }
}

/// Everything except the HTTP server.
pub struct Engine {
    pub resources: Resources,
    pub accounts: Accounts,
    pub write_batchers: WriteBatchers,
    pub countries: Arc<Countries>,
    /// The built-in simulator, if a country uses it.
    pub simulator: Option<Simulator>,
    /// The simulated payment rails, if a rail uses them.
    pub rail_simulator: Option<RailSimulator>,
    pub handles: Handles,
    /// The registry of tasks.
    pub tasks: Tasks,
    /// The registry of consumers.
    pub consumers: Consumers,
    /// The feed of published events.
    pub feed: Feed,
    pub running: RunningJobs,
    pub overrides: CircuitOverrides,
    /// Audit views that are not written yet.
    pub views: ViewLog,
    /// The WebSocket sessions of this instance.
    pub sessions: Sessions,
    /// Called after each commit.
    pub on_commit: CommitHook,
    pub webhooks: WebhookReceiver,
    /// The webhook endpoints of other systems.
    pub deliveries: Deliveries,
    /// Redis, the event bus and the cache.
    pub shared: Shared,
    /// Cancelled if an essential part cannot be kept running.
    pub fatal: CancellationToken,
    /// The events that wait to be stored.
    pub ingest: IngestQueue,
    pub(super) write_batcher_handles: Vec<Handle<WriteBatcher>>,
    pub(super) ingest_writers: Vec<Handle<IngestWriter>>,
    pub(super) root: Root,
    pub(super) arbiters: Arc<Arbiters>,
}

impl Engine {
    /// Builds the engine on the migrated database at `url` and starts its actors.
    ///
    /// # Errors
    /// If a part cannot be built; the message identifies it.
    pub async fn start(
        settings: Arc<Settings>,
        url: &str,
        telemetry: Telemetry,
        clock: Clock,
        fatal: CancellationToken,
    ) -> Result<Self> {
        let secrets = settings.complete_secrets(&clock)?;
        let keys = KeyRing::of(&secrets)?;
        let observer = StatementObserver::new(&telemetry.metrics, &clock);
        let database = Database::connect(url, &settings.database, Arc::new(keys), Some(observer)).await?;
        let resources = Resources {
            database,
            secrets: Arc::new(secrets),
            metrics: telemetry.metrics,
            tracer: telemetry.tracer,
            work: Arc::default(),
            faults: Arc::new(Faults::new(settings.faults.injection)),
            instance: telemetry.instance,
            clock,
            logger: telemetry.logger,
            settings,
        };
        let accounts = Accounts::new(
            resources.database.clone(),
            &resources.settings.accounts,
            &resources.secrets.jwt,
            resources.clock.clone(),
            resources.named("accounts").logger,
        )?;
        let shared = Shared::new(&resources)?;
        shared.check_redis(&resources).await?;
        let countries = Arc::new(Countries::load(resources.settings.countries_dir.as_deref())?);
        let simulator = start_simulator(&resources).await?;
        let rail_simulator = start_rail_simulator(&resources).await?;
        let overrides = CircuitOverrides::new(resources.clock.clone());
        overrides.refresh(&resources.database).await?;
        let endpoints = match resources.settings.instance.is(InstanceRole::Worker) {
            true => endpoints(&resources.settings, simulator.as_ref())?,
            false => Vec::new(),
        };
        let arbiters = Arc::new(Arbiters::start(resources.settings.actors.arbiter_count()));
        // Register a new consumer here.
        let consumers = Consumers::new([Arc::new(WebhookFanOut) as Arc<dyn AnyConsumer>]);
        let handles = Handles {
            consumers: consumers.iter().map(|_| Handle::vacant(event_consumer::NAME)).collect(),
            scheduler: Handle::vacant(scheduler::NAME),
            supervisor: Handle::vacant(supervisor::NAME),
            gateway: Handle::vacant(provider_gateway::NAME),
            relay: Handle::vacant(outbox_relay::NAME),
            broadcaster: Handle::vacant(broadcaster::NAME),
            housekeeper: Handle::vacant(housekeeper::NAME),
            view_recorder: Handle::vacant(view_recorder::NAME),
        };
        let on_commit = commit_hook(&handles);
        let webhooks = WebhookReceiver::new(&resources, Arc::clone(&countries), Arc::clone(&on_commit));
        let write_batcher_handles: Vec<Handle<WriteBatcher>> = (0..resources.settings.actors.write_batchers)
            .map(|_| Handle::vacant(write_batcher::NAME))
            .collect();
        let write_batchers = WriteBatchers::new(write_batcher_handles.iter().cloned());
        let ingest_writers: Vec<Handle<IngestWriter>> =
            (0..resources.settings.ingest.writers).map(|_| Handle::vacant(ingest_writer::NAME)).collect();
        // Register a new task here.
        let tasks: [Box<dyn AnyTask>; 4] = [
            Box::new(ProcessCreditApplication {
                resources: resources.clone(),
                write_batchers: write_batchers.clone(),
                gateway: handles.gateway.clone(),
                countries: Arc::clone(&countries),
            }),
            Box::new(RetryWebhookEvent {
                resources: resources.clone(),
                write_batchers: write_batchers.clone(),
                webhooks: webhooks.clone(),
            }),
            Box::new(DeliverWebhook {
                resources: resources.clone(),
                write_batchers: write_batchers.clone(),
                admission: Admission::of(&resources),
                on_commit: Arc::clone(&on_commit),
            }),
            Box::new(DisbursementStep {
                resources: resources.named("disbursements"),
                write_batchers: write_batchers.clone(),
                rails: rail_gateway(&resources, rail_simulator.as_ref()),
                on_commit: Arc::clone(&on_commit),
            }),
        ];
        let types = Arc::new(event_types());
        let deliveries = Deliveries::new(&resources, accounts.clone(), types, Arc::clone(&on_commit));
        let engine = Self {
            deliveries,
            write_batchers,
            tasks: Tasks::new(tasks),
            consumers,
            feed: shared.feed(&resources),
            running: RunningJobs::new(resources.settings.slots()),
            overrides,
            views: ViewLog::new(&resources, handles.view_recorder.clone()),
            sessions: Sessions::new(&resources.settings.websocket, Arc::clone(&resources.metrics)),
            ingest: IngestQueue::new(&resources.settings.ingest, &resources.metrics),
            root: Root::new(&resources, Arc::clone(&arbiters), fatal.clone()),
            resources,
            accounts,
            countries,
            simulator,
            rail_simulator,
            handles,
            on_commit,
            webhooks,
            shared,
            fatal,
            write_batcher_handles,
            ingest_writers,
            arbiters,
        };
        engine.keep_write_batchers();
        if engine.is(InstanceRole::Worker) {
            engine.keep_gateway(endpoints);
            engine.keep_overrides();
            engine.keep_workers();
            engine.keep_housekeeping();
        }
        if engine.is(InstanceRole::Relay) {
            engine.keep_relay();
        }
        if engine.is(InstanceRole::Consumer) {
            engine.keep_consumers();
        }
        if engine.is(InstanceRole::Api) {
            engine.keep_broadcaster();
            engine.keep_views();
            engine.keep_ingest_writers();
        }
        engine.shared.keep(&engine.root, &engine.resources, &engine.handles.readers());
        engine.keep_listening();
        engine.wait_alive().await;
        info!(engine.resources.logger, "actors started"; "instance" => &*engine.resources.instance,
            "roles" => engine.role_names().join(","));
        Ok(engine)
    }

    fn is(&self, role: InstanceRole) -> bool {
        self.resources.settings.instance.is(role)
    }

    fn role_names(&self) -> Vec<&'static str> {
        InstanceRole::ALL.into_iter().filter(|role| self.is(*role)).map(InstanceRole::name).collect()
    }

    /// Actors start on their own threads. Work must wait until all actors of this instance's roles are alive.
    async fn wait_alive(&self) {
        for write_batcher in &self.write_batcher_handles {
            write_batcher.wait_alive().await;
        }
        if self.is(InstanceRole::Worker) {
            self.handles.gateway.wait_alive().await;
            self.handles.supervisor.wait_alive().await;
            self.handles.scheduler.wait_alive().await;
            self.handles.housekeeper.wait_alive().await;
        }
        if self.is(InstanceRole::Relay) {
            self.handles.relay.wait_alive().await;
        }
        if self.is(InstanceRole::Consumer) {
            for consumer in self.handles.consumers.iter() {
                consumer.wait_alive().await;
            }
        }
        if self.is(InstanceRole::Api) {
            self.handles.broadcaster.wait_alive().await;
            self.handles.view_recorder.wait_alive().await;
            for writer in &self.ingest_writers {
                writer.wait_alive().await;
            }
        }
    }

    /// Starts a permanent actor and restarts it after failures (see [`Root::keep`]).
    fn keep<A>(&self, handle: &Handle<A>, build: impl Fn(LivenessGuard) -> A + Clone + Send + 'static)
    where
        A: Actor<Context = Context<A>>,
    {
        self.root.keep(handle, self.resources.settings.actors.mailbox_capacity, build);
    }

    fn keep_write_batchers(&self) {
        let capacity = self.resources.settings.actors.write_queue_capacity;
        for handle in &self.write_batcher_handles {
            let (resources, on_commit) = (self.resources.clone(), Arc::clone(&self.on_commit));
            self.root.keep(handle, capacity, move |liveness| {
                WriteBatcher::new(&resources, Arc::clone(&on_commit), liveness)
            });
        }
    }

    fn keep_ingest_writers(&self) {
        for handle in &self.ingest_writers {
            let (resources, queue) = (self.resources.clone(), self.ingest.clone());
            self.keep(handle, move |liveness| IngestWriter::new(&resources, queue.clone(), liveness));
        }
    }

    fn keep_gateway(&self, endpoints: Vec<Endpoint>) {
        let (housekeeper, scheduler) = (self.handles.housekeeper.clone(), self.handles.scheduler.clone());
        let circuit_events =
            CircuitEvents::new(self.resources.clock.clone(), Arc::clone(&self.resources.instance));
        let parts = GatewayParts {
            endpoints,
            mailbox_capacity: self.resources.settings.actors.mailbox_capacity,
            clock: self.resources.clock.clone(),
            metrics: Arc::clone(&self.resources.metrics),
            faults: Arc::clone(&self.resources.faults),
            logger: self.resources.logger.clone(),
            overrides: self.overrides.clone(),
            events: circuit_events.clone(),
            on_recovered: Some(Arc::new(move |_: Country| {
                housekeeper.hint(housekeeper::Wake);
                scheduler.hint(scheduler::Wake);
            })),
        };
        self.keep(&self.handles.gateway, move |liveness| ProviderGateway::new(parts.clone(), liveness));
        let resources = self.resources.named(events::NAME);
        self.root.keep_task(events::NAME, move || circuit_events.clone().write(resources.clone()));
    }

    fn keep_overrides(&self) {
        let (overrides, gateway) = (self.overrides.clone(), self.handles.gateway.clone());
        let resources = self.resources.named(overrides::NAME);
        self.root
            .keep_task(overrides::NAME, move || overrides.clone().follow(resources.clone(), gateway.clone()));
    }

    fn keep_workers(&self) {
        let parts = JobParts {
            resources: self.resources.clone(),
            write_batchers: self.write_batchers.clone(),
            tasks: self.tasks.clone(),
            running: self.running.clone(),
        };
        let (supervisor_parts, arbiters) = (parts.clone(), Arc::clone(&self.arbiters));
        let (supervisor, scheduler) = (self.handles.supervisor.clone(), self.handles.scheduler.clone());
        let slot_freed: supervisor::SlotFreed = Arc::new(move || scheduler.hint(scheduler::SlotFreed));
        self.keep(&self.handles.supervisor, move |liveness| {
            Supervisor::new(
                supervisor_parts.clone(),
                Arc::clone(&arbiters),
                supervisor.clone(),
                Arc::clone(&slot_freed),
                liveness,
            )
        });
        let supervisor = self.handles.supervisor.clone();
        self.keep(&self.handles.scheduler, move |liveness| {
            Scheduler::new(parts.clone(), supervisor.clone(), liveness)
        });
    }

    fn keep_relay(&self) {
        let on_published = self.shared.on_published(&self.handles.readers());
        let (resources, stream) = (self.resources.clone(), self.shared.stream.clone());
        let statistics = Arc::new(ApplicationStatistics::new(&resources));
        self.keep(&self.handles.relay, move |liveness| {
            let (on_published, projection) = (Arc::clone(&on_published), Arc::clone(&statistics));
            OutboxRelay::new(&resources, stream.clone(), on_published, projection, liveness)
        });
        let watched = self.resources.named(outbox_relay::lag::NAME);
        self.root.keep_task(outbox_relay::lag::NAME, move || outbox_relay::lag::watch(watched.clone()));
    }

    fn keep_consumers(&self) {
        for (consumer, handle) in self.consumers.iter().zip(self.handles.consumers.iter()) {
            let sources = self.shared.consumer_sources(&self.resources);
            event_consumer::keep(&self.root, handle, &self.resources, Arc::clone(consumer), sources);
        }
    }

    fn keep_broadcaster(&self) {
        let (resources, sessions) = (self.resources.clone(), self.sessions.clone());
        let (bus, types) = (self.shared.broadcaster_bus(), Arc::new(event_types()));
        self.keep(&self.handles.broadcaster, move |liveness| {
            Broadcaster::new(&resources, Arc::clone(&bus), Arc::clone(&types), sessions.clone(), liveness)
        });
    }

    fn keep_housekeeping(&self) {
        let (resources, gateway) = (self.resources.clone(), self.handles.gateway.clone());
        self.keep(&self.handles.housekeeper, move |liveness| {
            Housekeeper::new(&resources, gateway.clone(), liveness)
        });
    }

    fn keep_views(&self) {
        let (resources, views) = (self.resources.clone(), self.views.clone());
        self.keep(&self.handles.view_recorder, move |liveness| {
            ViewRecorder::new(&resources, views.clone(), liveness)
        });
    }

    fn keep_listening(&self) {
        let (resources, handles) = (self.resources.named(notifications::NAME), self.handles.clone());
        let (accounts, overrides) = (self.accounts.clone(), self.overrides.clone());
        let on_notification = self.shared.on_notification(&self.handles.readers());
        self.root.keep_task(notifications::NAME, move || {
            let (handles, accounts, accounts_on_listening) =
                (handles.clone(), accounts.clone(), accounts.clone());
            let (overrides, on_notification) = (overrides.clone(), Arc::clone(&on_notification));
            let dispatch = Arc::new(move |notification| match notification {
                Notification::Circuits => overrides.wake(),
                Notification::Accounts => accounts.forget(),
                Notification::Jobs => handles.scheduler.hint(scheduler::Wake),
                Notification::Outbox => handles.relay.hint(outbox_relay::Wake),
                Notification::Published(end) => on_notification(end),
            });
            let on_listening = Arc::new(move |listening| accounts_on_listening.set_listening(listening));
            notifications::forward(resources.clone(), dispatch, on_listening)
        });
    }
}

/// Wakes the actors of this instance directly after its own commits, without waiting for `NOTIFY`.
fn commit_hook(handles: &Handles) -> CommitHook {
    let handles = handles.clone();
    Arc::new(move |written: Written| {
        if written.jobs {
            handles.scheduler.hint(scheduler::Wake);
        }
        if written.events {
            handles.relay.hint(outbox_relay::Wake);
        }
    })
}
