//! Assignments of applications under review, and what other accounts can do while an application is assigned.

use actix_web::http::Method;
use aval::domain::application::Country;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use super::{NEXT, QUEUE, assignment, colleague, pending, queue, start, status, under_review};
use crate::support::accounts::{ADMIN, ANALYST, USER};
use crate::support::app::{TestApp, TestSocket};
use crate::webhooks::confirmed;

async fn put(caller: &crate::support::accounts::Caller<'_>, id: &str) -> crate::support::app::Answer {
    caller.send(Method::PUT, &assignment(id), &[], Bytes::new()).await
}

fn time(value: &Value) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap()
}

#[actix_rt::test]
async fn an_analyst_assigns_extends_and_releases_an_application() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    let analyst = app.acting_as(ANALYST).await;
    let first = put(&analyst, &id).await.expect(200);
    assert_eq!((&first["application_id"], &first["assigned_to_name"]), (&json!(id), &json!(ANALYST)));
    let account = app.sql(&format!("SELECT id FROM users WHERE username = '{ANALYST}'")).await;
    assert_eq!(first["assigned_to"], json!(account));
    assert_eq!(time(&first["expires_at"]) - time(&first["assigned_at"]), TimeDelta::minutes(15));

    let second = put(&analyst, &id).await.expect(200);
    assert_eq!(second["assigned_at"], first["assigned_at"]);
    assert!(time(&second["expires_at"]) > time(&first["expires_at"]));
    let state = analyst.get(&assignment(&id)).await.expect(200);
    assert_eq!(
        (&state["application_id"], &state["assignment"]["expires_at"]),
        (&json!(id), &second["expires_at"])
    );
    let listed = analyst.get(QUEUE).await.expect(200)["items"][0]["assignment"].clone();
    for name in ["assigned_to", "assigned_to_name", "assigned_at", "expires_at"] {
        assert_eq!(listed[name], second[name], "{name}");
    }

    for _ in 0..2 {
        analyst.delete(&assignment(&id)).await.expect(204);
        assert_eq!(analyst.get(QUEUE).await.expect(200)["items"][0]["assignment"], Value::Null);
        assert_eq!(analyst.get(&assignment(&id)).await.expect(200)["assignment"], Value::Null);
    }
    assert_eq!(put(&analyst, &id).await.expect(200)["assigned_to_name"], ANALYST);
}

#[actix_rt::test]
async fn an_assigned_application_can_only_be_decided_by_its_assignee() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    let (analyst, second) = (app.acting_as(ANALYST).await, colleague(&app).await);
    let expires_at = put(&analyst, &id).await.expect(200)["expires_at"].clone();
    let decision = json!({"status": "REJECTED", "reason": "x"});
    let key =
        json!({"name": "robot", "role": "admin", "scopes": ["applications:write", "applications:review"]});
    let key = app.post("/api/v1/api-keys", &key).await.expect(201)["key"].as_str().unwrap().to_owned();
    let refused = [
        put(&app.admin(), &id).await,
        put(&second, &id).await,
        second.delete(&assignment(&id)).await,
        second.put(&status(&id), &decision).await,
        app.put(&status(&id), &decision).await,
        app.patch(&format!("/api/v1/applications/{id}"), &decision).await,
        app.with_key(&key).put(&status(&id), &decision).await,
    ];
    for answer in refused {
        let problem = answer.expect(409);
        assert_eq!(problem["code"], "assigned_to_another");
        assert_eq!((&problem["assigned_to_name"], &problem["expires_at"]), (&json!(ANALYST), &expires_at));
    }
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW");

    analyst.put(&status(&id), &decision).await.expect(200);
    assert_eq!(app.trail(&id).await, "PENDING VALIDATING UNDER_REVIEW REJECTED");
    assert_eq!(app.sql("SELECT count(*) FROM reviews").await, "0");
}

#[actix_rt::test]
async fn an_admin_decides_an_assigned_application_after_releasing_it() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    put(&app.acting_as(ANALYST).await, &id).await.expect(200);
    app.delete(&assignment(&id)).await.expect(204);
    app.put(&status(&id), &json!({"status": "APPROVED"})).await.expect(200);
}

#[actix_rt::test]
async fn an_expired_assignment_counts_as_none() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    let (analyst, second) = (app.acting_as(ANALYST).await, colleague(&app).await);
    let first = put(&analyst, &id).await.expect(200);
    app.execute("UPDATE reviews SET expires_at = now()").await;
    for (query, expected) in [("assignment=unassigned", 1), ("assignment=mine", 0)] {
        assert_eq!(queue(&analyst, query).await.len(), expected, "{query}");
    }
    assert_eq!(queue(&second, "assignment=others").await.len(), 0);
    assert_eq!(analyst.get(QUEUE).await.expect(200)["items"][0]["assignment"], Value::Null);
    let again = put(&analyst, &id).await.expect(200);
    assert!(time(&again["assigned_at"]) > time(&first["assigned_at"]), "the assignment must be a new one");

    app.execute("UPDATE reviews SET expires_at = now()").await;
    assert_eq!(put(&second, &id).await.expect(200)["assigned_to_name"], "second-analyst");
    app.execute("UPDATE reviews SET expires_at = now()").await;
    analyst.put(&status(&id), &json!({"status": "APPROVED"})).await.expect(200);
}

#[actix_rt::test]
async fn only_an_application_under_review_can_be_assigned() {
    let app = start().await;
    let new = pending(&app, Country::Es).await;
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(put(&app.admin(), &new).await.expect(409)["code"], "not_under_review");
    app.delete(&assignment(&new)).await.expect(204);
    put(&app.admin(), unknown).await.expect(404);
    app.delete(&assignment(unknown)).await.expect(404);
}

#[actix_rt::test]
async fn a_deleted_application_leaves_the_queue_and_returns_when_it_is_restored() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    put(&app.acting_as(ANALYST).await, &id).await.expect(200);
    app.delete(&format!("/api/v1/applications/{id}")).await.expect(204);
    assert_eq!(app.sql("SELECT count(*) FROM reviews").await, "0");
    put(&app.admin(), &id).await.expect(404);
    app.post(&format!("/api/v1/applications/{id}/restore"), &json!({})).await.expect(200);
    assert_eq!(queue(&app.admin(), "assignment=unassigned").await, [id]);
}

#[actix_rt::test]
async fn a_webhook_decides_an_assigned_application() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    put(&app.acting_as(ANALYST).await, &id).await.expect(200);
    assert_eq!(confirmed(&id).send(&app).await.expect(200)["status"], "APPROVED");
    assert_eq!(app.sql("SELECT count(*) FROM reviews").await, "0");
}

#[actix_rt::test]
async fn only_people_with_the_role_analyst_take_reviews() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    let key =
        json!({"name": "robot", "role": "analyst", "scopes": ["applications:read", "applications:review"]});
    let key = app.post("/api/v1/api-keys", &key).await.expect(201)["key"].as_str().unwrap().to_owned();
    let key = app.with_key(&key);
    let bulk = json!({"filter": {}, "status": "REJECTED", "reason": "x", "dry_run": true});
    let many = "/api/v1/applications/bulk-status";
    let (user, analyst, admin) =
        (app.acting_as(USER).await, app.acting_as(ANALYST).await, app.acting_as(ADMIN).await);
    for (caller, list, take, next) in
        [(&user, 403, 403, 403), (&key, 200, 403, 403), (&analyst, 200, 200, 204), (&admin, 200, 409, 204)]
    {
        assert_eq!(caller.get(QUEUE).await.status.as_u16(), list);
        assert_eq!(caller.post(many, &bulk).await.status.as_u16(), list);
        assert_eq!(put(caller, &id).await.status.as_u16(), take);
        assert_eq!(caller.post(NEXT, &json!({})).await.status.as_u16(), next);
    }
    for caller in [&user, &key] {
        caller.delete(&assignment(&id)).await.expect(403);
    }
}

async fn socket_of(app: &TestApp, username: &str) -> TestSocket {
    let token = app.acting_as(username).await.credential.unwrap().1;
    let mut socket = app.unauthenticated_websocket("").await;
    assert_eq!(socket.authenticate(token.strip_prefix("Bearer ").unwrap()).await["type"], "authenticated");
    socket
}

/// The next update, which must be a review update of this type.
async fn next(socket: &mut TestSocket, event_type: &str) -> Value {
    let update = socket.json().await;
    assert_eq!((&update["type"], &update["event_type"]), (&json!("review_update"), &json!(event_type)));
    update["data"].clone()
}

#[actix_rt::test]
async fn assignments_reach_the_sockets_of_staff() {
    let app = start().await;
    let id = under_review(&app, Country::Es).await;
    let channel = json!({"channel": "reviews"});
    let mut sockets = [socket_of(&app, ADMIN).await, socket_of(&app, ANALYST).await];
    for socket in &mut sockets {
        socket.subscribe(&channel).await;
    }
    let mut of_user = socket_of(&app, USER).await;
    of_user.send(&json!({"action": "subscribe", "channel": "reviews"})).await;
    let refused = of_user.json().await;
    assert_eq!((&refused["code"], &refused["channel"]), (&json!("forbidden"), &json!("reviews")));

    let analyst = app.acting_as(ANALYST).await;
    let made = put(&analyst, &id).await.expect(200);
    analyst.delete(&assignment(&id)).await.expect(204);
    put(&analyst, &id).await.expect(200);
    analyst.put(&status(&id), &json!({"status": "APPROVED"})).await.expect(200);
    let released = json!({"application_id": id, "country": "ES", "assigned_to": made["assigned_to"]});
    for socket in &mut sockets {
        let mut assigned = released.clone();
        assigned["expires_at"] = made["expires_at"].clone();
        assert_eq!(next(socket, "review.assigned.v1").await, assigned);
        assert_eq!(next(socket, "review.released.v1").await, released);
        next(socket, "review.assigned.v1").await;
        assert_eq!(
            next(socket, "review.released.v1").await,
            released,
            "the decision must end the assignment"
        );
    }
    let own = "SELECT string_agg((request_id IS NOT NULL)::text, ' ' ORDER BY seq) FROM outbox WHERE type LIKE 'review.%'";
    assert_eq!(app.sql(own).await, "true true true false", "requests must be recorded");
}
