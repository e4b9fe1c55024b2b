//! Streams in Redis: losses of data, entries that a dead consumer left, dead letters, old entries, and consumer groups of other
//! systems. The conformance suite (`consumers.rs`) covers the consumers in Aval.

use std::collections::HashMap;

use aval::error::Error;
use aval::storage::consumers::partition_of;
use redis::streams::{StreamInfoConsumersReply, StreamPendingReply, StreamRangeReply, StreamReadReply};
use redis::{Connection, FromRedisValue, cmd};
use serde_json::Value;
use uuid::Uuid;

use super::consumers::{Fault, Stage, Transport, new_subject};
use crate::support::app::TestApp;
use crate::support::db::TestDatabase;
use crate::support::engine::try_start_engine;
use crate::support::eventually;
use crate::support::redis::RedisServer;

const GROUP: &str = "warehouse";

fn key_of(subject: Uuid) -> String {
    format!("domain-events:{{{:02}}}", partition_of(subject))
}

fn keys() -> Vec<String> {
    (0..16).map(|partition| format!("domain-events:{{{partition:02}}}")).collect()
}

/// Runs a command given as words.
fn run<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query(connection).unwrap()
}

fn server(stage: &Stage) -> &RedisServer {
    stage.redis.as_ref().unwrap()
}

fn length(connection: &mut Connection, key: &str) -> usize {
    run(connection, &["XLEN", key])
}

/// Waits until a stream has this number of entries.
async fn has_length(stage: &Stage, key: &str, expected: usize) {
    let mut connection = server(stage).connection();
    let mut seen = 0;
    eventually(&format!("{key} to have {expected} entries"), async || {
        seen = length(&mut connection, key);
        (seen == expected).then_some(())
    })
    .await;
}

/// The events that a group reads next, as `consumer`.
fn read(
    connection: &mut Connection,
    key: &str,
    consumer: &str,
) -> Vec<(String, HashMap<String, redis::Value>)> {
    let words = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", "100", "STREAMS", key, ">"];
    let reply: StreamReadReply = run(connection, &words);
    let entries = reply.keys.into_iter().flat_map(|stream| stream.ids);
    entries.map(|entry| (entry.id, entry.map)).collect()
}

fn numbers(entries: &[(String, HashMap<String, redis::Value>)]) -> Vec<i64> {
    let number = |fields: &HashMap<String, redis::Value>| {
        let event: String = redis::from_redis_value_ref(&fields["event"]).unwrap();
        let event: Value = serde_json::from_str(&event).unwrap();
        event["data"]["number"].as_i64().unwrap()
    };
    entries.iter().map(|(_, fields)| number(fields)).collect()
}

fn acknowledge(connection: &mut Connection, key: &str, entries: &[(String, HashMap<String, redis::Value>)]) {
    for (id, _) in entries {
        let _: i64 = run(connection, &["XACK", key, GROUP, id]);
    }
}

/// Writes this number of toys about a subject at once.
async fn write_many(stage: &Stage, subject: Uuid, count: u32) {
    let sql = format!(
        "SELECT record_event(uuid_v7_now(), 'toy.made.v1', '{subject}', NULL, jsonb_build_object('number', n)) \
         FROM generate_series(1, {count}) n"
    );
    stage.execute(&sql).await;
}

#[actix_rt::test]
async fn effects_happen_once_while_redis_loses_its_data() {
    let stage = Stage::open(Transport::Redis).await;
    let _instances = [stage.start("one"), stage.start("two")];
    let subjects: Vec<Uuid> = (0..8).map(|_| new_subject()).collect();
    for number in 0..10 {
        for subject in &subjects {
            stage.write_toys(*subject, [number]).await;
        }
        server(&stage).flush();
    }
    for subject in subjects {
        stage.expect(subject, 0..10).await;
    }
}

#[actix_rt::test]
async fn consumers_continue_without_redis_and_the_streams_are_filled_again() {
    let mut stage = Stage::open_with(Transport::Redis, &[("AVAL__REDIS__BREAKER_OPEN_MS", "100")]).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    stage.write_toys(subject, 0..4).await;
    stage.expect(subject, 0..4).await;
    has_length(&stage, &key_of(subject), 4).await;
    stage.redis.as_mut().unwrap().kill();
    stage.write_toys(subject, 4..8).await;
    stage.expect(subject, 0..8).await;
    stage.redis.as_mut().unwrap().restart();
    // The groups of this process are known, so only events that they need would have to be appended. A new event shows
    // that the stream works again.
    let before = stage.streamed();
    let mut number = 8;
    eventually("events to arrive by the stream", async || {
        stage.write_toys(subject, [number]).await;
        number += 1;
        stage.expect(subject, 0..number).await;
        (stage.streamed() > before).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn lost_groups_are_created_again_at_the_positions_in_the_database() {
    let stage = Stage::open(Transport::Redis).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    stage.write_toys(subject, 0..3).await;
    stage.expect(subject, 0..3).await;
    let mut connection = server(&stage).connection();
    eventually("the group", async || {
        let destroyed: i64 = run(&mut connection, &["XGROUP", "DESTROY", &key_of(subject), "aval.parking"]);
        (destroyed == 1).then_some(())
    })
    .await;
    let before = stage.streamed();
    let mut number = 3;
    eventually("events to arrive by the stream", async || {
        stage.write_toys(subject, [number]).await;
        number += 1;
        stage.expect(subject, 0..number).await;
        (stage.streamed() > before).then_some(())
    })
    .await;
    let handled = "SELECT count(*) FROM inbox WHERE consumer = 'parking'";
    assert_eq!(stage.text(handled).await, number.to_string());
}

#[actix_rt::test]
async fn entries_of_a_dead_consumer_are_taken_over_and_its_name_disappears() {
    let stage = Stage::open(Transport::Redis).await;
    let subject = new_subject();
    let key = key_of(subject);
    let mut connection = server(&stage).connection();
    stage.write_toys(subject, 0..4).await;
    has_length(&stage, &key, 4).await;
    // A former pod read the entries and died. One of them has been deleted since.
    let _: () = run(&mut connection, &["XGROUP", "CREATE", &key, "aval.parking", "0"]);
    let words = ["XREADGROUP", "GROUP", "aval.parking", "pod-1", "STREAMS", &key, ">"];
    let read: StreamReadReply = run(&mut connection, &words);
    let _: i64 = run(&mut connection, &["XDEL", &key, &read.keys[0].ids[1].id]);
    let _instance = stage.start("one");
    stage.expect(subject, 0..4).await;
    eventually("the former pod to disappear", async || {
        let pending: StreamPendingReply = run(&mut connection, &["XPENDING", &key, "aval.parking"]);
        let consumers: StreamInfoConsumersReply =
            run(&mut connection, &["XINFO", "CONSUMERS", &key, "aval.parking"]);
        let names: Vec<&str> = consumers.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        (pending.count() == 0 && names == ["one"]).then_some(())
    })
    .await;
    assert_eq!(stage.effects(subject).await, [0, 1, 2, 3]);
}

#[actix_rt::test]
async fn dead_letters_are_copied_to_a_stream_once_redis_accepts_them() {
    let mut stage = Stage::open_with(Transport::Redis, &[("AVAL__REDIS__BREAKER_OPEN_MS", "100")]).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    stage.script.set(1, Fault::Fail, u32::MAX);
    stage.redis.as_mut().unwrap().kill();
    stage.write_toys(subject, [1]).await;
    stage.dead_letters(1).await;
    assert_eq!(stage.text("SELECT count(copied_at) FROM deferred_events").await, "0");
    stage.redis.as_mut().unwrap().restart();
    stage.holds("SELECT count(copied_at) FROM deferred_events", "1").await;
    let mut connection = server(&stage).connection();
    let copied: StreamRangeReply = run(&mut connection, &["XRANGE", "domain-events:dead-letters", "-", "+"]);
    assert_eq!(copied.ids.len(), 1);
    let text = |name| copied.ids[0].get::<String>(name).unwrap();
    let event: Value = serde_json::from_str(&text("event")).unwrap();
    assert_eq!((text("consumer"), text("attempts")), ("parking".to_owned(), "3".to_owned()));
    assert_eq!(
        (text("error_type"), &event["subject"]),
        ("conflict".to_owned(), &Value::from(subject.to_string()))
    );
}

#[actix_rt::test]
async fn entries_are_deleted_when_every_group_has_acknowledged_them_and_not_before() {
    let stage = Stage::open(Transport::Redis).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    let key = key_of(subject);
    let mut connection = server(&stage).connection();
    let _: () = run(&mut connection, &["XGROUP", "CREATE", &key, GROUP, "0", "MKSTREAM"]);
    write_many(&stage, subject, 1500).await;
    has_length(&stage, &key, 1500).await;
    let first = read(&mut connection, &key, "a");
    assert_eq!(numbers(&first), (1..=100).collect::<Vec<_>>());
    // The first entry stays pending, the others are acknowledged.
    acknowledge(&mut connection, &key, &first[1..]);
    let mut last = first.len();
    while last < 1500 {
        let more = read(&mut connection, &key, "a");
        acknowledge(&mut connection, &key, &more);
        last += more.len();
    }
    let lag = &stage.test.engine.resources.metrics.event_stream_group_lag_events;
    let lag = |group| lag.with_label_values(&[group]).get();
    eventually("a check after the reads", async || {
        (lag(GROUP) > 1400.0 && lag("aval.parking") < 1.0).then_some(())
    })
    .await;
    assert_eq!(length(&mut connection, &key), 1500, "the first entry is still pending");
    acknowledge(&mut connection, &key, &first[..1]);
    eventually("old entries to be deleted", async || (length(&mut connection, &key) <= 1001).then_some(()))
        .await;
    assert!(length(&mut connection, &key) >= 900, "the newest entries are kept");
}

#[actix_rt::test]
async fn a_group_that_is_left_behind_is_reported_and_loses_the_oldest_entries() {
    let stage = Stage::open_with(Transport::Redis, &[("AVAL__EVENTS__STREAM_MAX_EVENTS", "1000")]).await;
    let subject = new_subject();
    let key = key_of(subject);
    let mut connection = server(&stage).connection();
    let _: () = run(&mut connection, &["XGROUP", "CREATE", &key, GROUP, "0", "MKSTREAM"]);
    for _ in 0..3 {
        write_many(&stage, subject, 700).await;
        stage.holds("SELECT count(*) FROM outbox WHERE relay_offset IS NULL", "0").await;
        eventually("the events to be appended", async || {
            let last: StreamRangeReply = run(&mut connection, &["XREVRANGE", &key, "+", "-", "COUNT", "1"]);
            let end = stage.text("SELECT last_offset || '-1' FROM outbox_position").await;
            (last.ids.first().is_some_and(|entry| entry.id == end)).then_some(())
        })
        .await;
    }
    eventually("old entries to be deleted", async || (length(&mut connection, &key) <= 1001).then_some(()))
        .await;
    let lag = &stage.test.engine.resources.metrics.event_stream_group_lag_events;
    eventually("the lag to be reported", async || {
        (lag.with_label_values(&[GROUP]).get() >= 1000.0).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn foreign_groups_survive_the_loss_of_all_data_without_missing_an_event() {
    let stage = Stage::open(Transport::Redis).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    let key = key_of(subject);
    let mut connection = server(&stage).connection();
    let _: () = run(&mut connection, &["XGROUP", "CREATE", &key, GROUP, "0", "MKSTREAM"]);
    stage.write_toys(subject, 0..6).await;
    has_length(&stage, &key, 6).await;
    let lag = &stage.test.engine.resources.metrics.event_stream_group_lag_events;
    let has_lag = async |expected: i64| {
        let seen = || lag.with_label_values(&[GROUP]).get() as i64;
        eventually("the lag to be measured", async || (seen() == expected).then_some(())).await;
    };
    has_lag(6).await;
    let first = read(&mut connection, &key, "a");
    // Three are acknowledged, three are pending.
    acknowledge(&mut connection, &key, &first[..3]);
    has_lag(3).await;
    server(&stage).flush();
    stage.write_toys(subject, 6..8).await;
    let mut seen = Vec::new();
    eventually("the unacknowledged and the new events", async || {
        let groups: redis::RedisResult<redis::Value> =
            cmd("XINFO").arg("GROUPS").arg(&key).query(&mut connection);
        let has_group = groups.is_ok_and(|groups| format!("{groups:?}").contains(GROUP));
        if has_group {
            seen.extend(numbers(&read(&mut connection, &key, "a")));
        }
        (seen.len() >= 5).then_some(())
    })
    .await;
    assert_eq!(seen, [3, 4, 5, 6, 7]);
}

#[actix_rt::test]
async fn forged_entries_have_no_effect_and_the_streams_are_created_again() {
    let stage = Stage::open(Transport::Redis).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    let key = key_of(subject);
    let mut connection = server(&stage).connection();
    stage.write_toys(subject, [1]).await;
    stage.expect(subject, [1]).await;
    has_length(&stage, &key, 1).await;
    let written: StreamRangeReply = run(&mut connection, &["XRANGE", &key, "-", "+"]);
    let text = |name| written.ids[0].get::<String>(name).unwrap();
    let offset: i64 = written.ids[0].id.strip_suffix("-1").unwrap().parse().unwrap();
    let (id, old) = (format!("{}-1", offset + 1), format!("\"sequence\":\"{offset}\""));
    let event = text("event")
        .replace(&old, &format!("\"sequence\":\"{}\"", offset + 1))
        .replace("\"number\": 1", "\"number\": 9");
    let (epoch, seal) = (text("epoch"), text("seal"));
    let words =
        ["XADD", &key, &id, "event", &event, "previous", &offset.to_string(), "epoch", &epoch, "seal", &seal];
    let _: String = run(&mut connection, &words);
    stage.write_toys(subject, [2]).await;
    stage.expect(subject, [1, 2]).await;
    eventually("the stream without the forged entry", async || {
        let entries: StreamRangeReply = run(&mut connection, &["XRANGE", &key, "-", "+"]);
        let last = entries.ids.last()?.get::<String>("event")?;
        last.contains("\"number\": 2").then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn a_new_epoch_creates_the_streams_again() {
    let stage = Stage::open(Transport::Redis).await;
    let _instance = stage.start("one");
    let subject = new_subject();
    let key = key_of(subject);
    let mut connection = server(&stage).connection();
    stage.write_toys(subject, [1]).await;
    has_length(&stage, &key, 1).await;
    stage.execute("UPDATE outbox_position SET epoch = gen_random_uuid()").await;
    let epoch = stage.text("SELECT epoch FROM outbox_position").await;
    eventually("the stream of the new epoch", async || {
        let entries: StreamRangeReply = run(&mut connection, &["XRANGE", &key, "-", "+"]);
        (entries.ids.first()?.get::<String>("epoch")? == epoch).then_some(())
    })
    .await;
    stage.write_toys(subject, [2]).await;
    stage.expect(subject, [1, 2]).await;
}

#[actix_rt::test]
async fn a_server_that_may_evict_streams_is_refused_at_boot_unless_streams_are_off() {
    let mut redis = RedisServer::stopped(0, None);
    redis.restart_with_policy("allkeys-lru");
    let url = redis.url();
    let database = TestDatabase::create().await;
    let refused = try_start_engine(&database, &[("REDIS_URL", &url)]).await.err().unwrap();
    assert!(matches!(refused, Error::Configuration(_)), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("allkeys-lru") && text.contains("volatile-lru") && text.contains("events.stream"),
        "{text}"
    );
    let off = [("REDIS_URL", url.as_str()), ("AVAL__EVENTS__STREAM", "")];
    try_start_engine(&database, &off).await.unwrap();
    assert!(keys().iter().all(|key| length(&mut redis.connection(), key) == 0));
}

#[actix_rt::test]
async fn a_server_that_is_unsuitable_when_it_returns_is_not_used_and_reported() {
    let mut redis = RedisServer::stopped(0, None);
    let url = redis.url();
    let overrides = [
        ("REDIS_URL", url.as_str()),
        ("AVAL__REDIS__BREAKER_OPEN_MS", "100"),
        ("EVENTS_CLAIM_INTERVAL_MS", "100"),
    ];
    let app = TestApp::start(&overrides).await;
    redis.restart_with_policy("allkeys-lfu");
    let problem = async || {
        let health = app.get("/health/detailed").await.expect(200);
        health["redis"]["streams_problem"]
            .as_str()
            .map(|problem| (problem.to_owned(), health["status"].clone()))
    };
    let (text, status) = eventually("the problem", problem).await;
    assert!(text.contains("allkeys-lfu") && status == "degraded", "{text} {status}");
    redis.restart_with_policy("volatile-lru");
    eventually("the recovery", async || problem().await.is_none().then_some(())).await;
}
