//! The status machine is the same in the code and in the database's triggers, and history cannot be changed.

use aval::domain::status::Status;

use crate::support::db::{TestDatabase, execute, text};

/// Sets the status of the only application without running triggers, which no client can do.
async fn force(sql: &mut diesel_async::AsyncPgConnection, status: Status) {
    execute(sql, "SET session_replication_role = replica").await.unwrap();
    execute(sql, &format!("UPDATE applications SET status = '{status}'")).await.unwrap();
    execute(sql, "SET session_replication_role = origin").await.unwrap();
}

async fn insert(sql: &mut diesel_async::AsyncPgConnection, status: Status) -> diesel::QueryResult<usize> {
    let insert = format!(
        "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, \
         currency, status) VALUES (uuid_v7_now(), 'ES', '\\x0041', '\\x0041', 1, 1, 'EUR', '{status}')"
    );
    execute(sql, &insert).await
}

#[actix_rt::test]
async fn code_and_trigger_agree_on_every_transition() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    insert(&mut sql, Status::Pending).await.unwrap();
    for from in Status::ALL {
        for to in Status::ALL {
            force(&mut sql, from).await;
            let result = execute(&mut sql, &format!("UPDATE applications SET status = '{to}'")).await;
            assert_eq!(result.is_ok(), from == to || from.may_become(to), "{from} to {to}: {result:?}");
            if let Err(error) = result {
                let message = error.to_string();
                assert!(message.contains(from.as_str()) && message.contains(to.as_str()), "{message}");
            }
        }
    }
}

#[actix_rt::test]
async fn an_application_can_only_be_inserted_as_pending() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    for status in Status::ALL {
        assert_eq!(insert(&mut sql, status).await.is_ok(), status == Status::Pending, "{status}");
    }
}

#[actix_rt::test]
async fn history_is_immutable_and_applications_cannot_be_deleted() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    insert(&mut sql, Status::Pending).await.unwrap();
    for statement in [
        "UPDATE audit_logs SET changed_by = 'nobody'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "DELETE FROM applications",
        "UPDATE applications SET id = uuid_v7_now()",
        "UPDATE applications SET country = 'BR'",
    ] {
        assert!(execute(&mut sql, statement).await.is_err(), "{statement}");
    }
    assert_eq!(text(&mut sql, "SELECT count(*) FROM audit_logs").await.as_deref(), Some("1"));
}

#[actix_rt::test]
async fn an_id_must_be_a_version_7_uuid_of_the_current_time() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    for id in [
        "gen_random_uuid()",
        "uuid_v7_floor(now())",
        "overlay(uuid_v7_now()::text PLACING '4' FROM 15)::uuid",
        "overlay(uuid_v7_floor(date_trunc('month', now()) + interval '40 days')::text PLACING '7' FROM 15)::uuid",
    ] {
        let insert = format!(
            "INSERT INTO applications (id, country, full_name, identity_document, requested_amount, monthly_income, \
             currency) VALUES ({id}, 'ES', '\\x0041', '\\x0041', 1, 1, 'EUR')"
        );
        assert!(execute(&mut sql, &insert).await.is_err(), "{id}");
    }
}

#[actix_rt::test]
async fn cancelling_or_deleting_closes_the_job_and_restoring_queues_it_again() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    insert(&mut sql, Status::Pending).await.unwrap();
    let jobs = "SELECT count(*) FROM pending_jobs";
    execute(&mut sql, "UPDATE applications SET deleted_at = now()").await.unwrap();
    assert_eq!(text(&mut sql, jobs).await.as_deref(), Some("0"));
    execute(&mut sql, "UPDATE applications SET deleted_at = NULL").await.unwrap();
    assert_eq!(text(&mut sql, jobs).await.as_deref(), Some("1"));
    execute(&mut sql, "UPDATE applications SET status = 'CANCELLED'").await.unwrap();
    assert_eq!(text(&mut sql, jobs).await.as_deref(), Some("0"));
    let history = "SELECT string_agg(result::text, ' ') FROM job_history";
    assert_eq!(text(&mut sql, history).await.as_deref(), Some("superseded superseded"));
    let events = "SELECT string_agg(type, ' ' ORDER BY seq) FROM outbox";
    assert_eq!(
        text(&mut sql, events).await.as_deref(),
        Some(
            "application.created.v1 application.deleted.v1 application.restored.v1 application.status_changed.v1"
        )
    );
}

#[actix_rt::test]
async fn every_migration_can_be_reverted_and_run_again() {
    let database = TestDatabase::create().await;
    let reverted = aval::storage::migrations::revert_all(database.url()).await.unwrap();
    let mut sql = database.connect().await;
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                AND relname NOT LIKE '\\_\\_diesel%'";
    assert_eq!(text(&mut sql, left).await.as_deref(), Some("0"));
    assert_eq!(aval::storage::migrations::run_pending(database.url()).await.unwrap().len(), reverted);
}
