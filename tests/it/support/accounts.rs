//! Test accounts, and the requests that they send.

use actix_web::http::Method;
use bytes::Bytes;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use serde_json::Value;

use super::app::{Answer, TestApp};

/// The password of all test accounts. Its hash below is precomputed, because hashing is slow.
pub(crate) const PASSWORD: &str = "correct horse battery";
const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$XOD5KthPd+tmhCzS/HmSdQ$4HTFhEaT2ndgyAuKv5rvft/IeddqaSQbTFePVREG/xw";

/// An admin, the default caller.
pub(crate) const ADMIN: &str = "test-admin";
/// An analyst, who sees and reviews everything.
pub(crate) const ANALYST: &str = "test-analyst";
/// A user, who sees only their own applications.
pub(crate) const USER: &str = "test-user";
/// Another user.
pub(crate) const OTHER: &str = "test-other";

/// Creates the accounts unless they exist. It disables triggers, so tests see only the events that they cause
/// themselves.
pub(crate) async fn create(connection: &mut AsyncPgConnection) {
    let rows = [(ADMIN, "admin"), (ANALYST, "analyst"), (USER, "user"), (OTHER, "user")]
        .map(|(name, role)| format!("(uuid_v7_now(), '{name}', '{PASSWORD_HASH}', '{role}', 'test')"));
    let insert = format!(
        "SET session_replication_role = replica; \
         INSERT INTO users (id, username, password_hash, role, created_by) VALUES {} ON CONFLICT DO NOTHING; \
         RESET session_replication_role",
        rows.join(", ")
    );
    connection.batch_execute(&insert).await.unwrap();
}

/// Sends requests with one credential.
#[derive(Clone)]
pub(crate) struct Caller<'a> {
    pub(crate) app: &'a TestApp,
    /// The header with the credential; `None` for an anonymous caller.
    pub(crate) credential: Option<(&'static str, String)>,
}

impl Caller<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PUT, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &[], Bytes::new()).await
    }

    pub(crate) async fn send_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("Content-Type", "application/json")], body.to_string()).await
    }

    /// Sends any request and checks the response against the OpenAPI document.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let credential = self.credential.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = credential.chain(headers.iter().copied()).collect();
        self.app.send_as_is(method, path, &headers, body.into()).await
    }

    /// Creates an application, which must be accepted, and returns its identifier.
    pub(crate) async fn submit(&self, application: &Value) -> String {
        let created = self.post("/api/v1/applications", application).await.expect(201);
        created["id"].as_str().unwrap().to_owned()
    }
}
