//! `GET /api/v1/applications/{id}/decision`

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::view::{BankingView, score_text};
use crate::domain::decision::{
    Decision, Outcome, RiskBand, RiskComponent, RiskPart, RuleKind, RuleOutcome, RuleResult, StoredDecision,
    public_reasons,
};
use crate::domain::ids::{ApplicationId, DecisionId};
use crate::http::HttpState;
use crate::http::extract::ApplicationPath;
use crate::http::problem::HandlerResult;
use crate::lending::{Caller, Visibility};

/// A decision with its explanation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DecisionView {
    /// The outcome for the application.
    #[schema(value_type = crate::http::schemas::DecisionStatus)]
    pub status: Outcome,
    /// 0.00 to 100.00, higher is riskier; `null` if it cannot be calculated.
    #[schema(example = "25.96")]
    pub risk_score: Option<String>,
    /// The risk band that the score falls into.
    #[schema(value_type = Option<crate::http::schemas::RiskBandName>)]
    pub risk_band: Option<RiskBand>,
    /// The parts of the risk score, which add up to it; `null` if there is no score or an earlier version made the
    /// decision.
    pub risk_components: Option<Vec<RiskComponentView>>,
    /// Up to four reason codes, most significant first.
    #[schema(value_type = Vec<crate::http::schemas::DecisionReason>, example = json!(["DTI_TOO_HIGH"]))]
    pub reasons: Vec<String>,
    /// All rules, in the order of the rule pack.
    pub rules: Vec<RuleView>,
    /// The content hash of the rule pack that was used.
    #[schema(example = "es-0123456789abcdef")]
    pub rules_version: String,
}

/// A part of the risk score.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RiskComponentView {
    /// What the points are for. `cap`: the maximum of 100 was exceeded; `minimum`: the minimum of a rejected application.
    #[schema(value_type = crate::http::schemas::RiskPartName)]
    pub component: RiskPart,
    /// The points, with two decimals; negative only for `cap`.
    #[schema(example = "12.34")]
    pub points: String,
}

impl From<RiskComponent> for RiskComponentView {
    fn from(part: RiskComponent) -> Self {
        Self { component: part.component, points: score_text(part.points) }
    }
}

/// One evaluated rule with its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RuleView {
    /// The stable code of the rule.
    #[schema(value_type = crate::http::schemas::RuleCode, example = "DTI_TOO_HIGH")]
    pub code: String,
    /// Whether a violation rejects the application or requires a review.
    #[schema(value_type = crate::http::schemas::RuleKindName)]
    pub kind: RuleKind,
    /// A description of the rule, including its threshold.
    pub description: String,
    /// The input values by name; `null` if the bureau did not provide them.
    #[schema(value_type = Object)]
    pub inputs: BTreeMap<String, Value>,
    /// The limit that the inputs were compared with; `null` if there is none.
    #[schema(example = "0.4")]
    pub threshold: Option<String>,
    /// The result of the evaluation.
    #[schema(value_type = crate::http::schemas::RuleResultName)]
    pub result: RuleResult,
}

impl From<Decision> for DecisionView {
    fn from(decision: Decision) -> Self {
        Self {
            status: decision.status,
            risk_score: decision.risk_score.map(score_text),
            risk_band: decision.risk_score.map(RiskBand::of),
            risk_components: decision
                .risk_components
                .map(|parts| parts.into_iter().map(From::from).collect()),
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

/// The latest decision on an application and the data it was based on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StoredDecisionView {
    /// The identifier of the decision.
    #[schema(value_type = uuid::Uuid)]
    pub id: DecisionId,
    /// The identifier of the application.
    #[schema(value_type = uuid::Uuid)]
    pub application_id: ApplicationId,
    /// Time of the decision.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub decided_at: DateTime<Utc>,
    /// The decision.
    #[serde(flatten)]
    pub decision: DecisionView,
    /// The banking data that the decision was based on.
    pub banking_data: Option<BankingView>,
}

impl StoredDecisionView {
    /// The owner's view, which contains only the public reasons.
    fn for_owner(mut stored: StoredDecision) -> Self {
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

/// Returns the latest decision on an application with its explanation.
///
/// Owners see only the public reason codes. If there are none, `MANUAL_REVIEW` is shown instead of the internal
/// ones.
#[utoipa::path(
    get,
    path = "/api/v1/applications/{id}/decision",
    operation_id = "get_application_decision",
    tag = "applications",
    params(
        ("id" = uuid::Uuid, Path, description = "Identifier of the application"),
    ),
    responses(
        (status = 200, description = "The decision", body = StoredDecisionView),
        (status = 404, description = "Application not found or not visible to the caller, or no decision yet"),
    ),
)]
pub(in crate::http) async fn decision(
    state: HttpState,
    caller: Caller,
    ApplicationPath(id): ApplicationPath,
) -> HandlerResult {
    let stored = state.lending.latest_decision(&caller, id).await?;
    let view = match caller.may_see {
        Visibility::All => StoredDecisionView::from(stored),
        Visibility::OwnedBy(_) => StoredDecisionView::for_owner(stored),
    };
    Ok(HttpResponse::Ok().json(view))
}
