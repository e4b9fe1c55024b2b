//! `GET /api/v1/admin/actors`

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::{view_recorder, write_batcher};
use crate::config::InstanceRole;
use crate::http::HttpState;
use crate::http::problem::HandlerResult;

/// A permanent actor of the responding instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActorView {
    /// The name of the actor.
    #[schema(example = "write_batcher")]
    pub actor: &'static str,
    /// Whether the actor is running; for several of the same name, whether all are.
    pub alive: bool,
    /// Number of restarts after a failure.
    #[schema(example = 0)]
    pub restarts: u64,
    /// Number of messages or writes that wait or are being handled.
    #[schema(example = 0)]
    pub waiting: i64,
    /// Maximum number of waiting messages or writes; further ones are refused.
    #[schema(example = 4096)]
    pub capacity: u64,
}

/// The pool of job actors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolView {
    /// Number of running jobs.
    #[schema(example = 3)]
    pub running: u64,
    /// Maximum number of running jobs.
    #[schema(example = 600)]
    pub size: u64,
}

/// The actors of the responding instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActorList {
    /// The responding instance.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// The roles of the instance: `api`, `worker`, `relay`.
    #[schema(example = json!(["api", "worker", "relay"]))]
    pub roles: Vec<&'static str>,
    /// The permanent actors of these roles.
    pub actors: Vec<ActorView>,
    /// The pool of job actors, which are started per job.
    pub applications: PoolView,
}

/// Lists the actors of the responding instance with their state, restarts and queues.
#[utoipa::path(
    get,
    path = "/api/v1/admin/actors",
    operation_id = "list_actors",
    tag = "operations",
    responses((status = 200, description = "The actors of this instance", body = ActorList)),
)]
pub(in crate::http) async fn list(state: HttpState) -> HandlerResult {
    let report = state.health.report().await;
    let actors = report.actors.into_iter().map(|health| ActorView {
        actor: health.actor,
        alive: health.alive,
        restarts: health.restarts,
        waiting: waiting(&state, health.actor),
        capacity: capacity(&state, health.actor),
    });
    let (running, instance_settings) = (&state.operations.running, &state.resources.settings.instance);
    Ok(HttpResponse::Ok().json(ActorList {
        instance: state.resources.instance.to_string(),
        roles: InstanceRole::ALL
            .into_iter()
            .filter(|role| instance_settings.is(*role))
            .map(InstanceRole::name)
            .collect(),
        actors: actors.collect(),
        applications: PoolView {
            running: u64::try_from(running.len()).unwrap_or(u64::MAX),
            size: u64::try_from(running.pool_size()).unwrap_or(u64::MAX),
        },
    }))
}

fn waiting(state: &HttpState, actor: &str) -> i64 {
    state.resources.metrics.actor_mailbox_depth.with_label_values(&[actor]).get()
}

fn capacity(state: &HttpState, actor: &str) -> u64 {
    let settings = &state.resources.settings;
    let capacity = match actor {
        write_batcher::NAME => {
            let write_batchers = usize::try_from(settings.actors.write_batchers).unwrap_or(usize::MAX);
            settings.actors.write_queue_capacity.saturating_mul(write_batchers)
        }
        view_recorder::NAME => settings.staff_views.queue,
        _ => settings.actors.mailbox_capacity,
    };
    u64::try_from(capacity).unwrap_or(u64::MAX)
}
