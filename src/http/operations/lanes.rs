//! `GET /api/v1/admin/jobs/lanes` and `PUT /api/v1/admin/jobs/lanes/{lane}`

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::expiry;
use crate::actors::provider_gateway::BreakerStatus;
use crate::error::Error;
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::RequestContext;
use crate::http::problem::{HandlerResult, Rejection};
use crate::http::request::request_body;
use crate::http::request::values::required_reason;
use crate::json::{Refusal, boolean};
use crate::lending::lane_admission::LaneAdmission;
use crate::queue::lanes::{self, LaneChange, PausedLane};

/// Maximum duration of a pause with an end. A pause without one lasts until an operator ends it.
const MAX_PAUSE: TimeDelta = TimeDelta::days(30);

/// A lane from the path; case is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanePath(pub &'static str);

impl FromRequest for LanePath {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let named = request.match_info().query("lane");
        let lanes = |state: HttpState| state.tasks.lanes();
        let known = HttpState::from_request(request, payload)
            .into_inner()
            .map(lanes)
            .map(|lanes| lanes.into_iter().find(|lane| lane.eq_ignore_ascii_case(named)));
        ready(known.and_then(|known| known.map(Self).ok_or_else(|| Error::NotFound("lane").into())))
    }
}

/// The pause of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PauseView {
    /// The reason for the pause.
    #[schema(example = "The bureau sends wrong reports")]
    pub reason: String,
    /// The operator who paused the lane.
    #[schema(example = "ana.garcia")]
    pub paused_by: String,
    /// When the lane was paused.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub paused_at: DateTime<Utc>,
    /// When the pause ends; `null` if it lasts until an operator ends it.
    #[serde(serialize_with = "crate::domain::timestamp::serialize_option")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<PausedLane> for PauseView {
    fn from(paused: PausedLane) -> Self {
        Self {
            reason: paused.reason,
            paused_by: paused.paused_by,
            paused_at: paused.paused_at,
            expires_at: paused.expires_at,
        }
    }
}

/// A lane of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneView {
    /// The name of the lane: the country code for applications, "webhooks" for webhook retries, "deliveries" for
    /// deliveries to webhook endpoints, "disbursements" for steps of disbursements.
    #[schema(example = "ES")]
    pub lane: &'static str,
    /// Whether an operator has paused the lane. A pause applies on every instance.
    #[schema(example = false)]
    pub paused: bool,
    /// The pause; `null` if the lane is not paused.
    pub pause: Option<PauseView>,
    /// The jobs that the responding instance claims from the lane, depending on its circuit breaker (`when_open`):
    /// `everything`, `one_probe` or `nothing`; `null` if the lane has no circuit breaker or its state is
    /// unknown to the instance.
    #[schema(value_type = Option<crate::http::schemas::LaneIntake>, example = "everything")]
    pub intake: Option<&'static str>,
}

/// The lanes of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneList {
    /// The responding instance, to which `intake` applies.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// The lanes.
    pub lanes: Vec<LaneView>,
}

/// Lists the lanes of the queue and their pauses.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/lanes",
    operation_id = "list_lanes",
    tag = "operations",
    responses((status = 200, description = "All lanes", body = LaneList)),
)]
pub(in crate::http) async fn list(state: HttpState) -> HandlerResult {
    let paused = lanes::paused(&state.resources).await?;
    let breakers = state.operations.breakers().await;
    let lanes = state.tasks.lanes().into_iter().map(|lane| {
        let pause = paused.iter().find(|paused| paused.lane == lane);
        view(&state, lane, pause.cloned(), &breakers)
    });
    Ok(HttpResponse::Ok()
        .json(LaneList { instance: state.resources.instance.to_string(), lanes: lanes.collect() }))
}

fn view(
    state: &HttpState,
    lane: &'static str,
    pause: Option<PausedLane>,
    breakers: &[BreakerStatus],
) -> LaneView {
    let providers = &state.resources.settings.providers;
    let breaker = breakers.iter().find(|status| status.country.code() == lane);
    let intake = breaker.map(|status| LaneAdmission::of(&providers.of(status.country), &status.snapshot));
    LaneView {
        lane,
        paused: pause.is_some(),
        pause: pause.map(PauseView::from),
        intake: intake.map(|intake| match intake {
            LaneAdmission::Everything => "everything",
            LaneAdmission::OneProbe => "one_probe",
            LaneAdmission::Nothing => "nothing",
        }),
    }
}

request_body! {
    /// The requested state of a lane.
    pub struct LaneRequest given(now: DateTime<Utc>) {
        /// `true`: no instance claims jobs from the lane. `false`: its jobs are claimed again.
        #[schema(example = true)]
        paused: bool = required(boolean),
        /// The reason for the change.
        #[schema(max_length = 500, example = "The bureau sends wrong reports")]
        reason: String = required(required_reason),
        /// When the pause ends, at most 30 days ahead. By default it lasts until an operator ends it.
        #[schema(example = "2026-11-22T18:00:00Z")]
        expires_at: Option<DateTime<Utc>> = optional(|raw| pause_end(raw, paused, now)),
    }
}

/// Pauses a lane of the queue on every instance, or resumes it.
///
/// During a pause, applications are still accepted and their jobs wait. Running jobs are not affected. Waiting uses no
/// attempts and has no time limit.
#[utoipa::path(
    put,
    path = "/api/v1/admin/jobs/lanes/{lane}",
    operation_id = "set_lane",
    tag = "operations",
    params(("lane" = String, Path, description = "Name of the lane; for applications, the country code", example = "ES")),
    request_body(
        content = LaneRequest,
        example = json!({"paused": true, "reason": "The bureau sends wrong reports"}),
    ),
    responses(
        (status = 200, description = "The lane", body = LaneView),
        (status = 404, description = "Lane not found"),
    ),
)]
pub(in crate::http) async fn set(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    LanePath(lane): LanePath,
    body: JsonObject,
) -> HandlerResult {
    let request = LaneRequest::read(body.members()?, state.resources.clock.now())?;
    let LaneRequest { paused, reason, expires_at } = request;
    let wanted = LaneChange {
        lane: lane.to_owned(),
        paused,
        reason,
        account: principal.account,
        request_id: context.request_id.to_string(),
        expires_at,
    };
    let pause = lanes::set(&state.resources, &wanted).await?;
    let breakers = state.operations.breakers().await;
    Ok(HttpResponse::Ok().json(view(&state, lane, pause, &breakers)))
}

fn pause_end(raw: &RawValue, paused: Option<bool>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    match paused {
        Some(false) => Err(("not_allowed", "must be absent if paused is false".to_owned())),
        _ => expiry(raw, now, MAX_PAUSE),
    }
}
