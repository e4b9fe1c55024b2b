//! Delivery of events, from a change in the database to the subscribed WebSockets.

mod instance;
mod protocol;

use aval::actors::broadcaster;
use aval::actors::outbox_relay::{StopRelay, Wake};
use aval::storage::outbox;
use aval::supervision::faults::FaultPoint;
use serde_json::{Value, json};

use self::instance::{
    Client, Instance, TestDatabase, count, execute, insert, raw_client, read_to_end, send_raw_text,
    set_status, texts, until,
};

const SUBSCRIBE_ALL: &str = r#"{"action":"subscribe","channel":"applications"}"#;

const UNPUBLISHED: &str = "SELECT count(*) AS value FROM outbox WHERE relay_offset IS NULL";

/// A message that subscribes to `topic` and requests the events after `offset`.
fn resume(topic: &Value, epoch: &Value, offset: i64) -> String {
    let mut message = json!({ "action": "subscribe", "epoch": epoch, "offset": offset });
    for (key, value) in topic.as_object().unwrap() {
        message[key] = value.clone();
    }
    message.to_string()
}

#[actix_rt::test]
async fn concurrent_changes_get_gapless_offsets_and_reach_every_instance_once_and_in_order() {
    const WRITERS: i64 = 4;
    const EACH: i64 = 8;
    const TOTAL: i64 = WRITERS * EACH * 3;
    let database = TestDatabase::create().await;
    let one = Instance::start(&database, "one", &[]).await;
    let two = Instance::start(&database, "two", &[]).await;
    let mut first = one.subscriber(SUBSCRIBE_ALL).await;
    let mut second = two.subscriber(SUBSCRIBE_ALL).await;

    let writers = (0..WRITERS).map(|_| async {
        let mut connection = database.connect().await;
        for _ in 0..EACH {
            let id = insert(&mut connection, "ES", "ana", 1).await.remove(0);
            set_status(&mut connection, &id, "VALIDATING").await;
            set_status(&mut connection, &id, "APPROVED").await;
        }
    });
    // Two publishers besides the leader, like a former leader that has not noticed that it lost its lock.
    let other_publishers = (0..2).map(|_| async {
        let mut connection = database.connect().await;
        while count(&mut connection, "SELECT last_offset AS value FROM outbox_position").await < TOTAL {
            outbox::publish(&mut connection, 3).await.unwrap();
        }
    });
    let mut connection = database.connect().await;
    let (got_first, got_second, ..) = tokio::join!(
        first.offsets_up_to(TOTAL),
        second.offsets_up_to(TOTAL),
        futures_util::future::join_all(writers),
        futures_util::future::join_all(other_publishers),
    );

    let all_offsets: Vec<i64> = (1..=TOTAL).collect();
    assert_eq!(got_first, all_offsets);
    assert_eq!(got_second, all_offsets);
    assert_eq!(count(&mut connection, UNPUBLISHED).await, 0);
    let out_of_order = "SELECT count(*) AS value FROM outbox o JOIN outbox p \
        ON p.subject = o.subject AND p.relay_offset < o.relay_offset \
        AND (p.data->>'version')::int > (o.data->>'version')::int";
    assert_eq!(count(&mut connection, out_of_order).await, 0);
    first.assert_silent().await;
    second.assert_silent().await;
    one.stop().await;
    two.stop().await;
}

#[actix_rt::test]
async fn a_reconnecting_client_gets_exactly_the_missed_events_or_must_reload() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[("AVAL__WEBSOCKET__MAX_REPLAY", "20")]).await;
    let mut connection = database.connect().await;
    let mut client = instance.subscriber(r#"{"action":"subscribe","country":"ES"}"#).await;
    let first = insert(&mut connection, "ES", "ana", 2).await;
    let update = client.next().await;
    assert_eq!(update["offset"], 1);
    let epoch = update["epoch"].clone();
    drop(client);

    insert(&mut connection, "PT", "rui", 1).await;
    set_status(&mut connection, &first[0], "VALIDATING").await;
    let last = insert(&mut connection, "ES", "ana", 1).await;
    until("all events to be published", async || count(&mut connection, UNPUBLISHED).await == 0).await;

    // A client resumes every topic from the last offset that it has seen, even if that event was of another topic.
    let mut client = Client::connect(instance.address, "").await;
    client.send(&resume(&json!({ "country": "ES" }), &epoch, 1)).await;
    client.send(&resume(&json!({ "application_id": first[0] }), &epoch, 1)).await;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(client.next().await);
    }
    let subscribed = |frame: &&Value| frame["type"] == "subscribed";
    assert!(seen.iter().filter(subscribed).all(|f| f["recovered"] == true && f["offset"] == 1), "{seen:?}");
    let updates: Vec<_> =
        seen.iter().filter(|f| !subscribed(f)).map(|f| f["offset"].as_i64().unwrap()).collect();
    assert_eq!(updates, [2, 4, 5]);
    set_status(&mut connection, &last[0], "VALIDATING").await;
    assert_eq!(client.next().await["data"]["id"], last[0].as_str());
    client.assert_silent().await;

    execute(&mut connection, "DELETE FROM outbox WHERE relay_offset <= 2").await;
    let other_epoch = json!("01890a5d-ac96-774b-bcce-b302099a8057");
    for (epoch, offset, recovered) in [
        (&epoch, 2, true),
        (&epoch, 1, false),
        (&epoch, 7, false),
        (&other_epoch, 6, false),
        (&epoch, 6, true),
    ] {
        let mut client = Client::connect(instance.address, "").await;
        client.send(&resume(&json!({ "channel": "applications" }), epoch, offset)).await;
        let answer = client.next().await;
        assert_eq!(answer["recovered"], recovered, "{answer}");
        if recovered && offset < 6 {
            assert_eq!(client.offsets_up_to(6).await, [3, 4, 5, 6]);
        }
        client.assert_silent().await;
    }
    insert(&mut connection, "IT", "ugo", 30).await;
    until("all events to be published", async || count(&mut connection, UNPUBLISHED).await == 0).await;
    let mut client = Client::connect(instance.address, "").await;
    client.send(&resume(&json!({ "channel": "applications" }), &epoch, 6)).await;
    assert_eq!(client.next().await["recovered"], false, "30 events must exceed max_replay");
    instance.stop().await;
}

#[actix_rt::test]
async fn a_replay_longer_than_the_queue_arrives_completely_before_live_events() {
    const MISSED: u32 = 2_000;
    let database = TestDatabase::create().await;
    let bounds =
        [("AVAL__WEBSOCKET__COALESCE_ABOVE_BYTES", "20000"), ("AVAL__WEBSOCKET__CLOSE_ABOVE_BYTES", "60000")];
    let instance = Instance::start(&database, "one", &bounds).await;
    let mut connection = database.connect().await;
    let epoch = json!(texts(&mut connection, "SELECT epoch::text AS value FROM outbox_position").await[0]);
    insert(&mut connection, "ES", "ana", MISSED).await;
    until("all events to be published", async || count(&mut connection, UNPUBLISHED).await == 0).await;

    let mut client = Client::connect(instance.address, "").await;
    client.send(&resume(&json!({ "channel": "applications" }), &epoch, 0)).await;
    assert_eq!(client.next().await["recovered"], true);
    insert(&mut connection, "ES", "ana", 10).await;
    let last = i64::from(MISSED) + 10;
    assert_eq!(client.offsets_up_to(last).await, (1..=last).collect::<Vec<_>>());
    instance.stop().await;
}

#[actix_rt::test]
async fn a_client_that_does_not_read_is_disconnected_and_does_not_slow_others() {
    const EVENTS: u32 = 3_000;
    let database = TestDatabase::create().await;
    let bounds = [
        ("AVAL__WEBSOCKET__COALESCE_ABOVE_BYTES", "40000"),
        ("AVAL__WEBSOCKET__CLOSE_ABOVE_BYTES", "80000"),
        ("AVAL__WEBSOCKET__PONG_TIMEOUT_MS", "500"),
    ];
    let instance = Instance::start(&database, "one", &bounds).await;
    let mut stalled = raw_client(instance.address).await;
    send_raw_text(&mut stalled, SUBSCRIBE_ALL.as_bytes()).await;
    let mut reader = instance.subscriber(SUBSCRIBE_ALL).await;
    until("both clients to join", async || instance.sessions.count() == 2).await;

    let mut connection = database.connect().await;
    // In batches, so the queue of the client that reads stays short.
    for batch in 1..=30 {
        insert(&mut connection, "ES", "ana", EVENTS / 30).await;
        let last = i64::from(EVENTS / 30 * batch);
        let got = reader.offsets_up_to(last).await;
        assert_eq!(got.len(), usize::try_from(EVENTS / 30).unwrap());
    }
    assert_eq!(instance.sessions.count(), 1, "the stalled session must end although its socket is open");
    assert!(instance.resources.metrics.websocket_messages_dropped_total.get() > 0);

    let sent = read_to_end(&mut stalled).await;
    assert!(sent.len() < 200_000, "{} bytes were kept for a client that does not read", sent.len());
    let reason = b"the client reads too slowly";
    let close = [&[0x88, 2 + u8::try_from(reason.len()).unwrap(), 0x0F, 0xA8][..], reason].concat();
    assert!(sent.ends_with(&close), "it must be closed with code 4008 and the reason");
    until("its connection to be closed", async || {
        instance.resources.metrics.websocket_connections_active.get() == 1
    })
    .await;
    instance.stop().await;
}

#[actix_rt::test]
async fn repeated_panics_of_relay_and_broadcaster_lose_and_repeat_nothing() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[]).await;
    let mut client = instance.subscriber(SUBSCRIBE_ALL).await;
    let mut connection = database.connect().await;
    for round in 1..=10 {
        instance.resources.faults.arm(FaultPoint::Broadcaster, None, 2).unwrap();
        instance.resources.faults.arm(FaultPoint::OutboxRelay, None, 2).unwrap();
        let id = insert(&mut connection, "ES", "ana", 1).await.remove(0);
        instance.relay.hint(Wake);
        instance.broadcaster.hint(broadcaster::Wake);
        set_status(&mut connection, &id, "CANCELLED").await;
        assert_eq!(client.offsets_up_to(round * 2).await, [round * 2 - 1, round * 2]);
    }
    // If a client subscribes while no broadcaster is running, the next broadcaster responds.
    instance.resources.faults.arm(FaultPoint::Broadcaster, None, 1).unwrap();
    let epoch = json!(texts(&mut connection, "SELECT epoch::text AS value FROM outbox_position").await[0]);
    let mut late = Client::connect(instance.address, "").await;
    late.send(&resume(&json!({ "channel": "applications" }), &epoch, 15)).await;
    assert_eq!(late.next().await["recovered"], true);
    assert_eq!(late.offsets_up_to(20).await, [16, 17, 18, 19, 20]);
    client.assert_silent().await;
    instance.stop().await;
}

#[actix_rt::test]
async fn another_relay_takes_over_when_the_leader_loses_its_connection_or_stops() {
    const LEADER: &str = "SELECT pid::text AS value FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let one = Instance::start(&database, "one", &[]).await;
    until("the relay of the first instance to lead", async || {
        texts(&mut connection, LEADER).await.len() == 1
    })
    .await;
    let two = Instance::start(&database, "two", &[]).await;
    let mut client = two.subscriber(SUBSCRIBE_ALL).await;

    let leader = texts(&mut connection, LEADER).await.remove(0);
    execute(&mut connection, &format!("SELECT pg_terminate_backend({leader})")).await;
    insert(&mut connection, "ES", "ana", 1).await;
    assert_eq!(client.offsets_up_to(1).await, [1]);
    until("another connection to hold the leadership", async || {
        let leaders = texts(&mut connection, LEADER).await;
        leaders.len() == 1 && leaders[0] != leader
    })
    .await;

    // Stops both relays, one of which leads. A new relay actor of either instance takes over.
    let leader = texts(&mut connection, LEADER).await.remove(0);
    one.relay.tell(StopRelay).unwrap();
    two.relay.tell(StopRelay).unwrap();
    until("another connection to become the leader", async || {
        let leaders = texts(&mut connection, LEADER).await;
        leaders.len() == 1 && leaders[0] != leader
    })
    .await;
    insert(&mut connection, "ES", "ana", 1).await;
    assert_eq!(client.offsets_up_to(2).await, [2]);
    assert!(one.resources.metrics.render().unwrap().contains("outbox_publish_wait_seconds_count"));
    one.stop().await;
    two.stop().await;
}
