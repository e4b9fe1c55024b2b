//! `GET /api/v1/admin/jobs/lanes` and `PUT /api/v1/admin/jobs/lanes/{lane}`

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::wanted::{expiry, required_reason};
use crate::actors::provider_gateway::BreakerStatus;
use crate::domain::members::{Fields, Problems, Refusal, boolean};
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::http::auth::Principal;
use crate::http::body::JsonObject;
use crate::http::extract::RequestContext;
use crate::http::problem::{Answer, Rejection};
use crate::lending::lane_admission::LaneAdmission;
use crate::queue::lanes::{self, LaneChange, PausedLane};

/// How long a lane may be paused with an end; without one it is until somebody ends it.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(30);

/// A lane of the queue that the path names, in either case.
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

/// Why a lane stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PauseView {
    /// Why.
    #[schema(example = "The bureau sends wrong reports")]
    pub reason: String,
    /// Who paused it.
    #[schema(example = "ana.garcia")]
    pub paused_by: String,
    /// Since when.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub paused_at: DateTime<Utc>,
    /// When it ends by itself; `null`: when somebody ends it.
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

/// One lane of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneView {
    /// The lane: for applications, the country's code; for retries of webhooks, `webhooks`.
    #[schema(example = "ES")]
    pub lane: &'static str,
    /// Whether operators have paused it, on every instance.
    #[schema(example = false)]
    pub paused: bool,
    /// Their pause; `null` when there is none.
    pub pause: Option<PauseView>,
    /// What the answering instance would take from it by its own circuit breaker (`when_open`): `everything`, `one_probe` or
    /// `nothing`; `null` when that instance does not know, or the lane has no circuit breaker.
    #[schema(value_type = Option<crate::http::schemas::LaneIntake>, example = "everything")]
    pub intake: Option<&'static str>,
}

/// The lanes of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneList {
    /// The answering instance: `intake` is its own.
    #[schema(example = "4711-019a5d2e7c1a7b3e9a540d7a3c1f5e21")]
    pub instance: String,
    /// The lanes.
    pub lanes: Vec<LaneView>,
}

/// The lanes of the queue, and whether they stand still.
#[utoipa::path(
    get,
    path = "/api/v1/admin/jobs/lanes",
    operation_id = "list_lanes",
    tag = "operations",
    responses((status = 200, description = "Every lane", body = LaneList)),
)]
pub(in crate::http) async fn list(state: HttpState) -> Answer {
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

/// Whether a lane is to stand still.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read member by member; this is its schema")]
pub struct LaneRequest {
    /// `true`: no instance claims its jobs. `false`: they run again.
    #[schema(example = true)]
    paused: bool,
    /// Why.
    #[schema(max_length = 500, example = "The bureau sends wrong reports")]
    reason: String,
    /// When a pause ends by itself, at most 30 days ahead; without it, when somebody ends it.
    #[schema(example = "2026-11-22T18:00:00Z")]
    expires_at: Option<DateTime<Utc>>,
}

/// Pauses a lane of the queue on every instance, or has it run again.
///
/// Applications are accepted meanwhile, and wait. Jobs that run already are not touched. Waiting uses up no attempt and has no
/// limit.
#[utoipa::path(
    put,
    path = "/api/v1/admin/jobs/lanes/{lane}",
    operation_id = "set_lane",
    tag = "operations",
    params(("lane" = String, Path, description = "The lane: for applications, the country's code", example = "ES")),
    request_body(
        content = LaneRequest,
        example = json!({"paused": true, "reason": "The bureau sends wrong reports"}),
    ),
    responses(
        (status = 200, description = "The lane", body = LaneView),
        (status = 404, description = "There is no such lane"),
    ),
)]
pub(in crate::http) async fn set(
    state: HttpState,
    principal: Principal,
    context: RequestContext,
    LanePath(lane): LanePath,
    body: JsonObject,
) -> Answer {
    let (paused, reason, expires_at) = read(&body, state.resources.clock.now())?;
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

fn read(body: &JsonObject, now: DateTime<Utc>) -> Result<(bool, String, Option<DateTime<Utc>>)> {
    let mut problems = Problems::default();
    let mut fields = Fields::new(body.members()?, "", &mut problems);
    let paused = fields.required("paused", boolean);
    let reason = fields.required("reason", required_reason);
    let end = |raw: &RawValue| match paused {
        Some(false) => Err::<_, Refusal>(("not_allowed", "only a pause has an end".to_owned())),
        _ => expiry(raw, now, LONGEST_PAUSE),
    };
    let expires_at = fields.optional("expires_at", end);
    fields.refuse_the_rest();
    match (paused, reason, problems.0.is_empty()) {
        (Some(paused), Some(reason), true) => Ok((paused, reason, expires_at)),
        _ => Err(Error::Validation(problems.0)),
    }
}
