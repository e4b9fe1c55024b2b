//! Statistics: they are exact at all times, count every event once, and equal a recount.

mod daily;
mod projection;
mod responses;

use aval::storage::statistics::differences;

use crate::support::app::TestApp;

/// All differences between the counters and a recount, in one text.
async fn counter_errors(app: &TestApp) -> String {
    differences(&mut app.database.connect().await).await.unwrap().join("\n")
}
