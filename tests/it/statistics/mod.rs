//! Statistics: exact at every moment, counted once, and the same as a recount.

mod answers;
mod projection;

use aval::storage::statistics::differences;

use crate::support::app::TestApp;

/// Every difference between the counters and a recount, in one text.
async fn wrong(app: &TestApp) -> String {
    differences(&mut app.database.connect().await).await.unwrap().join("\n")
}
