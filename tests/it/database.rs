//! Connecting to the database.

use std::rc::Rc;

use aval::storage::{Database, transaction};
use diesel_async::SimpleAsyncConnection as _;

use crate::support::app::TestApp;
use crate::support::builders::spanish;
use crate::support::chaos_proxy::{ChaosProxy, Upstream};
use crate::support::db::{Server, TestDatabase, execute, text};
use crate::support::engine::{key_ring, settings};
use crate::support::eventually;

#[actix_rt::test]
async fn an_unprivileged_database_user_can_serve() {
    let database = TestDatabase::create().await;
    let mut admin = database.connect().await;
    let user = format!("ordinary_{}", uuid::Uuid::new_v4().simple());
    admin.batch_execute(&format!("CREATE ROLE {user} LOGIN")).await.unwrap();
    let url = database.url().replacen("user=aval", &format!("user={user}"), 1);
    let pool = Database::connect(&url, &settings(&[]).database, key_ring(&settings(&[])), None).await;
    let result = match &pool {
        Ok(pool) => pool.time().await.map(drop),
        Err(error) => Err(error.clone()),
    };
    drop(pool);
    admin.batch_execute(&format!("DROP ROLE {user}")).await.unwrap();
    result.unwrap();
}

#[actix_rt::test]
async fn sessions_use_indexes_and_no_jit_whatever_the_server_settings() {
    let database = TestDatabase::create().await;
    let mut admin = database.connect().await;
    let name = text(&mut admin, "SELECT current_database()").await.unwrap();
    execute(&mut admin, &format!("ALTER DATABASE {name} SET jit = on")).await.unwrap();
    let pool = Database::connect(database.url(), &settings(&[]).database, key_ring(&settings(&[])), None)
        .await
        .unwrap();
    let planner = "SELECT current_setting('jit') || ' ' || current_setting('enable_seqscan')";
    let mut session = pool.get().await.unwrap();
    assert_eq!(text(&mut session, planner).await.as_deref(), Some("off off"));

    // Behind a pooler that assigns other sessions, each transaction changes the settings itself.
    execute(&mut session, "RESET ALL").await.unwrap();
    let alternatives = "SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings WHERE setting = 'on' AND name IN \
        ('jit', 'enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_sort')";
    assert_eq!(
        text(&mut session, alternatives).await.as_deref(),
        Some("enable_bitmapscan enable_hashjoin enable_mergejoin enable_seqscan enable_sort jit")
    );
    let within =
        transaction::single(&mut session, async |connection| Ok(text(connection, alternatives).await)).await;
    assert_eq!(within.unwrap(), None);
}

#[actix_rt::test]
async fn only_lists_are_read_from_a_replica_while_it_is_available() {
    // A database with other rows stands in for a lagging replica.
    let replica = TestDatabase::create().await;
    let app = TestApp::start(&[("DATABASE_READ_URL", replica.url())]).await;
    let id = app.submit(&spanish()).await;
    let listed =
        async || app.get("/api/v1/applications").await.expect(200)["applications"].as_array().unwrap().len();
    assert_eq!(listed().await, 0);
    app.get(&format!("/api/v1/applications/{id}")).await.expect(200);
    // Connections to the replica end, and new ones fail.
    drop(replica);
    eventually("lists to be read from the primary", async || {
        (app.get("/api/v1/applications").await.json["applications"].as_array()?.len() == 1).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn listening_and_leadership_bypass_a_pooler_and_requests_use_it() {
    let database = Rc::new(TestDatabase::create().await);
    let server = Server::of(&database);
    let proxy = || ChaosProxy::start(Upstream::Unix(server.socket_file()));
    let (pooler, direct) = (proxy(), proxy());
    let url = |proxy: &ChaosProxy| {
        format!("postgresql://aval@{}/{}?sslmode=disable", proxy.address(), server.database)
    };
    let urls = [("AVAL__DATABASE__URL", url(&pooler)), ("DATABASE_DIRECT_URL", url(&direct))];
    let urls: Vec<(&str, &str)> = urls.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let app = TestApp::start_on(Rc::clone(&database), &urls).await;
    let id = app.submit(&spanish()).await;
    assert_eq!(app.decided(&id).await, "APPROVED");
    // The listener and the two leader locks; nothing else is opened outside the pool.
    eventually("three connections that bypass the pooler", async || {
        (direct.connections() == 3).then_some(())
    })
    .await;
    assert!(pooler.connections() > 0);
}
