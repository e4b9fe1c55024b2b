//! Processing a credit application: the bureau's report, the country's rules, the decision.
//!
//! An attempt commits two grouped writes: one begins the processing (`PENDING` becomes `VALIDATING`), and one stores the
//! decision and finishes the job. Every step can be repeated.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info, warn};

use super::lane_admission::LaneAdmission;
use crate::actors::provider_gateway::{
    BankingAnswer, BreakerStatus, FetchBankingData, ProviderGateway, ReadBreakers,
};
use crate::actors::write_batcher::WriteBatchers;
use crate::config::WhenOpen;
use crate::countries::Countries;
use crate::domain::application::{Attribution, Country};
use crate::domain::banking::{BankingData, FallbackReason};
use crate::domain::confirmation;
use crate::domain::decision::{Case, Decision, Outcome as Decided};
use crate::domain::ids::{ApplicationId, ChangeId, DecisionId};
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::lending::statistics::observe_risk;
use crate::providers::Subject;
use crate::providers::simulator::test_documents::is_test_document;
use crate::queue::running_jobs::RunningJobs;
use crate::queue::task::{Attempt, Outcome, Task};
use crate::resilience::retry::retry_unavailable;
use crate::resources::Resources;
use crate::storage::CHANGED_BY_APPLICATION_ACTOR;
use crate::storage::applications::{BeginJob, GiveUp, JobStart, PendingCase};
use crate::storage::decisions::{DecisionRecord, Stored};
use crate::storage::group_write::GroupWrite;
use crate::storage::jobs::{ClaimedJob, DeadLetter, Quota, Supersede};
use crate::supervision::faults::FaultPoint;
use crate::supervision::handle::Handle;
use crate::telemetry::metrics::seconds;
use crate::telemetry::trace::{self, KeyValue, SpanKind};

/// The task that decides credit applications.
pub struct ProcessCreditApplication {
    pub resources: Resources,
    pub write_batchers: WriteBatchers,
    pub gateway: Handle<ProviderGateway>,
    pub countries: Arc<Countries>,
}

impl Task for ProcessCreditApplication {
    const NAME: &'static str = "process_credit_application";

    fn lanes() -> Vec<&'static str> {
        Country::ALL.iter().map(|country| country.code()).collect()
    }

    /// All jobs of each country's lane, unless a country is configured to pause while its breaker is open. Only then are
    /// the breakers read. If they cannot be read, all lanes are served, and jobs whose breaker is open are snoozed.
    async fn quotas(&self, running: &RunningJobs) -> Vec<Quota> {
        let mut lanes: Vec<_> = Self::lanes().into_iter().map(Quota::whole).collect();
        let providers = &self.resources.settings.providers;
        let may_wait = |country: &Country| providers.of(*country).when_open == WhenOpen::Pause;
        if !Country::ALL.iter().any(may_wait) {
            return lanes;
        }
        let breakers = self.gateway.ask(ReadBreakers).await.unwrap_or_default();
        for quota in &mut lanes {
            let known = |breaker: &&BreakerStatus| breaker.country.code() == quota.lane;
            let Some(breaker) = breakers.iter().find(known) else { continue };
            quota.max_jobs = match LaneAdmission::of(&providers.of(breaker.country), &breaker.snapshot) {
                LaneAdmission::Everything => i32::MAX,
                LaneAdmission::OneProbe if !running.any_in(&quota.lane) => 1,
                LaneAdmission::OneProbe | LaneAdmission::Nothing => 0,
            };
        }
        lanes
    }

    async fn run(&self, attempt: &Attempt) -> Result<Outcome> {
        Work { job: &attempt.job, parts: self, logger: &attempt.logger }.process().await
    }

    /// Moves the application to review, with the error as the reason.
    async fn give_up(&self, job: &ClaimedJob, dead_letter: DeadLetter) -> Result<bool> {
        let reason = format!("processing failed: {}", dead_letter.error_message);
        let give_up = GiveUp {
            dead_letter,
            application_id: job.application_id,
            attribution: attribution(&self.resources, job, Some(reason)),
            first_change_id: ChangeId::new(self.resources.clock.new_uuid()),
            traceparent: trace::traceparent().or_else(|| job.traceparent.clone()),
        };
        self.write_batchers.write(give_up).await
    }

    fn max_attempts(&self) -> i32 {
        self.resources.settings.jobs.max_attempts
    }

    fn longest_pause(&self, attempt: i32) -> Duration {
        self.resources.settings.jobs.retry_ceiling(attempt)
    }
}

fn attribution(resources: &Resources, job: &ClaimedJob, reason: Option<String>) -> Attribution {
    Attribution {
        change_id: ChangeId::new(resources.clock.new_uuid()),
        changed_by: CHANGED_BY_APPLICATION_ACTOR.to_owned(),
        reason,
        request_id: job.request_id.clone(),
    }
}

fn status_attribute(decided: Decided) -> KeyValue {
    KeyValue::new("application.status", Status::from(decided).as_str())
}

/// One attempt to process an application.
struct Work<'a> {
    job: &'a ClaimedJob,
    parts: &'a ProcessCreditApplication,
    logger: &'a Logger,
}

impl Work<'_> {
    async fn process(&self) -> Result<Outcome> {
        let application_id = self.job.application_id.ok_or(Error::NotFound("application"))?;
        let begin = self.begin(application_id);
        let case = match self.write(begin).await? {
            JobStart::Ready(case) => case,
            JobStart::Superseded => {
                self.write(Supersede(self.job.lease)).await?;
                return Ok(Outcome::Superseded);
            }
            JobStart::Missing => return Err(Error::NotFound("application")),
            JobStart::LeaseLost => return Ok(Outcome::LeaseLost),
        };
        trace::set(|| vec![KeyValue::new("application.country", case.country.code())]);
        self.parts.resources.faults.pass(FaultPoint::ApplicationActor, Some(case.country.code()));
        if let Some(reference) = &self.job.unanswered_reference {
            warn!(self.logger, "the bureau sent no webhook within its deadline"; "provider_reference" => reference);
            return self.decide_unanswered(&case, reference).await;
        }
        match self.request_report(&case).await? {
            BankingAnswer::Accepted { provider_reference } => {
                let timeout_ms = self.parts.resources.settings.providers.of(case.country).async_timeout_ms;
                Ok(Outcome::WaitingExternal {
                    reference: provider_reference,
                    timeout: Duration::from_millis(timeout_ms),
                })
            }
            BankingAnswer::Report(report) => self.decide(&case, report).await,
            BankingAnswer::CircuitOpen(_) if self.waits_for_its_bureau(case.country).await? => {
                Ok(Outcome::Snoozed(self.overflow_pause()))
            }
            BankingAnswer::CircuitOpen(fallback) => self.decide(&case, fallback).await,
            BankingAnswer::BulkheadFull => Ok(Outcome::Snoozed(self.overflow_pause())),
            BankingAnswer::RateLimited { retry_after } if self.may_wait() => {
                Ok(Outcome::Snoozed(retry_after))
            }
            BankingAnswer::RateLimited { .. } => {
                warn!(self.logger, "the bureau's rate limit outlasts the job's time limit");
                self.decide_without_bureau(&case, FallbackReason::RateLimited).await
            }
            BankingAnswer::Failed { error } if self.is_last_attempt() => {
                warn!(self.logger, "the bureau failed on the last attempt"; error);
                self.decide_without_bureau(&case, FallbackReason::CallsFailed).await
            }
            BankingAnswer::Failed { error } => Err(error),
        }
    }

    fn begin(&self, application_id: ApplicationId) -> BeginJob {
        let window = self.parts.resources.settings.applications.duplicate_window();
        BeginJob {
            lease: self.job.lease,
            application_id,
            attribution: self.attribution(None),
            traceparent: trace::traceparent(),
            other_account_window_ms: window.map_or(0, |window| window.num_milliseconds()),
        }
    }

    async fn request_report(&self, case: &PendingCase) -> Result<BankingAnswer> {
        let attributes = || {
            let provider = crate::providers::provider_for(case.country).name();
            vec![KeyValue::new("provider.name", provider)]
        };
        trace::in_span("fetch_banking_data", SpanKind::Internal, attributes, self.fetch(case)).await
    }

    async fn fetch(&self, case: &PendingCase) -> Result<BankingAnswer> {
        let fetch = FetchBankingData {
            country: case.country,
            subject: Subject {
                full_name: case.full_name.clone(),
                identity_document: case.identity_document.clone(),
            },
            application_id: case.application_id,
            request_id: self.job.request_id.clone(),
            trace: trace::Carried::capture(),
        };
        let answer = self.parts.gateway.ask(fetch).await??;
        if matches!(answer, BankingAnswer::CircuitOpen(_)) {
            trace::set(|| vec![KeyValue::new("circuit_breaker.state", "open")]);
        }
        Ok(answer)
    }

    /// Whether jobs of this country stay in the queue while the breaker is in its current state.
    async fn waits_for_its_bureau(&self, country: Country) -> Result<bool> {
        let provider = self.parts.resources.settings.providers.of(country);
        if provider.when_open == WhenOpen::Fallback {
            return Ok(false);
        }
        let breakers = self.parts.gateway.ask(ReadBreakers).await?;
        let breaker = breakers.iter().find(|breaker| breaker.country == country);
        Ok(breaker.is_some_and(|breaker| {
            LaneAdmission::of(&provider, &breaker.snapshot) != LaneAdmission::Everything
        }))
    }

    async fn decide_without_bureau(&self, case: &PendingCase, reason: FallbackReason) -> Result<Outcome> {
        let name = crate::providers::provider_for(case.country).name();
        self.decide(case, BankingData::fallback(name, reason, "closed")).await
    }

    /// Sends an application to review because its bureau accepted the request but never sent the report. If the
    /// bureau's webhook arrives later, the application is still decided. The request is not repeated: the bureau would
    /// respond with another 202 and no report.
    async fn decide_unanswered(&self, case: &PendingCase, reference: &str) -> Result<Outcome> {
        let name = crate::providers::provider_for(case.country).name();
        let mut figures = BankingData::fallback(name, FallbackReason::NeverAnswered, "closed");
        confirmation::set_issued_reference(&mut figures, reference);
        self.decide(case, figures).await
    }

    fn is_shared_test_document(&self, pending: &PendingCase) -> bool {
        self.parts.resources.settings.applications.shared_test_documents
            && is_test_document(pending.country, pending.identity_document.reveal())
    }

    async fn decide(&self, pending: &PendingCase, banking_data: BankingData) -> Result<Outcome> {
        let provider_available = !banking_data.is_fallback();
        let try_again = banking_data.is_fallback() && !banking_data.is_timed_out();
        let case = Case {
            requested_amount: pending.requested_amount,
            monthly_income: pending.monthly_income,
            term_months: pending.term_months,
            banking_data,
            applied_elsewhere: pending.applied_elsewhere && !self.is_shared_test_document(pending),
        };
        let evaluation = async {
            let decision = self.parts.countries.rules(pending.country).evaluate(&case);
            trace::set(|| vec![status_attribute(decision.status)]);
            decision
        };
        let decision = trace::in_span("apply_business_rules", SpanKind::Internal, Vec::new, evaluation).await;
        let settings = &self.parts.resources.settings.redecision;
        let pause = i64::try_from(settings.min_interval_ms).unwrap_or(i64::MAX);
        let reason = Some(decision.reasons.join(", ")).filter(|reasons| !reasons.is_empty());
        let record = DecisionRecord {
            id: DecisionId::new(self.parts.resources.clock.new_uuid()),
            application_id: pending.application_id,
            lease: self.job.lease,
            case,
            decision: decision.clone(),
            provider_available,
            retry_after_ms: try_again.then_some(pause),
            attribution: self.attribution(reason),
            traceparent: trace::traceparent(),
        };
        let stored = self.write(record).await?;
        if stored == Stored::Applied {
            self.observe_decision(pending.application_id, pending.country, &decision);
        }
        match stored {
            Stored::Applied => {
                trace::set(|| vec![status_attribute(decision.status)]);
                info!(self.logger, "application decided"; "status" => Status::from(decision.status).as_str(),
                    "country" => pending.country.code(), "requested_amount" => %pending.requested_amount,
                    "reasons" => decision.reasons.join(","), "attempt" => self.job.attempt);
                Ok(Outcome::Completed)
            }
            Stored::Superseded => Ok(Outcome::Superseded),
            Stored::LeaseLost => Ok(Outcome::LeaseLost),
        }
    }

    fn observe_decision(&self, id: ApplicationId, country: Country, decision: &Decision) {
        let Resources { metrics, clock, .. } = &self.parts.resources;
        let since = id.created_at().map(|created| clock.now() - created);
        if let Some(Ok(elapsed)) = since.map(|delta| delta.to_std()) {
            metrics.applications_processing_duration_seconds.observe(seconds(elapsed));
        }
        observe_risk(metrics, country, decision);
    }

    /// Makes a grouped write and retries it while the database is unavailable.
    async fn write<W: GroupWrite + Clone>(&self, write: W) -> Result<W::Outcome> {
        let write_once = async || self.parts.write_batchers.write(write.clone()).await;
        retry_unavailable(&self.parts.resources.clock, self.logger, write_once).await
    }

    /// How long a job is snoozed if its bulkhead is full or its breaker is open. The pause grows with the time since the
    /// job's first claim, so a long backlog of one country does not keep the queue busy with jobs that cannot run yet.
    fn overflow_pause(&self) -> Duration {
        let settings = &self.parts.resources.settings.jobs;
        let ceiling = self.job.since_first_claim.min(Duration::from_millis(settings.retry_max_ms));
        Duration::from_millis(settings.overflow_snooze_ms) + self.parts.resources.clock.jitter(ceiling / 2)
    }

    /// Whether the job may wait longer for a bureau that keeps responding with 429.
    fn may_wait(&self) -> bool {
        self.job.since_first_claim < Duration::from_millis(self.parts.resources.settings.jobs.timeout_ms)
    }

    fn is_last_attempt(&self) -> bool {
        self.job.attempt >= self.parts.max_attempts()
    }

    fn attribution(&self, reason: Option<String>) -> Attribution {
        attribution(&self.parts.resources, self.job, reason)
    }
}
