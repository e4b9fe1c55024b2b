//! One attempt at one job: what is asked, what is decided on the answer, and how the queue is told.

use std::time::Duration;

use slog::{Logger, debug, info, warn};

use super::{ApplicationParts, attribution, dead_letter};
use crate::actors::provider_gateway::{BankingAnswer, FetchBankingData, ReadBreakers};
use crate::actors::write_batcher::WriteBatchers;
use crate::config::WhenOpen;
use crate::domain::application::{Attribution, Country};
use crate::domain::banking::{BankingData, FallbackReason};
use crate::domain::confirmation;
use crate::domain::decision::{Case, Decision};
use crate::domain::ids::{ApplicationId, DecisionId};
use crate::error::{Error, Result};
use crate::lending::lane_admission::LaneAdmission;
use crate::providers::Subject;
use crate::providers::simulator::test_documents::is_test_document;
use crate::resilience::retry::retry_unavailable;
use crate::storage::decisions::{DecisionRecord, Stored};
use crate::storage::jobs::{BeginJob, Begun, ClaimedJob, PendingCase, Release};
use crate::supervision::faults::FaultPoint;
use crate::telemetry::metrics::seconds;

/// How a job's attempt ended.
#[derive(Debug)]
enum End {
    /// Decided; `Stored` says what became of the decision.
    Decided(Box<Decision>, Stored),
    /// Back to the queue without having used an attempt.
    Snoozed(Duration),
    /// The bureau will answer under this reference, within this time.
    Waiting(String, Duration),
    /// The application no longer needs it.
    Superseded,
    /// Another worker has it now.
    LeaseLost,
}

/// One attempt at one job.
pub(super) struct Work {
    pub(super) job: ClaimedJob,
    pub(super) parts: ApplicationParts,
    pub(super) logger: Logger,
}

impl Work {
    /// Works for at most `timeout`, and tells the queue and the metrics how it ended.
    pub(super) async fn run(&self, timeout: Duration) {
        let started = self.parts.resources.clock.monotonic();
        let result = match tokio::time::timeout(timeout, self.process()).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Error::Timeout { what: "job", after: timeout }),
        };
        let status = self.settle(result).await;
        let metrics = &self.parts.resources.metrics;
        let elapsed = self.parts.resources.clock.monotonic().saturating_sub(started);
        metrics.worker_tasks_total.with_label_values(&[self.job.task_name.as_str(), status]).inc();
        metrics
            .worker_task_duration_seconds
            .with_label_values(&[self.job.task_name.as_str()])
            .observe(seconds(elapsed));
    }

    async fn process(&self) -> Result<End> {
        let application_id = self.job.application_id.ok_or(Error::NotFound("application"))?;
        let begin = self.begin(application_id);
        let case = match self
            .retry_unavailable(async |write_batchers| write_batchers.begin(begin.clone()).await)
            .await?
        {
            Begun::Ready(case) => case,
            Begun::Superseded => {
                self.retry_unavailable(async |write_batchers| write_batchers.supersede(self.job.lease).await)
                    .await?;
                return Ok(End::Superseded);
            }
            Begun::Missing => return Err(Error::NotFound("application")),
            Begun::LeaseLost => return Ok(End::LeaseLost),
        };
        self.parts.resources.faults.pass(FaultPoint::ApplicationActor, Some(case.country));
        if let Some(reference) = &self.job.unanswered_reference {
            warn!(self.logger, "the bureau has not answered in its time"; "provider_reference" => reference);
            return self.decide_unanswered(&case, reference).await;
        }
        match self.ask_bureau(&case).await? {
            BankingAnswer::Accepted { provider_reference } => {
                let patience = self.parts.resources.settings.providers.of(case.country).async_timeout_ms;
                Ok(End::Waiting(provider_reference, Duration::from_millis(patience)))
            }
            BankingAnswer::Report(report) => self.decide(&case, report).await,
            BankingAnswer::CircuitOpen(_) if self.waits_for_its_bureau(case.country).await? => {
                Ok(End::Snoozed(self.overflow_pause()))
            }
            BankingAnswer::CircuitOpen(fallback) => self.decide(&case, fallback).await,
            BankingAnswer::BulkheadFull => Ok(End::Snoozed(self.overflow_pause())),
            BankingAnswer::RateLimited { retry_after } if self.may_wait() => Ok(End::Snoozed(retry_after)),
            BankingAnswer::RateLimited { .. } => {
                warn!(self.logger, "the bureau asks for more patience than a job has");
                self.decide_without_bureau(&case, FallbackReason::RateLimited).await
            }
            BankingAnswer::Failed { error } if self.is_last_attempt() => {
                warn!(self.logger, "the bureau failed at the last attempt"; error);
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
            traceparent: self.job.traceparent.clone(),
            other_account_window_ms: window.map_or(0, |window| window.num_milliseconds()),
        }
    }

    async fn ask_bureau(&self, case: &PendingCase) -> Result<BankingAnswer> {
        let question = FetchBankingData {
            country: case.country,
            subject: Subject {
                full_name: case.full_name.clone(),
                identity_document: case.identity_document.clone(),
            },
            application_id: case.application_id,
            request_id: self.job.request_id.clone(),
            traceparent: self.job.traceparent.clone(),
        };
        self.parts.gateway.ask(question).await?
    }

    /// Whether jobs of this country stay in the queue while its breaker stands as it does.
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

    async fn decide_without_bureau(&self, case: &PendingCase, reason: FallbackReason) -> Result<End> {
        let name = crate::providers::provider_for(case.country).name();
        self.decide(case, BankingData::fallback(name, reason, "closed")).await
    }

    /// A promise that was not kept leaves the application to a human, or to the bureau's webhook when it comes after all:
    /// asking again would only bring another promise.
    async fn decide_unanswered(&self, case: &PendingCase, reference: &str) -> Result<End> {
        let name = crate::providers::provider_for(case.country).name();
        let mut figures = BankingData::fallback(name, FallbackReason::NeverAnswered, "closed");
        confirmation::set_issued_reference(&mut figures, reference);
        self.decide(case, figures).await
    }

    fn is_shared_test_document(&self, pending: &PendingCase) -> bool {
        self.parts.resources.settings.applications.shared_test_documents
            && is_test_document(pending.country, pending.identity_document.reveal())
    }

    async fn decide(&self, pending: &PendingCase, banking_data: BankingData) -> Result<End> {
        let provider_available = !banking_data.is_fallback();
        let try_again = banking_data.is_fallback() && !banking_data.is_timed_out();
        let case = Case {
            requested_amount: pending.requested_amount,
            monthly_income: pending.monthly_income,
            term_months: pending.term_months,
            banking_data,
            applied_elsewhere: pending.applied_elsewhere && !self.is_shared_test_document(pending),
        };
        let decision = self.parts.countries.rules(pending.country).evaluate(&case);
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
            traceparent: self.job.traceparent.clone(),
        };
        let stored =
            self.retry_unavailable(async |write_batchers| write_batchers.store(record.clone()).await).await?;
        self.observe_processing_time(pending.application_id, stored);
        Ok(End::Decided(Box::new(decision), stored))
    }

    fn observe_processing_time(&self, id: ApplicationId, stored: Stored) {
        let resources = &self.parts.resources;
        let since = id.created_at().map(|created| resources.clock.now() - created);
        if let (Stored::Applied, Some(Ok(elapsed))) = (stored, since.map(|delta| delta.to_std())) {
            resources.metrics.applications_processing_duration_seconds.observe(seconds(elapsed));
        }
    }

    /// Tells the queue how the attempt ended; returns the word for it in metrics.
    async fn settle(&self, result: Result<End>) -> &'static str {
        let error = match result {
            Ok(End::Decided(decision, Stored::Applied)) => {
                info!(self.logger, "application decided";
                    "status" => ?decision.status, "reasons" => decision.reasons.join(","), "attempt" => self.job.attempt);
                return "success";
            }
            Ok(End::Decided(_, Stored::Superseded) | End::Superseded) => {
                info!(self.logger, "the application no longer needs this job");
                return "superseded";
            }
            Ok(End::Decided(_, Stored::LeaseLost) | End::LeaseLost) | Err(Error::LeaseLost) => {
                info!(self.logger, "another worker has the job");
                return "lease_lost";
            }
            Ok(End::Snoozed(pause)) => {
                debug!(self.logger, "job snoozed"; "pause_ms" => pause.as_millis());
                self.release(pause, true, None, None).await;
                return "snoozed";
            }
            Ok(End::Waiting(reference, patience)) => {
                info!(self.logger, "the bureau will answer later";
                    "provider_reference" => &reference, "timeout_ms" => patience.as_millis());
                self.release(patience, true, None, Some(reference)).await;
                return "waiting";
            }
            Err(error) => error,
        };
        if error.retryable() && !self.is_last_attempt() {
            let ceiling = self.parts.resources.settings.jobs.retry_ceiling(self.job.attempt);
            let pause = self.parts.resources.clock.jitter(ceiling);
            warn!(self.logger, "attempt failed and is tried again";
                "attempt" => self.job.attempt, "pause_ms" => pause.as_millis(), error.clone());
            let told = (error.code().to_owned(), error.to_string());
            self.release(pause, false, Some(told), None).await;
            return "retried";
        }
        warn!(self.logger, "job given up"; "attempt" => self.job.attempt, error.clone());
        let dead_letter = dead_letter(&self.parts.resources, &self.job, &error);
        if let Err(error) = self
            .retry_unavailable(async |write_batchers| {
                write_batchers.move_to_dead_letters(dead_letter.clone()).await
            })
            .await
        {
            warn!(self.logger, "job not buried: its lease will run out"; error);
        }
        "failed"
    }

    /// Has something written, however long the database needs to be there again (see [`retry_unavailable`]).
    async fn retry_unavailable<T>(&self, write: impl AsyncFn(&WriteBatchers) -> Result<T>) -> Result<T> {
        let (clock, write_batchers) = (&self.parts.resources.clock, &self.parts.write_batchers);
        retry_unavailable(clock, &self.logger, async || write(write_batchers).await).await
    }

    async fn release(
        &self,
        pause: Duration,
        give_attempt_back: bool,
        error: Option<(String, String)>,
        provider_reference: Option<String>,
    ) {
        let release = Release {
            lease: self.job.lease,
            delay_ms: i64::try_from(pause.as_millis()).unwrap_or(i64::MAX),
            give_attempt_back,
            error,
            provider_reference,
        };
        match self
            .retry_unavailable(async |write_batchers| write_batchers.release(release.clone()).await)
            .await
        {
            Ok(true) => {}
            Ok(false) => info!(self.logger, "the job was somebody else's meanwhile, or over"),
            Err(error) => warn!(self.logger, "job not given back: its lease will run out"; error),
        }
    }

    /// A long backlog of one country must not keep the queue busy with jobs that find no place: the longer it is
    /// worked on, the longer its pause may be.
    fn overflow_pause(&self) -> Duration {
        let settings = &self.parts.resources.settings.jobs;
        let ceiling = self.job.worked_on_for.min(Duration::from_millis(settings.retry_max_ms));
        Duration::from_millis(settings.overflow_snooze_ms) + self.parts.resources.clock.jitter(ceiling / 2)
    }

    /// A bureau that asks for patience for ever must not keep an applicant waiting as long.
    fn may_wait(&self) -> bool {
        self.job.worked_on_for < Duration::from_millis(self.parts.resources.settings.jobs.timeout_ms)
    }

    fn is_last_attempt(&self) -> bool {
        self.job.attempt >= self.parts.resources.settings.jobs.max_attempts
    }

    fn attribution(&self, reason: Option<String>) -> Attribution {
        attribution(&self.parts.resources, &self.job, reason)
    }
}
