//! The order of the queue, and taking the next application from it.

use std::collections::BTreeSet;

use aval::domain::application::Country;
use aval::providers::simulator::scenario::Scenario;
use aval::providers::simulator::test_documents::test_documents;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{NEXT, QUEUE, application_id, assignment, pending, queue, start, under_review};
use crate::support::accounts::ANALYST;
use crate::support::app::TestApp;
use crate::support::builders::body;
use crate::support::eventually;

#[actix_rt::test]
async fn the_queue_is_listed_page_by_page_in_the_order_of_waiting_time() {
    let app = start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(pending(&app, Country::Es).await);
    }
    // Puts them under review in the reverse order of their creation.
    ids.reverse();
    for id in &ids {
        for status in ["VALIDATING", "UNDER_REVIEW"] {
            app.execute(&format!("UPDATE applications SET status = '{status}' WHERE id = '{id}'")).await;
        }
    }
    // Two of them have the same time.
    app.execute(&format!(
        "UPDATE reviews SET waiting_since = (SELECT waiting_since FROM reviews WHERE application_id = '{}') \
         WHERE application_id = '{}'",
        ids[1], ids[2]
    ))
    .await;
    ids[1..3].sort();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{QUEUE}?limit=2&cursor={cursor}")).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(application_id));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen, ids);
    let since = app.sql(&format!("SELECT updated_at FROM applications WHERE id = '{}'", ids[0])).await;
    let waiting =
        app.sql(&format!("SELECT waiting_since FROM reviews WHERE application_id = '{}'", ids[0])).await;
    assert_eq!(waiting, since, "an application waits from the time of its change of status");
}

#[actix_rt::test]
async fn the_queue_is_filtered_by_country_and_assignment() {
    let app = start().await;
    let spanish = [under_review(&app, Country::Es).await, under_review(&app, Country::Es).await];
    let mexican = under_review(&app, Country::Mx).await;
    let analyst = app.acting_as(ANALYST).await;
    analyst.send_json(actix_web::http::Method::PUT, &assignment(&spanish[1]), &json!({})).await.expect(200);
    let all = [spanish[0].as_str(), &spanish[1], &mexican];
    for (query, by_analyst, by_admin) in [
        ("", &[all[0], all[1], all[2]][..], &[all[0], all[1], all[2]][..]),
        ("country=mx", &[all[2]], &[all[2]]),
        ("assignment=unassigned", &[all[0], all[2]], &[all[0], all[2]]),
        ("assignment=mine", &[all[1]], &[]),
        ("assignment=others", &[], &[all[1]]),
        ("assignment=unassigned&country=ES", &[all[0]], &[all[0]]),
    ] {
        assert_eq!(queue(&analyst, query).await, by_analyst, "{query}");
        assert_eq!(queue(&app.admin(), query).await, by_admin, "{query}");
    }
}

#[actix_rt::test]
async fn concurrent_requests_for_the_next_application_get_different_ones() {
    let app = start().await;
    let mut ids = BTreeSet::new();
    for _ in 0..6 {
        ids.insert(under_review(&app, Country::Es).await);
    }
    let (analyst, admin) = (app.acting_as(ANALYST).await, app.admin());
    let body = json!({});
    let requests =
        (0..6).map(|n| if n % 2 == 0 { analyst.post(NEXT, &body) } else { admin.post(NEXT, &body) });
    let taken: Vec<Value> = join_all(requests).await.into_iter().map(|answer| answer.expect(200)).collect();
    assert_eq!(taken.iter().map(application_id).collect::<BTreeSet<_>>(), ids);
    for (n, review) in taken.iter().enumerate() {
        let name = if n % 2 == 0 { ANALYST } else { crate::support::accounts::ADMIN };
        assert_eq!(review["assignment"]["assigned_to_name"], name);
    }
    analyst.post(NEXT, &body).await.expect(204);
}

#[actix_rt::test]
async fn the_next_application_is_the_one_that_has_waited_longest_in_the_country() {
    let app = start().await;
    let mexican = under_review(&app, Country::Mx).await;
    let spanish = [under_review(&app, Country::Es).await, under_review(&app, Country::Es).await];
    let analyst = app.acting_as(ANALYST).await;
    let spain = json!({"country": "ES"});
    for expected in &spanish {
        assert_eq!(application_id(&analyst.post(NEXT, &spain).await.expect(200)), *expected);
    }
    analyst.post(NEXT, &spain).await.expect(204);
    assert_eq!(application_id(&analyst.post(NEXT, &json!({})).await.expect(200)), mexican);
    let refused = analyst.post(NEXT, &json!({"country": "FR"})).await;
    assert_eq!(refused.field_errors(), ["/country unknown_country"]);

    app.execute(&format!("UPDATE reviews SET expires_at = now() WHERE application_id = '{}'", spanish[1]))
        .await;
    assert_eq!(application_id(&app.post(NEXT, &spain).await.expect(200)), spanish[1]);
}

#[actix_rt::test]
async fn an_entry_of_the_queue_shows_the_application_and_the_reasons_of_its_decision() {
    let app = TestApp::start(&[]).await;
    let row = test_documents().find(|row| row.country == Country::Es && row.scenario == Scenario::NoScore);
    let id = app.submit(&body(Country::Es, row.unwrap().document)).await;
    app.reaches(&id, "UNDER_REVIEW").await;
    let analyst = app.acting_as(ANALYST).await;
    let review = analyst.get(QUEUE).await.expect(200)["items"][0].clone();
    assert_eq!(review["reasons"], json!(app.reasons(&id).await));
    assert_eq!(review["reasons"], json!(["MISSING_CREDIT_SCORE"]));
    let listed = app.get("/api/v1/applications").await.expect(200)["applications"][0].clone();
    assert_eq!(review["application"], listed);
    assert_eq!(analyst.post(NEXT, &json!({})).await.expect(200)["application"], listed);

    let views =
        format!("SELECT string_agg(action, ' ' ORDER BY id) FROM staff_views WHERE account = '{ANALYST}'");
    eventually("the audit views", async || {
        (app.sql(&views).await == "application_list application").then_some(())
    })
    .await;
}
