//! Statistics: they are exact at all times, count every event once, and equal a recount.

mod answers;
mod daily;
mod projection;

use aval::storage::statistics::differences;

use crate::support::app::TestApp;

/// All differences between the counters and a recount, in one text.
async fn counter_errors(app: &TestApp) -> String {
    differences(&mut app.database.connect().await).await.unwrap().join("\n")
}
