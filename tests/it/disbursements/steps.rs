//! Each step and each compensation run twice, and the rules that the database enforces.

use aval::domain::application::Country;
use aval::domain::disbursement::workflow::{EDGES, State};
use aval::domain::money::Money;
use aval::storage::disbursements::pools::{self, Entry};
use diesel_async::AsyncPgConnection;

use super::*;
use crate::support::db::{TestDatabase, execute, text};

fn entry(actor: &str) -> Entry<'_> {
    Entry { id: Uuid::now_v7(), country: Country::Es, actor }
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

async fn levels(sql: &mut AsyncPgConnection) -> (String, String) {
    let level =
        pools::levels(sql).await.unwrap().into_iter().find(|level| level.country == Country::Es).unwrap();
    (level.available.to_string(), level.reserved.to_string())
}

fn shown(available: &str, reserved: &str) -> (String, String) {
    (available.to_owned(), reserved.to_owned())
}

#[actix_rt::test]
async fn every_effect_on_pools_and_ledger_happens_once_however_often_it_runs() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    execute(&mut sql, "BEGIN").await.unwrap();
    pools::deposit(&mut sql, &entry("test"), money("100000")).await.unwrap();
    let (paid, released, reversal) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for _ in 0..2 {
        // Larger than any share, so it is gathered from several.
        assert!(pools::reserve(&mut sql, paid, Country::Es, money("60000")).await.unwrap());
        assert!(pools::reserve(&mut sql, released, Country::Es, money("5000")).await.unwrap());
        assert_eq!(levels(&mut sql).await, shown("35000.00", "65000.00"));
    }
    for _ in 0..2 {
        pools::release(&mut sql, released).await.unwrap();
        assert_eq!(levels(&mut sql).await, shown("40000.00", "60000.00"));
    }
    for _ in 0..2 {
        pools::book(&mut sql, &entry("test"), paid).await.unwrap();
        assert_eq!(levels(&mut sql).await, shown("40000.00", "0.00"));
    }
    for _ in 0..2 {
        pools::book_return(&mut sql, &entry("test"), reversal, paid, money("60000")).await.unwrap();
        assert_eq!(levels(&mut sql).await, shown("100000.00", "0.00"));
    }
    execute(&mut sql, "COMMIT").await.unwrap();
    let entries = "SELECT string_agg(kind, ',' ORDER BY id) FROM ledger_entries";
    assert_eq!(text(&mut sql, entries).await.unwrap(), "deposit,payout,return");
}

#[actix_rt::test]
async fn concurrent_reservations_take_exactly_the_funds_that_there_are() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    execute(&mut sql, "BEGIN").await.unwrap();
    pools::deposit(&mut sql, &entry("test"), money("1000")).await.unwrap();
    execute(&mut sql, "COMMIT").await.unwrap();
    let workers = (0..8).map(async |_| {
        let mut own = database.connect().await;
        let mut made = 0;
        for _ in 0..20 {
            execute(&mut own, "BEGIN").await.unwrap();
            made +=
                i32::from(pools::reserve(&mut own, Uuid::now_v7(), Country::Es, money("10")).await.unwrap());
            execute(&mut own, "COMMIT").await.unwrap();
        }
        made
    });
    let made: i32 = futures_util::future::join_all(workers).await.into_iter().sum();
    assert_eq!(made, 100);
    assert_eq!(levels(&mut sql).await, shown("0.00", "1000.00"));
}

#[actix_rt::test]
async fn the_database_permits_exactly_the_transitions_of_the_table() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    for from in State::ALL {
        for to in State::ALL {
            let query = format!("SELECT disbursement_may_become('{from}', '{to}')::text");
            let permitted = text(&mut sql, &query).await.unwrap() == "true";
            let listed = EDGES.iter().any(|edge| edge.from == *from && edge.to == *to);
            assert_eq!(permitted, listed, "{from} to {to}");
        }
    }
}

#[actix_rt::test]
async fn plain_sql_cannot_break_the_rules() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "COMPLETED").await;
    let mut sql = app.database.connect().await;
    for (statement, constraint) in [
        ("UPDATE disbursements SET state = 'PENDING'", "cannot go from"),
        ("UPDATE disbursements SET state = 'RETURNED'", "disbursements_of_their_last_event"),
        ("UPDATE disbursements SET amount = amount + 1", "never change"),
        ("UPDATE disbursements SET payment_key = uuid_v7_now()", "never change"),
        ("UPDATE disbursement_events SET kind = 'booked'", "append-only"),
        ("DELETE FROM disbursement_events", "append-only"),
        ("UPDATE ledger_lines SET amount = amount + 1", "append-only"),
        ("DELETE FROM ledger_entries", "append-only"),
        ("UPDATE funding_pool_shares SET available = -1", "funding_pool_shares_available_not_negative"),
        ("UPDATE funding_reservations SET status = 'released'", "released or booked once"),
        (
            "WITH e AS (INSERT INTO ledger_entries (id, kind, country, actor) VALUES (uuid_v7_now(), 'deposit', 'ES', 'x') \
             RETURNING id) INSERT INTO ledger_lines SELECT id, 'pool', 5 FROM e",
            "does not balance",
        ),
        (
            "INSERT INTO ledger_entries (id, kind, country, actor) VALUES (uuid_v7_now(), 'deposit', 'ES', 'x')",
            "does not balance",
        ),
    ] {
        let refused = execute(&mut sql, statement).await.expect_err(statement).to_string();
        assert!(refused.contains(constraint), "{statement}: {refused}");
    }
    assert_sound(&app).await;
}

#[actix_rt::test]
async fn a_damaged_projection_is_restored_from_the_events() {
    let app = start().await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    reaches(&app, &id, "COMPLETED").await;
    let before = app.sql("SELECT d::text FROM disbursements d").await;
    script(
        &app,
        "BEGIN; SET LOCAL aval.rebuilding = 'on'; \
         UPDATE disbursements SET rail_reference = 'wrong', reason = NULL; COMMIT",
    )
    .await;
    let resources = &app.engine().resources;
    let rebuilt = async |restores| rebuild(&resources.database, &resources.logger, restores).await.unwrap();
    assert_eq!(rebuilt(false).await, Comparison { compared: 1, different: 1 });
    assert_eq!(rebuilt(true).await, Comparison { compared: 1, different: 1 });
    assert_eq!(rebuilt(true).await, Comparison { compared: 1, different: 0 });
    assert_eq!(app.sql("SELECT d::text FROM disbursements d").await, before);
}

#[actix_rt::test]
async fn an_application_cannot_be_deleted_while_it_is_being_paid_out() {
    let app = start_with(&[("AVAL__DISBURSEMENTS__APPROVAL_ABOVE__ES", "1")]).await;
    let id = begin(&app, Country::Es, &spanish("32")).await;
    let waiting = reaches(&app, &id, "AWAITING_APPROVAL").await;
    let application = waiting["application_id"].as_str().unwrap();
    app.delete(&format!("/api/v1/applications/{application}")).await.expect(409);
}
