//! Processing of an application from the inserted row to the decision, without HTTP.

use aval::clock::Clock;
use aval::domain::application::Country;
use aval::storage::applications::InsertOutcome;
use aval::storage::seal::SealedField;

use crate::support::builders::samples;
use crate::support::db::{TestDatabase, execute};
use crate::support::engine::{TestEngine, application, key_ring, settings, start_engine};
use crate::support::eventually;

/// The plain SQL that inserts an application for an applicant with Spain's sample document.
fn plain_insert() -> String {
    let keys = key_ring(&settings(&[]));
    let id = Clock::system().new_uuid();
    let sealed = |field, text: &str| -> String {
        keys.seal(field, id, text).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    format!(
        "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, currency) \
         VALUES ('{id}', 'ES', '\\x{}', '\\x{}', 15000, 3500, 'EUR')",
        sealed(SealedField::FullName, "Ana"),
        sealed(SealedField::IdentityDocument, "12345678Z"),
    )
}

#[actix_rt::test]
async fn every_sample_document_is_approved_with_a_complete_trail() {
    let test = TestEngine::start(&[]).await;
    for (country, document) in samples() {
        let id = test.submit(country, document).await;
        test.reaches(id, "APPROVED").await;
        assert_eq!(test.trail(id).await, "PENDING VALIDATING APPROVED");
    }
    assert_eq!(test.text("SELECT count(*) FROM pending_jobs").await.as_deref(), Some("0"));
    assert_eq!(
        test.text("SELECT count(*) FROM job_history WHERE result = 'completed'").await.as_deref(),
        Some(samples().len().to_string().as_str())
    );
    assert_eq!(
        test.text("SELECT count(*) FROM decisions WHERE provider_available").await.as_deref(),
        Some(samples().len().to_string().as_str())
    );
}

#[actix_rt::test]
async fn a_row_inserted_by_plain_sql_is_decided_and_audited_as_its_database_user() {
    let test = TestEngine::start(&[]).await;
    let mut sql = test.database.connect().await;
    execute(&mut sql, &plain_insert()).await.unwrap();
    test.holds("the row to be decided", "SELECT 1 FROM applications WHERE status = 'APPROVED'").await;
    let by = test.text("SELECT changed_by FROM audit_logs WHERE version = 1").await.unwrap();
    assert!(by.starts_with("sql:"), "{by}");
}

#[actix_rt::test]
async fn the_queue_shows_the_row_that_the_trigger_wrote() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    execute(&mut sql, &plain_insert()).await.unwrap();
    let job = crate::support::db::text(
        &mut sql,
        "SELECT task_name || ' ' || status || ' ' || attempt || ' ' || (application_id = (SELECT id FROM applications)) \
         FROM pending_jobs",
    )
    .await;
    assert_eq!(job.as_deref(), Some("process_credit_application pending 0 true"));
}

#[actix_rt::test]
async fn an_insert_creates_the_missing_partitions_of_its_month() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    let drop_all = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT relname FROM pg_class c JOIN pg_namespace n \
        ON n.oid = c.relnamespace WHERE nspname = 'partitions' AND relkind = 'r' LOOP \
        EXECUTE format('DROP TABLE partitions.%I', name); END LOOP; END $$";
    execute(&mut sql, drop_all).await.unwrap();
    let engine = start_engine(&database, &[]).await;
    let application = application(&engine.resources.clock, Country::Es, "12345678Z");
    let inserted = aval::lending::submit::insert(&engine.write_batchers, application.clone()).await.unwrap();
    assert_eq!(inserted, InsertOutcome::Inserted);
}

#[actix_rt::test]
async fn two_instances_share_the_queue_and_decide_everything_once() {
    let test = TestEngine::start(&[]).await;
    let other = start_engine(&test.database, &[]).await;
    let submissions = (0..60).map(|n| {
        let application = {
            let (country, document) = samples()[n % samples().len()];
            application(&test.engine.resources.clock, country, document)
        };
        let write_batchers = if n % 2 == 0 { &test.engine.write_batchers } else { &other.write_batchers };
        aval::lending::submit::insert(write_batchers, application)
    });
    for inserted in futures_util::future::join_all(submissions).await {
        inserted.unwrap();
    }
    test.holds(
        "all to be decided",
        "SELECT 1 WHERE (SELECT count(*) FROM applications WHERE status = 'APPROVED') = 60",
    )
    .await;
    assert_eq!(test.text("SELECT count(*) FROM decisions").await.as_deref(), Some("60"));
    assert_eq!(test.text("SELECT count(*) FROM audit_logs").await.as_deref(), Some("180"));
}

#[actix_rt::test]
async fn a_bad_row_in_a_group_fails_alone() {
    let test = TestEngine::start(&[("AVAL__ACTORS__WRITE_BATCHERS", "1")]).await;
    let clock = &test.engine.resources.clock;
    let mut bad = application(clock, Country::Es, "12345678Z");
    bad.attribution.changed_by = "nul \0 byte".to_owned();
    let rows =
        (0..20).map(|n| if n == 7 { bad.clone() } else { application(clock, Country::Es, "12345678Z") });
    let results = futures_util::future::join_all(
        rows.map(|row| aval::lending::submit::insert(&test.engine.write_batchers, row)),
    )
    .await;
    let failed: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, [7]);
    eventually("the others to be decided", async || {
        let decided = test.text("SELECT count(*) FROM applications WHERE status = 'APPROVED'").await;
        (decided.as_deref() == Some("19")).then_some(())
    })
    .await;
}
