//! The results of a run: each application, and statistics.

use std::time::Duration;

use serde::Serialize;

use super::cases::DemoCase;
use super::client::Answer;
use super::history::{Decided, Histories, Violations};
use super::latency::{Figures, GOAL_P50, as_ms, as_ms_or_null};
use crate::domain::decision::{PROVIDER_UNAVAILABLE, RiskBand};
use crate::domain::ids::ApplicationId;
use crate::domain::personal_data::IdentityDocument;
use crate::domain::status::Status;
use crate::error::{Error, PublicMessage, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
/// A phase of the run.
pub(super) enum Phase {
    /// Sequential: each application is sent after the decision on the previous one. Measures an idle server.
    Measured,
    /// Many concurrent applications.
    Burst,
    /// Many concurrent applications whose bureau fails.
    Outages,
}

impl Phase {
    /// The printed name.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Burst => "burst",
            Self::Outages => "outages",
        }
    }
}

/// A sent application.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) phase: Phase,
    pub(super) case: DemoCase,
    /// Document in the request, normalized.
    pub(super) document: IdentityDocument,
    pub(super) sent_at: Duration,
    pub(super) answer: Answer,
    pub(super) decided: Option<Decided>,
    /// Reason codes of the decision, once fetched.
    pub(super) reasons: Option<Vec<String>>,
}

impl Submission {
    /// The application's identifier, if it was accepted.
    pub(super) fn id(&self) -> Option<ApplicationId> {
        match self.answer {
            Answer::Accepted { id, .. } => Some(id),
            Answer::Refused(_) => None,
        }
    }

    /// Whether the application was accepted but not decided yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.decided.is_none() && self.id().is_some()
    }

    fn was_decided_without_bureau(&self) -> bool {
        self.reasons.iter().flatten().any(|reason| reason == PROVIDER_UNAVAILABLE)
    }

    /// Time from the 201 to the update with the decision. Zero if the update arrives first.
    pub(super) fn accepted_to_pushed(&self) -> Option<Duration> {
        match self.answer {
            Answer::Accepted { at, .. } => Some(self.decided?.at.saturating_sub(at)),
            Answer::Refused(_) => None,
        }
    }

    /// Time from sending the request to the update with the decision.
    pub(super) fn sent_to_pushed(&self) -> Option<Duration> {
        Some(self.decided?.at.saturating_sub(self.sent_at))
    }

    /// The risk score and its band, if decided and known.
    pub(super) fn risk(&self) -> Option<(String, RiskBand)> {
        let score = self.decided?.risk_score?;
        Some((format!("{score:.2}"), RiskBand::of(score)))
    }

    pub(super) fn masked_document(&self) -> String {
        self.document.masked()
    }
}

/// Statistics of one phase.
#[derive(Debug, Serialize)]
pub(super) struct PhaseFigures {
    pub(super) phase: Phase,
    pub(super) sent: usize,
    pub(super) decided: usize,
    pub(super) accepted_to_pushed: Option<Figures>,
    pub(super) sent_to_pushed: Option<Figures>,
}

/// Whether the latency goal of docs/specification.md, section 1, was met.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Goal {
    #[serde(rename = "p50_below_ms", serialize_with = "as_ms")]
    below: Duration,
    /// `null` if nothing was measured.
    pub(super) met: Option<bool>,
}

/// Statistics of the WebSocket.
#[derive(Debug, Serialize)]
pub(super) struct Pushed {
    /// Received updates, including those of other clients.
    pub(super) updates: usize,
    /// Updates expected for this run: three per decided application.
    pub(super) expected_updates: usize,
    #[serde(flatten)]
    pub(super) faults: Violations,
}

/// One application in the `--json` output.
#[derive(Debug, Serialize)]
struct ApplicationRecord<'a> {
    id: Option<ApplicationId>,
    phase: Phase,
    country: &'static str,
    full_name: &'a str,
    identity_document: String,
    requested_amount: String,
    currency: &'static str,
    status: Option<Status>,
    expected_status: Status,
    risk_score: Option<String>,
    risk_band: Option<RiskBand>,
    reasons: &'a [String],
    refused: Option<&'a str>,
    #[serde(rename = "accepted_to_pushed_ms", serialize_with = "as_ms_or_null")]
    accepted_to_pushed: Option<Duration>,
}

/// The report on a run, for `--json` and the closing lines.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) phases: Vec<PhaseFigures>,
    pub(super) goal: Goal,
    pub(super) websocket: Pushed,
    pub(super) sent: usize,
    pub(super) decided: usize,
    /// Decided as expected with simulated bureaus.
    pub(super) as_expected: usize,
    /// Decided without a report because the bureau failed or its breaker is open.
    pub(super) without_bureau: usize,
    pub(super) refused: usize,
    /// Accepted but not decided within the deadline.
    pub(super) undecided: usize,
    applications: Vec<ApplicationRecord<'a>>,
}

impl<'a> Report<'a> {
    /// Computes the report.
    pub(super) fn new(submissions: &'a [Submission], histories: &Histories) -> Self {
        let phases: Vec<PhaseFigures> = [Phase::Measured, Phase::Burst, Phase::Outages]
            .into_iter()
            .filter_map(|phase| figures_of(phase, submissions))
            .collect();
        let measured = phases.iter().find(|figures| figures.phase == Phase::Measured);
        let p50 = measured.and_then(|figures| figures.accepted_to_pushed).map(|figures| figures.p50);
        let count = |test: fn(&Submission) -> bool| submissions.iter().filter(|sent| test(sent)).count();
        let ours = submissions.iter().filter_map(Submission::id);
        Self {
            goal: Goal { below: GOAL_P50, met: p50.map(|p50| p50 < GOAL_P50) },
            websocket: Pushed {
                updates: histories.received(),
                expected_updates: count(|sent| sent.decided.is_some()) * 3,
                faults: histories.faults(ours),
            },
            sent: submissions.len(),
            decided: count(|sent| sent.decided.is_some()),
            as_expected: count(|sent| sent.decided.is_some_and(|d| d.status == sent.case.expected)),
            without_bureau: count(Submission::was_decided_without_bureau),
            refused: count(|sent| sent.id().is_none()),
            undecided: count(Submission::is_waiting),
            applications: submissions.iter().map(ApplicationRecord::of).collect(),
            phases,
        }
    }

    /// Whether the run succeeded.
    ///
    /// # Errors
    /// [`Error::Timeout`] if an application was not decided within `deadline`; [`Error::Conflict`] if one was refused,
    /// or if an update was duplicated or out of order.
    pub(super) fn verdict(&self, deadline: Duration) -> Result<()> {
        let Violations { duplicates, out_of_order } = self.websocket.faults;
        if self.undecided > 0 {
            return Err(Error::Timeout { what: "waiting for decisions", after: deadline });
        }
        if self.refused + duplicates + out_of_order > 0 {
            let refused = self.refused;
            return Err(Error::Conflict(PublicMessage::new(format!(
                "{refused} applications refused, {duplicates} updates duplicated, {out_of_order} out of order"
            ))));
        }
        Ok(())
    }
}

impl<'a> ApplicationRecord<'a> {
    fn of(sent: &'a Submission) -> Self {
        let (risk_score, risk_band) = sent.risk().unzip();
        Self {
            id: sent.id(),
            phase: sent.phase,
            country: sent.case.country.code(),
            full_name: sent.case.full_name,
            identity_document: sent.masked_document(),
            requested_amount: format!("{}.00", sent.case.requested_amount),
            currency: sent.case.country.currency(),
            status: sent.decided.map(|decided| decided.status),
            expected_status: sent.case.expected,
            risk_score,
            risk_band,
            reasons: sent.reasons.as_deref().unwrap_or_default(),
            refused: match &sent.answer {
                Answer::Refused(why) => Some(why),
                Answer::Accepted { .. } => None,
            },
            accepted_to_pushed: sent.accepted_to_pushed(),
        }
    }
}

/// `None` for a phase without applications.
fn figures_of(phase: Phase, submissions: &[Submission]) -> Option<PhaseFigures> {
    let of_phase = || submissions.iter().filter(|sent| sent.phase == phase);
    let sent = of_phase().count();
    (sent > 0).then(|| PhaseFigures {
        phase,
        sent,
        decided: of_phase().filter(|sent| sent.decided.is_some()).count(),
        accepted_to_pushed: Figures::of(of_phase().filter_map(Submission::accepted_to_pushed)),
        sent_to_pushed: Figures::of(of_phase().filter_map(Submission::sent_to_pushed)),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use rust_decimal::Decimal;
    use uuid::Uuid;

    use super::super::cases::plan;
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// Six applications: one sent each second, accepted after 5 ms and decided as expected after another 10 ms, plus 1
    /// ms for each further application.
    pub(in crate::cli::demo) fn six_decided() -> Vec<Submission> {
        let cases = plan(6).into_iter().zip(1u32..);
        cases
            .map(|(case, number)| {
                let sent_at = Duration::from_secs(u64::from(number));
                let at = sent_at + Duration::from_millis(5);
                let decided = Decided {
                    status: case.expected,
                    risk_score: (number != 4).then(|| Decimal::new(i64::from(number) * 1234, 2)),
                    at: at + Duration::from_millis(9 + u64::from(number)),
                };
                Submission {
                    phase: if number < 5 { Phase::Measured } else { Phase::Burst },
                    case,
                    document: IdentityDocument::from_normalized(case.document.to_owned()),
                    sent_at,
                    answer: Answer::Accepted { id: ApplicationId::new(Uuid::from_u128(number.into())), at },
                    decided: Some(decided),
                    reasons: Some(if case.expected == Status::Approved {
                        vec![]
                    } else {
                        vec!["SCORE_TOO_LOW".into()]
                    }),
                }
            })
            .collect()
    }

    #[test]
    fn each_phase_has_figures_and_the_goal_applies_to_the_measured_phase() {
        let mut submissions = six_decided();
        let histories = Histories::default();
        let report = Report::new(&submissions, &histories);
        let p50s: Vec<_> = report
            .phases
            .iter()
            .map(|figures| (figures.phase, figures.sent, figures.accepted_to_pushed.unwrap().p50.as_millis()))
            .collect();
        assert_eq!(p50s, [(Phase::Measured, 4, 11), (Phase::Burst, 2, 14)]);
        assert_eq!(report.phases[0].sent_to_pushed.unwrap().max.as_millis(), 18);
        assert_eq!(report.goal.met, Some(true));
        for sent in submissions.iter_mut().take(3) {
            sent.decided.as_mut().unwrap().at += Duration::from_millis(40);
        }
        assert_eq!(Report::new(&submissions, &histories).goal.met, Some(false));
        assert_eq!(Report::new(&submissions[5..], &histories).goal.met, None);
    }

    #[test]
    fn a_decision_that_arrives_before_the_answer_has_zero_latency() {
        let mut sent = six_decided().remove(0);
        sent.decided.as_mut().unwrap().at = sent.sent_at + Duration::from_millis(2);
        assert_eq!(sent.accepted_to_pushed(), Some(Duration::ZERO));
        assert_eq!(sent.sent_to_pushed(), Some(Duration::from_millis(2)));
    }

    #[test]
    fn a_run_fails_if_an_application_is_undecided_or_refused() {
        let histories = Histories::default();
        let mut submissions = six_decided();
        Report::new(&submissions, &histories).verdict(DEADLINE).unwrap();
        submissions[1].decided = None;
        let report = Report::new(&submissions, &histories);
        assert_eq!((report.decided, report.undecided, report.refused), (5, 1, 0));
        assert!(matches!(report.verdict(DEADLINE), Err(Error::Timeout { .. })));
        submissions[1].answer = Answer::Refused("422 validation_failed".into());
        let report = Report::new(&submissions, &histories);
        assert_eq!((report.decided, report.undecided, report.refused), (5, 0, 1));
        assert!(matches!(report.verdict(DEADLINE), Err(Error::Conflict(_))));
    }

    #[test]
    fn a_run_fails_if_an_update_is_duplicated_or_out_of_order() {
        let submissions = six_decided();
        for faults in
            [Violations { duplicates: 1, out_of_order: 0 }, Violations { duplicates: 0, out_of_order: 1 }]
        {
            let mut report = Report::new(&submissions, &Histories::default());
            report.websocket.faults = faults;
            assert!(matches!(report.verdict(DEADLINE), Err(Error::Conflict(_))));
        }
    }

    #[test]
    fn an_unexpected_decision_is_counted_but_is_not_a_failure() {
        let mut submissions = six_decided();
        submissions[0].decided.as_mut().unwrap().status = Status::UnderReview;
        submissions[0].reasons = Some(vec![PROVIDER_UNAVAILABLE.to_owned()]);
        let report = Report::new(&submissions, &Histories::default());
        assert_eq!((report.decided, report.as_expected, report.without_bureau), (6, 5, 1));
        report.verdict(DEADLINE).unwrap();
    }

    #[test]
    fn the_json_report_masks_documents() {
        let submissions = six_decided();
        let report = serde_json::to_value(Report::new(&submissions, &Histories::default())).unwrap();
        assert_eq!(report["applications"][0]["identity_document"], "****678Z");
        assert_eq!(report["phases"][0]["accepted_to_pushed"]["p50_ms"], 11.0);
        assert_eq!(report["applications"][0]["accepted_to_pushed_ms"], 10.0);
        assert_eq!(report["websocket"]["duplicates"], 0);
        for sent in &submissions {
            assert!(!report.to_string().contains(sent.document.reveal()));
        }
    }
}
