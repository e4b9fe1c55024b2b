//! The way of one application, from the row to the decision, without HTTP.

use aval::app::Core;
use aval::clock::Clock;
use aval::config::Settings;

use crate::support::db::{TestDatabase, execute, text};

#[actix_rt::test]
async fn a_row_inserted_by_plain_sql_is_decided() {
    let database = TestDatabase::create().await;
    let settings = Settings::from_variables(&Default::default()).unwrap();
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let _core = Core::start(settings, database.url(), Clock::system(), logger).await.unwrap();
    let mut sql = database.connect().await;
    execute(
        &mut sql,
        "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, currency) \
         VALUES (uuid_v7_now(), 'ES', '\\x00416e61', '\\x003132333435363738 5a', 15000, 3500, 'EUR')"
            .replace("38 5a", "385a")
            .as_str(),
    )
    .await
    .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let status = text(&mut sql, "SELECT status FROM applications").await.unwrap();
        if status == "APPROVED" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "still {status}");
        tokio::task::yield_now().await;
    }
    let trail =
        text(&mut sql, "SELECT string_agg(new_status::text, ',' ORDER BY version) FROM audit_logs").await;
    assert_eq!(trail.as_deref(), Some("PENDING,VALIDATING,APPROVED"));
    assert_eq!(text(&mut sql, "SELECT count(*) FROM pending_jobs").await.as_deref(), Some("0"));
}
