//! Operators' views of the queue and of the actors.

use aval::domain::application::Country;
use aval::storage::jobs::{QUEUE_COUNT_LIMIT, dead_letters, depth, lane_figures};
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::builders::{body, spanish};
use crate::support::db::{TestDatabase, execute};
use crate::support::eventually;

const LIST: &str = "/api/v1/admin/jobs";

fn jobs(page: &Value) -> usize {
    page["jobs"].as_array().unwrap().len()
}

#[actix_rt::test]
async fn the_queue_is_listed_and_filtered_without_personal_data() {
    let app = TestApp::start_idle().await;
    let id = app.submit(&spanish()).await;
    app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    app.execute(
        "UPDATE pending_jobs SET status = 'waiting_external' WHERE id = \
         (SELECT min(id::text)::uuid FROM pending_jobs WHERE lane = 'MX')",
    )
    .await;
    for (query, count) in [
        (String::new(), 3),
        ("?status=pending".to_owned(), 2),
        ("?status=waiting_external&lane=MX".to_owned(), 1),
        ("?lane=ES".to_owned(), 1),
        ("?task=brew_coffee".to_owned(), 0),
        (format!("?application_id={id}"), 1),
    ] {
        let answer = app.get(&format!("{LIST}{query}")).await;
        let page = answer.text();
        assert!(!page.contains("12345678Z") && !page.contains("García"), "{page}");
        assert_eq!(jobs(&answer.expect(200)), count, "{query}");
    }
    let first = app.get(&format!("{LIST}?page_size=2")).await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(jobs(&app.get(&format!("{LIST}?page_size=2&cursor={cursor}")).await.expect(200)), 1);
    for (query, error) in [
        ("?sort=priority", "?sort unknown_sort"),
        ("?status=finished", "?status unknown_status"),
        ("?lane=a%20b", "?lane bad_identifier"),
        ("?application_id=x", "?application_id bad_uuid"),
        ("?lanes=ES", "?lanes unknown_parameter"),
    ] {
        let answer = app.get(&format!("{LIST}{query}")).await;
        assert_eq!(answer.field_errors(), [error]);
        answer.expect(422);
    }
}

#[actix_rt::test]
async fn the_queue_is_listed_oldest_first_on_request() {
    let app = TestApp::start_idle().await;
    for _ in 0..3 {
        app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    }
    let ids = async |query: String| -> (Vec<String>, Option<String>) {
        let page = app.get(&format!("{LIST}?{query}")).await.expect(200);
        let ids = page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned());
        (ids.collect(), page["next_cursor"].as_str().map(str::to_owned))
    };
    let (newest_first, _) = ids(String::new()).await;
    assert_eq!(newest_first.len(), 3);
    let (mut oldest_first, cursor) = ids("sort=created_at&page_size=2".to_owned()).await;
    let cursor = cursor.unwrap();
    let (rest, none) = ids(format!("sort=created_at&page_size=2&cursor={cursor}")).await;
    assert_eq!(none, None);
    oldest_first.extend(rest);
    oldest_first.reverse();
    assert_eq!(oldest_first, newest_first);
    let other_order = app.get(&format!("{LIST}?page_size=2&cursor={cursor}")).await;
    assert_eq!(other_order.field_errors(), ["?cursor bad_cursor"]);
}

#[actix_rt::test]
async fn the_figures_include_lanes_pauses_dead_letters_and_running_jobs() {
    let app = TestApp::start_idle().await;
    app.submit(&spanish()).await;
    app.submit(&spanish()).await;
    app.submit(&body(Country::Mx, "HERM850101MDFRRR08")).await;
    app.put("/api/v1/admin/jobs/lanes/MX", &json!({"paused": true, "reason": "test"})).await.expect(200);
    app.execute(
        "INSERT INTO failed_jobs (job_id, task_name, job_args, error_type, error_message, attempts) \
         VALUES (gen_random_uuid(), 't', '{}', 'panicked', 'x', 3)",
    )
    .await;
    let stats = app.get("/api/v1/admin/jobs/stats").await.expect(200);
    let lanes: Vec<String> = stats["lanes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lane| {
            format!("{} {} {} {}", lane["lane"], lane["status"], lane["jobs"], lane["paused"])
                .replace('"', "")
        })
        .collect();
    assert_eq!(lanes, ["ES pending 2 false", "MX pending 1 true"]);
    assert!(stats["lanes"][0]["oldest_age_ms"].as_i64().unwrap() >= 0);
    assert_eq!((&stats["depth"], &stats["running_here"]), (&json!(3), &json!(0)));
    let dead_letter_counts: Vec<String> = stats["dead_letters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letters| format!("{} {}", letters["status"].as_str().unwrap(), letters["jobs"]))
        .collect();
    assert_eq!(dead_letter_counts, ["pending 1", "reviewed 0", "reprocessed 0", "ignored 0"]);
    eventually("the leader's gauges", async || {
        let measured = app.metric("worker_queue_depth").await == 3.0
            && app.metric("dlq_jobs{status=\"pending\"}").await == 1.0;
        measured.then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_long_queue_is_not_counted_to_its_end() {
    let database = TestDatabase::create().await;
    let mut sql = database.connect().await;
    execute(
        &mut sql,
        "INSERT INTO pending_jobs (task_name, lane, created_at) SELECT 't', (ARRAY['ES', 'MX'])[1 + n % 2], \
         now() - n * interval '1 second' FROM generate_series(1, 25000) n",
    )
    .await
    .unwrap();
    execute(&mut sql, "ANALYZE pending_jobs").await.unwrap();
    assert_eq!(
        depth(&mut sql).await.unwrap(),
        25_000,
        "beyond the limit, the depth must be the estimate of the database's statistics"
    );
    let figures = lane_figures(&mut sql).await.unwrap();
    let counted: Vec<_> = figures.iter().map(|lane| (lane.lane.as_str(), lane.jobs)).collect();
    assert_eq!(counted, [("ES", QUEUE_COUNT_LIMIT), ("MX", QUEUE_COUNT_LIMIT)]);
    execute(&mut sql, "DELETE FROM pending_jobs WHERE lane = 'MX'").await.unwrap();
    let old = "DELETE FROM pending_jobs \
               WHERE created_at < (SELECT max(created_at) FROM pending_jobs) - interval '99.5 seconds'";
    execute(&mut sql, old).await.unwrap();
    assert_eq!(depth(&mut sql).await.unwrap(), 50, "below the limit, the depth must be exact");
    assert!(dead_letters(&mut sql).await.unwrap().iter().all(|letters| letters.jobs == 0));
}

#[actix_rt::test]
async fn every_permanent_actor_is_listed_with_its_queue() {
    let app = TestApp::start(&[("AVAL__ACTORS__APPLICATIONS__POOL_SIZE", "7")]).await;
    let list = app.get("/api/v1/admin/actors").await.expect(200);
    assert_eq!(list["instance"], json!(&*app.engine().resources.instance));
    assert_eq!(list["applications"]["size"], 7);
    assert_eq!(list["roles"], json!(["api", "worker", "relay", "consumer"]));
    let actors = list["actors"].as_array().unwrap();
    for name in
        ["write_batcher", "scheduler", "supervisor", "provider_gateway", "outbox_relay", "housekeeper"]
    {
        let actor = actors.iter().find(|actor| actor["actor"] == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((&actor["alive"], &actor["restarts"]), (&json!(true), &json!(0)), "{name}");
        assert!(actor["waiting"].as_i64().unwrap() >= 0, "{name}");
        assert!(actor["capacity"].as_u64().unwrap() > 0, "{name}");
    }
}
