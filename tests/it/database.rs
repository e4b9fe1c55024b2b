//! Connecting to the database.

use aval::storage::Database;
use diesel_async::SimpleAsyncConnection as _;

use crate::support::db::TestDatabase;
use crate::support::engine::{key_ring, settings};

#[actix_rt::test]
async fn an_ordinary_database_user_can_serve() {
    let database = TestDatabase::create().await;
    let mut admin = database.connect().await;
    let user = format!("ordinary_{}", uuid::Uuid::new_v4().simple());
    admin.batch_execute(&format!("CREATE ROLE {user} LOGIN")).await.unwrap();
    let url = database.url().replacen("user=aval", &format!("user={user}"), 1);
    let pool = Database::connect(&url, &settings(&[]).database, key_ring(&settings(&[]))).await;
    let pong = match &pool {
        Ok(pool) => pool.time().await.map(drop),
        Err(error) => Err(error.clone()),
    };
    drop(pool);
    admin.batch_execute(&format!("DROP ROLE {user}")).await.unwrap();
    pong.unwrap();
}
