//! Statistics of the applications visible to a caller.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};
use diesel_async::AsyncPgConnection;

use super::Lending;
use crate::domain::application::Country;
use crate::error::Result;
use crate::storage::applications::Visibility;
use crate::storage::statistics::{FiguresQuery, days, read};
use crate::storage::{Share, replica};

pub use crate::storage::statistics::days::DailyFigures;
pub use crate::storage::statistics::{DAYS, Figures, MONTHS, PeriodCount, StatusCount};

impl Lending {
    /// The figures of one country or of all. They are current or, if read from a replica, as of the last
    /// change that the replica replayed.
    pub async fn figures(&self, visibility: &Visibility, country: Option<Country>) -> Result<Figures> {
        let query = self.figures_query(visibility, country);
        let figures = async |connection: &mut AsyncPgConnection| {
            let time = self.time_of_figures(connection).await?;
            read(connection, &query, time).await
        };
        self.resources.database.read(Share::Account, figures).await
    }

    /// The activity of each day of a period, in one country or in all.
    pub async fn daily_figures(
        &self,
        visibility: &Visibility,
        country: Option<Country>,
        period: &RangeInclusive<NaiveDate>,
    ) -> Result<DailyFigures> {
        let query = self.figures_query(visibility, country);
        let figures = async |connection: &mut AsyncPgConnection| {
            let time = self.time_of_figures(connection).await?;
            days::read(connection, &query, period, time).await
        };
        self.resources.database.read(Share::Account, figures).await
    }

    fn figures_query<'a>(&self, visibility: &'a Visibility, country: Option<Country>) -> FiguresQuery<'a> {
        let max_uncounted = self.resources.settings.statistics.max_uncounted;
        FiguresQuery { visibility, country, max_uncounted }
    }

    /// The time up to which the data on this connection is complete: now, or the last change that a replica has
    /// replayed.
    async fn time_of_figures(&self, connection: &mut AsyncPgConnection) -> Result<DateTime<Utc>> {
        let now = self.resources.clock.now();
        let is_old = self.resources.database.may_read_old();
        let shown_until = if is_old { replica::replayed_until(connection).await? } else { None };
        Ok(shown_until.map_or(now, |until| until.min(now)))
    }
}
