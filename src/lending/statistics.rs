//! Counts published events for the statistics, and sets the metrics to the figures of all applications. Only the leading
//! relay does this. If two relays are leaders for a moment, each event is still counted only once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Datelike as _;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use rust_decimal::prelude::ToPrimitive as _;

use crate::domain::application::Country;
use crate::domain::decision::Decision;
use crate::domain::status::Status;
use crate::error::Result;
use crate::events::projection::Projection;
use crate::resources::Resources;
use crate::storage::applications::Visibility;
use crate::storage::statistics::{self, Figures, FiguresQuery, StatusCount};
use crate::storage::transaction;
use crate::telemetry::metrics::Metrics;

/// The age at which the figures are read again even without new events, because a new month may have begun.
const MAX_AGE: Duration = Duration::from_secs(30);

pub struct ApplicationStatistics {
    resources: Resources,
    /// When the figures in the metrics were read, in monotonic time; `None` if the metrics contain none.
    figures_read_at: Mutex<Option<Duration>>,
}

impl ApplicationStatistics {
    /// Statistics that have not set any metrics yet.
    pub fn new(resources: &Resources) -> Self {
        Self { resources: resources.clone(), figures_read_at: Mutex::default() }
    }

    /// Counts events in batches until a batch is not full, and updates the metrics.
    async fn count(&self) -> Result<()> {
        let settings = &self.resources.settings.statistics;
        let mut connection = self.resources.database.get().await?;
        let mut has_changed = false;
        loop {
            let project = async |connection: &mut _| statistics::project(connection, settings.batch).await;
            let counted = transaction::single(&mut connection, project).await?;
            has_changed |= counted > 0;
            if counted < i64::from(settings.batch) {
                break;
            }
        }
        let now = self.resources.clock.monotonic();
        let is_recent = |read_at: Duration| now.saturating_sub(read_at) < MAX_AGE;
        if !has_changed && self.figures_read_at().is_some_and(is_recent) {
            return Ok(());
        }
        let query = FiguresQuery {
            visibility: &Visibility::All,
            country: None,
            max_uncounted: settings.max_uncounted,
        };
        let read =
            async |connection: &mut _| statistics::read(connection, &query, self.resources.clock.now()).await;
        let figures = transaction::single(&mut connection, read).await?;
        set_metrics(&self.resources.metrics, &figures);
        *self.figures_read_at() = Some(now);
        Ok(())
    }

    fn figures_read_at(&self) -> MutexGuard<'_, Option<Duration>> {
        self.figures_read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Projection for ApplicationStatistics {
    fn catch_up(&self) -> LocalBoxFuture<'_, Result<()>> {
        self.count().boxed_local()
    }

    fn withdraw(&self) {
        *self.figures_read_at() = None;
    }

    fn pause(&self) -> Duration {
        self.resources.settings.statistics.min_interval()
    }
}

/// Observes the risk score of an applied decision, if it has one.
pub(super) fn observe_risk(metrics: &Metrics, country: Country, decision: &Decision) {
    if let Some(score) = decision.risk_score.and_then(|score| score.to_f64()) {
        metrics.risk_score_distribution.with_label_values(&[country.code()]).observe(score);
    }
}

fn set_metrics(metrics: &Metrics, figures: &Figures) {
    for country in Country::ALL {
        let counts: Vec<&StatusCount> =
            figures.counts.iter().filter(|count| count.country == country).collect();
        let of_status = |status: Status| {
            counts.iter().filter(|count| count.status == status).map(|count| count.applications).sum::<i64>()
        };
        for status in Status::ALL {
            let labels = [country.code(), status.as_str()];
            metrics.applications_by_status.with_label_values(&labels).set(of_status(status) as f64);
        }
        let approved = of_status(Status::Approved) + of_status(Status::Completed);
        let decided = approved + of_status(Status::Rejected);
        if decided > 0 {
            let rate = ratio(approved, decided);
            metrics.approval_rate.with_label_values(&[country.code()]).set(rate);
        } else {
            // Without decisions there is no rate. Removal fails only if the metric does not exist.
            let _ = metrics.approval_rate.remove_label_values(&[country.code()]);
        }
        let this_month = figures.as_of.date_naive().with_day(1);
        let month =
            figures.months.iter().find(|month| month.country == country && Some(month.period) == this_month);
        let amount = month.and_then(|month| month.approved_amount.to_f64()).unwrap_or(0.0);
        metrics.monthly_amount_approved.with_label_values(&[country.code()]).set(amount);
    }
}

fn ratio(part: i64, whole: i64) -> f64 {
    rust_decimal::Decimal::from(part)
        .checked_div(rust_decimal::Decimal::from(whole))
        .and_then(|rate| rate.to_f64())
        .unwrap_or(0.0)
}
