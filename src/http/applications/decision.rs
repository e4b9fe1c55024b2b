//! `GET /api/v1/applications/{id}/decision`

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::view::{BankingView, score_text};
use crate::domain::decision::{
    Decision, Outcome, RiskBand, RuleKind, RuleOutcome, RuleResult, StoredDecision, public_reasons,
};
use crate::domain::ids::{ApplicationId, DecisionId};
use crate::http::HttpState;
use crate::http::extract::ApplicationPath;
use crate::http::problem::Answer;
use crate::lending::{Caller, Visibility};

/// A decision, explained.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DecisionView {
    /// What becomes of the application.
    #[schema(value_type = crate::http::schemas::DecisionStatus)]
    pub status: Outcome,
    /// 0.00 to 100.00, higher is riskier; `null` when it cannot be known.
    #[schema(example = "25.96")]
    pub risk_score: Option<String>,
    /// The band of the risk.
    #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
    pub risk_band: Option<RiskBand>,
    /// Up to four reason codes, the weightiest first.
    #[schema(value_type = Vec<crate::http::schemas::DecisionReason>, example = json!(["DTI_TOO_HIGH"]))]
    pub reasons: Vec<String>,
    /// Every rule, in the order of the rule pack.
    pub rules: Vec<RuleView>,
    /// The content hash of the rule pack that decided.
    #[schema(example = "es-0123456789abcdef")]
    pub rules_version: String,
}

/// One rule of a decision, with all that it looked at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RuleView {
    /// The stable code.
    #[schema(value_type = crate::http::schemas::RuleCode, example = "DTI_TOO_HIGH")]
    pub code: String,
    /// What breaking it leads to.
    #[schema(value_type = crate::http::schemas::RuleKindName)]
    pub kind: RuleKind,
    /// The rule in words, with its threshold.
    pub description: String,
    /// What it looked at, by name; `null` where the bureau did not tell.
    #[schema(value_type = Object)]
    pub inputs: BTreeMap<String, Value>,
    /// The limit that it compared with; `null` where there is none.
    #[schema(example = "0.4")]
    pub threshold: Option<String>,
    /// How it came out.
    #[schema(value_type = crate::http::schemas::RuleResultName)]
    pub result: RuleResult,
}

impl From<Decision> for DecisionView {
    fn from(decision: Decision) -> Self {
        Self {
            status: decision.status,
            risk_score: decision.risk_score.map(score_text),
            risk_band: decision.risk_score.map(RiskBand::of),
            reasons: decision.reasons,
            rules: decision.rules.into_iter().map(RuleView::from).collect(),
            rules_version: decision.rules_version,
        }
    }
}

impl From<RuleOutcome> for RuleView {
    fn from(rule: RuleOutcome) -> Self {
        Self {
            code: rule.code,
            kind: rule.kind,
            description: rule.description,
            inputs: rule.inputs,
            threshold: rule.threshold,
            result: rule.result,
        }
    }
}

/// What an application's last decision was, and on what it was made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StoredDecisionView {
    /// The decision's identifier.
    #[schema(value_type = uuid::Uuid)]
    pub id: DecisionId,
    /// The application.
    #[schema(value_type = uuid::Uuid)]
    pub application_id: ApplicationId,
    /// When it was made.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub decided_at: DateTime<Utc>,
    /// The decision.
    #[serde(flatten)]
    pub decision: DecisionView,
    /// What the bureau was taken to have said.
    pub banking_data: Option<BankingView>,
}

impl StoredDecisionView {
    /// What the applicant sees: the reasons that are public.
    fn for_applicant(mut stored: StoredDecision) -> Self {
        let decision = &mut stored.decision;
        decision.reasons = public_reasons(decision.status, std::mem::take(&mut decision.reasons));
        stored.into()
    }
}

impl From<StoredDecision> for StoredDecisionView {
    fn from(stored: StoredDecision) -> Self {
        Self {
            id: stored.id,
            application_id: stored.application_id,
            decided_at: stored.decided_at,
            decision: stored.decision.into(),
            banking_data: stored.case.get("banking_data").and_then(BankingView::read),
        }
    }
}

/// The last decision on an application, explained.
///
/// Applicants see the public reason codes; internal ones are for staff, and `MANUAL_REVIEW` stands for them where no other
/// is left.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/decision",
    operation_id = "get_application_decision",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "The application"),
    ),
    responses(
        (status = 200, description = "The decision", body = StoredDecisionView),
        (status = 404, description = "There is no such application for this caller, or no decision yet"),
    ),
)]
pub(in crate::http) async fn decision(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
) -> Answer {
    let stored = state.lending.latest_decision(&caller, id).await?;
    let view = match caller.may_see {
        Visibility::All => StoredDecisionView::from(stored),
        Visibility::OwnedBy(_) => StoredDecisionView::for_applicant(stored),
    };
    Ok(HttpResponse::Ok().json(view))
}
