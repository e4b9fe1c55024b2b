//! Two instances with one database and one Redis server, and failures of Redis.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use aval::actors::scheduler::StopClaiming;
use serde_json::{Value, json};

use crate::support::app::{Answer, Received, TestApp, TestSocket};
use crate::support::builders::{spanish, with};
use crate::support::certificates::Authority;
use crate::support::db::TestDatabase;
use crate::support::eventually;
use crate::support::redis::RedisServer;

const APPLICATIONS: &str = "/api/v1/applications";

/// Two instances that share a database and a Redis server.
struct Pair {
    one: TestApp,
    other: TestApp,
}

impl Pair {
    async fn start(redis: &RedisServer, overrides: &[(&str, &str)]) -> Self {
        let database = Rc::new(TestDatabase::create().await);
        let url = redis.url();
        let own = [("REDIS_URL", url.as_str()), ("AVAL__REDIS__BREAKER_OPEN_MS", "200")];
        let settings = [&own, overrides].concat();
        let one = TestApp::start_on(Rc::clone(&database), &settings).await;
        let other = TestApp::start_on(database, &settings).await;
        let pair = Self { one, other };
        for app in pair.both() {
            eventually("the cache to follow events", async || {
                app.engine().shared.cache.is_following().then_some(())
            })
            .await;
        }
        pair
    }

    /// Like [`Pair::start`], without processing applications.
    async fn start_idle(redis: &RedisServer, overrides: &[(&str, &str)]) -> Self {
        let pair = Self::start(redis, overrides).await;
        for app in pair.both() {
            app.engine().handles.scheduler.ask(StopClaiming).await.unwrap();
            eventually("the last claim to end", async || app.engine().running.is_idle().then_some(())).await;
        }
        pair
    }

    fn both(&self) -> [&TestApp; 2] {
        [&self.one, &self.other]
    }

    /// Waits until the health of both instances reports this state of Redis.
    async fn wait_for_health(&self, status: &str, redis: &str) {
        for app in self.both() {
            eventually(&format!("health to report {status}"), async || {
                let health = app.get("/health/detailed").await.expect(200);
                (health["status"] == status && health["redis"]["state"] == redis).then_some(())
            })
            .await;
            app.get("/health/ready").await.expect(200);
        }
    }
}

async fn subscriber(app: &TestApp) -> TestSocket {
    let mut socket = app.websocket().await;
    socket.subscribe(&json!({"channel": "applications"})).await;
    socket
}

/// The offsets of the next updates, up to and including `last`.
async fn offsets_up_to(socket: &mut TestSocket, last: i64) -> Vec<i64> {
    let mut offsets = Vec::new();
    while offsets.last().is_none_or(|offset| *offset < last) {
        match socket.receive().await {
            Received::Json(message) if message["type"] == "application_update" => {
                offsets.push(message["offset"].as_i64().unwrap());
            }
            Received::Json(message) => panic!("unexpected: {message}"),
            Received::Closed(code) => panic!("closed: {code:?}"),
        }
    }
    offsets
}

async fn end_of_events(app: &TestApp) -> i64 {
    eventually("everything to be published", async || {
        let waiting = app.sql("SELECT count(*) FROM outbox WHERE relay_offset IS NULL").await;
        (waiting == "0").then_some(())
    })
    .await;
    app.sql("SELECT last_offset FROM outbox_position").await.parse().unwrap()
}

async fn member_of(app: &TestApp, id: &str, member: &str) -> Value {
    app.get(&format!("{APPLICATIONS}/{id}")).await.expect(200)["country_specific_data"][member].clone()
}

async fn set(app: &TestApp, id: &str, member: &str, value: impl Into<Value>) {
    let change = json!({"country_specific_data": {member: value.into()}});
    app.patch(&format!("{APPLICATIONS}/{id}"), &change).await.expect(200);
}

#[actix_rt::test]
async fn an_application_created_on_one_instance_is_pushed_to_sockets_of_the_other() {
    let redis = RedisServer::start();
    let pair = Pair::start(&redis, &[]).await;
    let mut socket = subscriber(&pair.other).await;
    let id = pair.one.submit(&spanish()).await;
    assert_eq!(socket.updates_until(&id, "APPROVED").await, ["PENDING", "VALIDATING", "APPROVED"]);
    pair.wait_for_health("ok", "up").await;
    for app in pair.both() {
        // Without sockets, an instance reads events only for its cache. Therefore this submits applications until the
        // instance has read an event.
        eventually("events to be read from Redis", async || {
            pair.one.submit(&spanish()).await;
            let read = app.metric(r#"bus_events_read_total{source="redis"}"#).await;
            (read > 0.0).then_some(())
        })
        .await;
    }
}

#[actix_rt::test]
async fn no_event_is_lost_or_repeated_and_no_request_fails_during_failures_of_redis() {
    const ROUND: usize = 12;
    let mut redis = RedisServer::start();
    let pair = Pair::start_idle(&redis, &[]).await;
    let mut sockets = [subscriber(&pair.one).await, subscriber(&pair.other).await];
    let mut seen = 0;
    for failure in ["none", "flush", "kill", "still down", "restart", "pause", "resume", "none"] {
        for number in 0..ROUND {
            // The failure begins in the middle of the round.
            if number == ROUND / 2 {
                match failure {
                    "flush" => redis.flush(),
                    "kill" => redis.kill(),
                    "restart" => redis.restart(),
                    "pause" => redis.pause(),
                    "resume" => redis.resume(),
                    _ => {}
                }
            }
            let app = pair.both()[number % 2];
            let id = app.submit(&spanish()).await;
            app.get(&format!("{APPLICATIONS}/{id}")).await.expect(200);
            app.get(APPLICATIONS).await.expect(200);
        }
        let end = end_of_events(&pair.one).await;
        for socket in &mut sockets {
            assert_eq!(offsets_up_to(socket, end).await, (seen + 1..=end).collect::<Vec<_>>(), "{failure}");
        }
        seen = end;
        match failure {
            "kill" | "still down" | "pause" => pair.wait_for_health("degraded", "degraded").await,
            _ => pair.wait_for_health("ok", "up").await,
        }
    }
    // The stream is complete again: it ends with the last event and has no gap.
    let key: Vec<String> = ::redis::cmd("KEYS").arg("aval:events:*").query(&mut redis.connection()).unwrap();
    let entries: ::redis::streams::StreamRangeReply =
        ::redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(&mut redis.connection()).unwrap();
    let ids: Vec<String> = entries.ids.into_iter().map(|entry| entry.id).collect();
    let first: i64 = ids[0].split('-').next().unwrap().parse().unwrap();
    assert_eq!(ids, (first..=seen).map(|offset| format!("{offset}-1")).collect::<Vec<_>>());
}

#[actix_rt::test]
async fn a_database_that_lost_events_begins_a_new_epoch_and_clients_must_reload() {
    let redis = RedisServer::start();
    let pair = Pair::start_idle(&redis, &[]).await;
    for _ in 0..3 {
        pair.one.submit(&spanish()).await;
    }
    assert_eq!(end_of_events(&pair.one).await, 3);
    eventually("the stream to contain the events", async || {
        let entries = String::from_utf8_lossy(&redis.dump()).contains("3-1");
        entries.then_some(())
    })
    .await;
    let epoch = "SELECT epoch FROM outbox_position";
    let old = pair.one.sql(epoch).await;
    // Simulates a failover to a replica that missed the last two commits. A failover also drops all connections.
    pair.one.execute("DELETE FROM outbox WHERE relay_offset > 1").await;
    pair.one.execute("UPDATE outbox_position SET last_offset = 1").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    pair.one.execute(cut).await;
    eventually("a new epoch", async || (pair.one.sql(epoch).await != old).then_some(())).await;
    let subscribe = json!({"action": "subscribe", "channel": "applications", "epoch": old, "offset": 3});
    // The server closes WebSockets that began in the old epoch. The client therefore connects again until its
    // subscription gets a response.
    let mut socket = eventually("a subscription that is not recovered", async || {
        let mut socket = pair.other.websocket().await;
        let sent = socket.try_send(&subscribe).await;
        match socket.receive_within(Duration::from_secs(2)).await {
            Some(Received::Json(answer)) if sent && answer["recovered"] == false => Some(socket),
            _ => None,
        }
    })
    .await;
    let after = pair.one.submit(&spanish()).await;
    let update = socket.json().await;
    assert_eq!((&update["data"]["id"], &update["offset"]), (&json!(after), &json!(2)));
}

/// Commands that an attacker with write access to Redis could use to replace the stream or to append to it.
fn forged_commands(key: &str, genuine: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let add = |id: &str, field: &[u8], value: &[u8]| {
        let mut command = words(&["XADD", key, id]);
        command.extend([field.to_vec(), value.to_vec()]);
        command
    };
    vec![
        add("900-1", b"e", b"not sealed"),
        add("900-1", b"e", genuine),
        add("999999999999999-1", b"e", genuine),
        add("9223372036854775807-1", b"e", genuine),
        add("18446744073709551615-18446744073709551615", b"e", genuine),
        add("900-0", b"e", genuine),
        add("900-1", &[0xff, 0xfe], &[0xff]),
        add("900-1", b"", b""),
        words(&["SET", key, "a text"]),
        words(&["RPUSH", key, "a list"]),
        words(&["HSET", key, "a", "hash"]),
    ]
}

#[actix_rt::test]
async fn foreign_values_in_redis_affect_neither_sockets_nor_the_epoch_nor_the_use_of_redis() {
    let redis = RedisServer::start();
    let limits = [
        ("AVAL__LIMITS__ENABLED", "true"),
        ("AVAL__LIMITS__CREATE__ADMIN__BURST", "100"),
        ("AVAL__LIMITS__CREATE__ADDRESS__BURST", "100"),
    ];
    let pair = Pair::start_idle(&redis, &limits).await;
    let mut sockets = [subscriber(&pair.one).await, subscriber(&pair.other).await];
    pair.one.submit(&spanish()).await;
    let epoch = pair.one.sql("SELECT epoch FROM outbox_position").await;
    let key = format!("aval:events:{epoch}");
    let mut attacker_connection = redis.connection();
    let mut run = |command: &[Vec<u8>]| -> redis::Value {
        let (name, arguments) = command.split_first().unwrap();
        redis::cmd(std::str::from_utf8(name).unwrap()).arg(arguments).query(&mut attacker_connection).unwrap()
    };
    let newest = |run: &mut dyn FnMut(&[Vec<u8>]) -> redis::Value| {
        let words = ["XREVRANGE", &key, "+", "-", "COUNT", "1"].map(|word| word.as_bytes().to_vec());
        let kind = run(&[b"TYPE".to_vec(), key.as_bytes().to_vec()]);
        let is_stream = kind == redis::Value::SimpleString("stream".to_owned());
        is_stream
            .then(|| redis::from_redis_value::<redis::streams::StreamRangeReply>(run(&words)).ok())
            .flatten()
    };
    for socket in &mut sockets {
        assert_eq!(offsets_up_to(socket, 1).await, [1]);
    }
    let mut end = 1;
    let genuine = eventually("the stream to begin", async || {
        let reply = newest(&mut run)?;
        reply.ids.first()?.get::<Vec<u8>>("e")
    })
    .await;
    for command in forged_commands(&key, &genuine) {
        if command[0] != b"XADD" {
            run(&[b"DEL".to_vec(), key.as_bytes().to_vec()]);
        }
        run(&command);
        pair.other.submit(&spanish()).await;
        end += 1;
        for socket in &mut sockets {
            assert_eq!(offsets_up_to(socket, end).await, [end], "{command:?}");
        }
        let name = format!("{end}-1");
        eventually("the stream to contain only Aval's events", async || {
            newest(&mut run).filter(|reply| reply.ids.first().is_some_and(|entry| entry.id == name))
        })
        .await;
        assert_eq!(pair.one.sql("SELECT epoch FROM outbox_position").await, epoch);
    }
    let keys: Vec<Vec<u8>> = redis::from_redis_value(run(&[b"KEYS".to_vec(), b"aval:*".to_vec()])).unwrap();
    assert!(keys.iter().any(|key| key.starts_with(b"aval:limit:")), "{keys:?}");
    for key in keys.into_iter().filter(|key| !key.starts_with(b"aval:events:")) {
        run(&[b"DEL".to_vec(), key.clone()]);
        run(&[b"RPUSH".to_vec(), key, b"forged".to_vec()]);
    }
    for _ in 0..8 {
        for app in pair.both() {
            app.get(APPLICATIONS).await.expect(200);
        }
    }
    pair.wait_for_health("ok", "up").await;
    assert_eq!(
        pair.one.metric("redis_breaker_state").await + pair.other.metric("redis_breaker_state").await,
        0.0
    );
}

#[actix_rt::test]
async fn a_client_that_reconnects_to_the_other_instance_gets_missed_events_even_without_redis() {
    let redis = RedisServer::start();
    let pair = Pair::start_idle(&redis, &[]).await;
    let mut socket = subscriber(&pair.one).await;
    pair.one.submit(&spanish()).await;
    let Received::Json(update) = socket.receive().await else { panic!("closed") };
    drop(socket);
    for round in 0..3 {
        for _ in 0..5 {
            pair.one.submit(&spanish()).await;
        }
        let end = end_of_events(&pair.one).await;
        if round == 1 {
            redis.flush();
        }
        let mut socket = pair.other.websocket().await;
        let resume = json!({"channel": "applications", "epoch": update["epoch"], "offset": update["offset"]});
        assert_eq!(socket.subscribe(&resume).await["recovered"], true);
        assert_eq!(offsets_up_to(&mut socket, end).await, (2..=end).collect::<Vec<_>>());
    }
}

#[actix_rt::test]
async fn a_change_on_one_instance_is_read_on_the_other_once_its_event_arrives() {
    let redis = RedisServer::start();
    let pair = Pair::start_idle(&redis, &[]).await;
    let mut socket = subscriber(&pair.other).await;
    let id = pair.one.submit(&spanish()).await;
    assert!(matches!(socket.receive().await, Received::Json(_)));
    for number in 0..40 {
        // Both instances have cached the application before the change, in memory and in Redis.
        for app in pair.both() {
            member_of(app, &id, "years_employed").await;
            app.get(APPLICATIONS).await.expect(200);
        }
        if number == 20 {
            redis.flush();
        }
        set(&pair.one, &id, "years_employed", number).await;
        assert_eq!(
            member_of(&pair.one, &id, "years_employed").await,
            number,
            "an instance must read its own writes"
        );
        let Received::Json(update) = socket.receive().await else { panic!("closed") };
        assert_eq!(member_of(&pair.other, &id, "years_employed").await, number);
        let list = pair.other.get(APPLICATIONS).await.expect(200);
        assert_eq!(
            list["applications"][0]["version"],
            update["data"]["version"].as_i64().unwrap_or(number + 2)
        );
    }
    assert!(pair.other.metric(r#"cache_hits_total{cache_key_pattern="application"}"#).await >= 1.0);
}

#[actix_rt::test]
async fn a_response_cached_by_one_instance_is_used_by_the_other_for_permitted_readers() {
    let redis = RedisServer::start();
    let pair = Pair::start_idle(&redis, &[]).await;
    let id = pair.one.submit(&spanish()).await;
    let path = format!("{APPLICATIONS}/{id}");
    let end = end_of_events(&pair.one).await;
    for app in pair.both() {
        eventually("the event to arrive", async || {
            app.engine().shared.cache.position().filter(|position| position.offset == end).map(drop)
        })
        .await;
    }
    let first = pair.one.get(&path).await;
    let misses = r#"cache_misses_total{cache_key_pattern="application"}"#;
    eventually("the entry to be in Redis", async || {
        let kept: Vec<String> =
            ::redis::cmd("KEYS").arg("aval:cache:*").query(&mut redis.connection()).unwrap();
        (!kept.is_empty()).then_some(())
    })
    .await;
    let second = pair.other.get(&path).await;
    assert_eq!((&second.json, second.header("etag")), (&first.json, first.header("etag")));
    assert!(pair.other.metric(misses).await.abs() < f64::EPSILON);
    let known = [("If-None-Match", second.header("etag"))];
    let again = pair.other.send(actix_web::http::Method::GET, &path, &known, "").await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));

    let user = pair.other.acting_as("test-user").await;
    user.get(&path).await.expect(404);
    assert_eq!(user.get(APPLICATIONS).await.expect(200)["applications"], json!([]));

    // A view of a cached response is also recorded.
    let analyst = pair.other.acting_as("test-analyst").await;
    analyst.get(&path).await.expect(200);
    analyst.get(&path).await.expect(200);
    eventually("both views to be recorded", async || {
        let query = format!(
            "SELECT count(*) FROM staff_views WHERE application_id = '{id}' AND account = 'test-analyst'"
        );
        (pair.one.sql(&query).await == "2").then_some(())
    })
    .await;

    // The values in Redis do not identify applicants.
    let dump = redis.dump();
    assert!(!dump.is_empty());
    for personal in ["Ana Garc", "García", "López", "12345678", "test-user", "127.0.0.1"] {
        let found = dump.windows(personal.len()).any(|window| window == personal.as_bytes());
        assert!(!found, "{personal} is in Redis");
    }
}

fn remaining(headers: &HeaderMap, limit: &str) -> Option<u32> {
    let fields = headers.get("ratelimit")?.to_str().unwrap();
    let item = fields.split(", ").find(|item| item.starts_with(&format!("\"{limit}\"")))?;
    item.split(";r=").nth(1)?.split(';').next()?.parse().ok()
}

#[actix_rt::test]
async fn requests_are_counted_across_instances_and_per_instance_while_redis_is_unavailable() {
    const ON: (&str, &str) = ("AVAL__LIMITS__ENABLED", "true");
    const BURST: (&str, &str) = ("AVAL__LIMITS__STANDARD__ADDRESS__BURST", "5000");
    let mut redis = RedisServer::start();
    let pair = Pair::start_idle(&redis, &[ON, BURST]).await;
    let post = async |number: u32| -> Answer {
        let app = pair.both()[usize::from(number % 2 == 1)];
        app.post(APPLICATIONS, &with(spanish(), "term_months", 12 + number)).await
    };
    for number in 0..10 {
        let answer = post(number).await;
        assert_eq!(
            (answer.status.as_u16(), remaining(&answer.headers, "create-account")),
            (201, Some(9 - number))
        );
        assert_eq!(
            answer.header("ratelimit-policy"),
            r#""create-address";q=10;w=60, "create-account";q=10;w=60"#
        );
    }
    for number in 10..12 {
        let refused = post(number).await;
        let wait: u32 = refused.header("retry-after").parse().unwrap();
        assert!(refused.status.as_u16() == 429 && (1..=6).contains(&wait), "{wait}");
    }
    // An invalid token on one instance also counts on the other.
    let standard =
        async |app: &TestApp| remaining(&app.get("/api/v1/countries").await.headers, "standard-address");
    let before = standard(&pair.other).await.unwrap();
    pair.one.with_token("no.such.token").get("/api/v1/auth/me").await.expect(401);
    let after = standard(&pair.other).await.unwrap();
    assert!(before - after >= 10, "{before}, then {after}");

    redis.kill();
    for number in 0..20 {
        post(number).await.expect(201);
    }
    for app in pair.both() {
        app.post(APPLICATIONS, &spanish()).await.expect(429);
    }
    redis.restart();
    eventually("instances to count together again", async || {
        // Redis has lost its counters, but the instances still have theirs.
        (post(0).await.status.as_u16() == 201).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn an_instance_starts_without_redis_and_uses_it_when_available() {
    let mut redis = RedisServer::start_with_port();
    redis.kill();
    let pair = Pair::start_idle(&redis, &[]).await;
    let mut socket = subscriber(&pair.other).await;
    pair.one.submit(&spanish()).await;
    let end = end_of_events(&pair.one).await;
    assert_eq!(offsets_up_to(&mut socket, end).await, [1]);
    pair.wait_for_health("degraded", "degraded").await;
    assert!((pair.one.metric("redis_breaker_state").await - 1.0).abs() < f64::EPSILON);
    redis.restart();
    pair.wait_for_health("ok", "up").await;
    pair.one.submit(&spanish()).await;
    assert_eq!(offsets_up_to(&mut socket, 2).await, [2]);
    eventually("the stream to begin", async || {
        let keys: Vec<String> =
            ::redis::cmd("KEYS").arg("aval:events:*").query(&mut redis.connection()).unwrap();
        (keys.len() == 1).then_some(())
    })
    .await;
}

#[actix_rt::test]
async fn without_redis_health_reports_it_and_responses_are_cached_in_memory() {
    let app = TestApp::start_idle().await;
    let health = app.get("/health/detailed").await.expect(200);
    assert_eq!((&health["status"], &health["redis"]["state"]), (&json!("ok"), &json!("absent")));
    eventually("the cache to follow events", async || app.engine().shared.cache.is_following().then_some(()))
        .await;
    let id = app.submit(&spanish()).await;
    for number in 0..10 {
        set(&app, &id, "years_employed", number).await;
        assert_eq!(member_of(&app, &id, "years_employed").await, number);
        assert_eq!(member_of(&app, &id, "years_employed").await, number);
        let listed = app.get(APPLICATIONS).await.expect(200);
        assert_eq!(
            listed["applications"][0]["updated_at"],
            app.get(&format!("{APPLICATIONS}/{id}")).await.json["updated_at"]
        );
    }
    for path in ["/api/v1/stats", "/api/v1/stats/countries/ES"] {
        // An event of the last change may still arrive between two reads, and then the second response is not from the
        // cache.
        eventually("statistics to be served from the cache", async || {
            let (first, again) = (app.get(path).await.expect(200), app.get(path).await.expect(200));
            assert_eq!(first["total"], 1);
            (first["as_of"] == again["as_of"]).then_some(())
        })
        .await;
    }
    let second = app.submit(&spanish()).await;
    assert_eq!(app.get("/api/v1/stats").await.expect(200)["total"], 2);
    assert_eq!(app.get(APPLICATIONS).await.expect(200)["applications"][0]["id"], second);
    app.delete(&format!("{APPLICATIONS}/{id}")).await.expect(204);
    app.get(&format!("{APPLICATIONS}/{id}")).await.expect(404);
    assert!(app.metric(r#"cache_hits_total{cache_key_pattern="application"}"#).await >= 10.0);
}

#[actix_rt::test]
async fn connections_to_redis_are_encrypted_and_verified() {
    let (authority, other_authority) = (Authority::new(), Authority::new());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (certificate, key) = authority.write_pair(&["127.0.0.1"], folders[0].path());
    let redis = RedisServer::start_with_tls_1_2(certificate, key);
    let url = redis.url();
    assert!(url.starts_with("rediss://"));
    for (roots, state, answered) in [
        (authority.write(folders[0].path()), "up", true),
        (other_authority.write(folders[1].path()), "degraded", false),
    ] {
        let trusted = ("AVAL__REDIS__ROOT_CERTIFICATE_FILE", roots.to_str().unwrap());
        let app = TestApp::start_idle_with(&[("REDIS_URL", &url), trusted]).await;
        eventually(&format!("Redis to be {state}"), async || {
            let health = app.get("/health/detailed").await.expect(200);
            let ok = app.metric(r#"redis_calls_total{operation="ping",result="ok"}"#).await > 0.0;
            (health["redis"]["state"] == state && ok == answered).then_some(())
        })
        .await;
    }
}
