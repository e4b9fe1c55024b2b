//! Statistics of the applications visible to a caller.

use diesel_async::AsyncPgConnection;

use super::Lending;
use crate::domain::application::Country;
use crate::error::Result;
use crate::storage::applications::Visibility;
use crate::storage::statistics::{FiguresQuery, read};
use crate::storage::{Share, replica};

pub use crate::storage::statistics::{DAYS, Figures, MONTHS, PeriodCount, StatusCount};

impl Lending {
    /// The figures of one country or of all. They are current or, if read from a replica, as of the last
    /// change that the replica replayed.
    pub async fn figures(&self, visibility: &Visibility, country: Option<Country>) -> Result<Figures> {
        let max_uncounted = self.resources.settings.statistics.max_uncounted;
        let query = FiguresQuery { visibility, country, max_uncounted };
        let (database, now) = (&self.resources.database, self.resources.clock.now());
        let figures = async |connection: &mut AsyncPgConnection| {
            let shown_until =
                if database.may_read_old() { replica::replayed_until(connection).await? } else { None };
            read(connection, &query, shown_until.map_or(now, |until| until.min(now))).await
        };
        database.read(Share::Account, figures).await
    }
}
