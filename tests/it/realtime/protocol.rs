//! The WebSocket protocol.

use std::time::Duration;

use actix_http::ws::{CloseCode, Frame, Item, Message};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::instance::{
    Client, Instance, PATIENCE, TestDatabase, count, insert, raw_client, read_to_end, send_raw_text,
    set_status, until,
};

#[actix_rt::test]
async fn a_session_subscribes_is_updated_and_unsubscribes() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[("AVAL__WEBSOCKET__MAX_SUBSCRIPTIONS", "3")]).await;
    let mut connection = database.connect().await;
    let id = insert(&mut connection, "MX", "ana", 1).await.remove(0);
    until("its creation to be published", async || count(&mut connection, super::UNPUBLISHED).await == 0)
        .await;

    let subscribe = json!({ "action": "subscribe", "application_id": id }).to_string();
    until("its creation to be delivered", async || {
        let mut probe = Client::connect(instance.address, "").await;
        probe.send(&subscribe).await;
        probe.next().await["offset"] == 1
    })
    .await;

    let mut client = Client::connect(instance.address, "").await;
    client.send(&subscribe).await;
    let subscribed = client.next().await;
    let epoch = subscribed["epoch"].clone();
    assert!(epoch.is_string());
    let expected = json!({ "type": "subscribed", "application_id": id, "epoch": epoch, "offset": 1 });
    assert_eq!(subscribed, expected);
    client.send(&subscribe).await;
    assert_eq!(client.next().await, expected, "a second subscription must change nothing");
    client.send(r#"{"action":"subscribe","country":"MX"}"#).await;
    assert_eq!(client.next().await["country"], "MX");

    set_status(&mut connection, &id, "VALIDATING").await;
    let update = client.next().await;
    let updated_at = update["data"]["updated_at"].clone();
    assert!(chrono::DateTime::parse_from_rfc3339(updated_at.as_str().unwrap()).is_ok());
    let data = json!({
        "id": id, "country": "MX", "status": "VALIDATING", "previous_status": "PENDING", "risk_score": null,
        "updated_at": updated_at,
    });
    assert_eq!(update, json!({ "type": "application_update", "epoch": epoch, "offset": 2, "data": data }));

    client.send(r#"{"action":"subscribe","country":"ES"}"#).await;
    assert_eq!(client.next().await["type"], "subscribed");
    client.send(r#"{"action":"subscribe","country":"IT"}"#).await;
    let refused = client.next().await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("too_many_subscriptions")));

    client.send(r#"{"action":"unsubscribe","country":"MX"}"#).await;
    assert_eq!(client.next().await, json!({ "type": "unsubscribed", "country": "MX" }));
    client.send(&json!({ "action": "unsubscribe", "application_id": id }).to_string()).await;
    assert_eq!(client.next().await, json!({ "type": "unsubscribed", "application_id": id }));
    set_status(&mut connection, &id, "UNDER_REVIEW").await;
    insert(&mut connection, "ES", "ana", 1).await;
    let next = client.next().await;
    assert_eq!((&next["offset"], &next["data"]["country"]), (&json!(4), &json!("ES")));
    let metrics = instance.resources.metrics.render().unwrap();
    assert!(
        metrics.contains("websocket_messages_sent_total{message_type=\"application_update\"} 2"),
        "{metrics}"
    );
    assert!(metrics.contains("websocket_connections_active 1"));
    instance.stop().await;
}

#[actix_rt::test]
async fn a_user_gets_updates_of_its_own_applications_only() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[]).await;
    let mut ana = Client::connect(instance.address, "account=ana").await;
    ana.send(super::SUBSCRIBE_ALL).await;
    assert_eq!(ana.next().await["type"], "subscribed");
    let mut connection = database.connect().await;
    insert(&mut connection, "ES", "rui", 1).await;
    let own = insert(&mut connection, "ES", "ana", 1).await.remove(0);
    assert_eq!(ana.next().await["data"]["id"], own.as_str());
    instance.stop().await;
}

#[actix_rt::test]
async fn invalid_messages_get_errors_and_protocol_violations_close_the_connection() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[("AVAL__WEBSOCKET__MAX_MESSAGE_BYTES", "512")]).await;
    let error_code = async |client: &mut Client| -> Value {
        let answer = client.next().await;
        assert_eq!(answer["type"], "error", "{answer}");
        answer["code"].clone()
    };

    let mut client = Client::connect(instance.address, "").await;
    client.send("what?").await;
    assert_eq!(error_code(&mut client).await, "malformed_message");
    client.send(r#"{"action":"dance"}"#).await;
    assert_eq!(error_code(&mut client).await, "unknown_action");
    client.send_raw(Message::Binary(vec![0xFF; 100].into())).await;
    assert_eq!(error_code(&mut client).await, "binary_message");
    for item in [Item::FirstText(r#"{"action""#.into()), Item::Continue(r#":"pi"#.into())] {
        client.send_raw(Message::Continuation(item)).await;
    }
    client.send_raw(Message::Ping("between".into())).await;
    client.send_raw(Message::Continuation(Item::Last(r#"ng"}"#.into()))).await;
    assert_eq!(client.next_frame().await, Some(Frame::Pong("between".into())));
    assert_eq!(client.next().await, json!({ "type": "pong" }));
    for item in [Item::FirstBinary(vec![0xFF].into()), Item::Last(vec![0xFE].into())] {
        client.send_raw(Message::Continuation(item)).await;
    }
    assert_eq!(error_code(&mut client).await, "binary_message");
    client.send_raw(Message::Close(Some(CloseCode::Normal.into()))).await;
    assert_eq!(client.close_code().await, 1000);
    assert_eq!(client.next_frame().await, None);

    let closes: [(u16, Vec<Message>); 3] = [
        (1009, vec![Message::Text("x".repeat(513).into())]),
        (
            1009,
            vec![
                Message::Continuation(Item::FirstText("x".repeat(500).into())),
                Message::Continuation(Item::Continue("x".repeat(13).into())),
            ],
        ),
        (
            1007,
            vec![
                Message::Continuation(Item::FirstText(vec![0xC3].into())),
                Message::Continuation(Item::Last(vec![0x28].into())),
            ],
        ),
    ];
    for (code, messages) in closes {
        let mut client = Client::connect(instance.address, "").await;
        for message in messages {
            client.send_raw(message).await;
        }
        assert_eq!(client.close_code().await, code);
    }
    let mut raw = raw_client(instance.address).await;
    send_raw_text(&mut raw, &[0xC3, 0x28]).await;
    let reason = b"a text message must be UTF-8";
    let close = [&[0x88, 2 + u8::try_from(reason.len()).unwrap(), 0x03, 0xEF][..], reason].concat();
    assert!(read_to_end(&mut raw).await.ends_with(&close), "invalid UTF-8 must close with 1007");
    // A close frame with one byte of payload, a reserved bit, an unmasked frame, and an unknown opcode. The server must
    // close each connection with code 1002 and end TCP.
    let malformed: [&[u8]; 4] = [
        &[0x88, 0x81, 0, 0, 0, 0, 3],
        &[0xC1, 0x80, 0, 0, 0, 0],
        &[0x81, 1, b'a'],
        &[0x83, 0x80, 0, 0, 0, 0],
    ];
    for frame in malformed {
        let mut raw = raw_client(instance.address).await;
        raw.write_all(frame).await.unwrap();
        let sent = timeout(Duration::from_secs(2), read_to_end(&mut raw)).await.expect("the end of TCP");
        let code = sent.windows(4).find(|bytes| bytes.starts_with(&[0x88])).map(|bytes| [bytes[2], bytes[3]]);
        assert_eq!(code, Some(1002_u16.to_be_bytes()), "{frame:?}");
    }
    until("all connections to be closed", async || {
        instance.resources.metrics.websocket_connections_active.get() == 0
    })
    .await;
    instance.stop().await;
}

#[actix_rt::test]
async fn a_flood_of_small_messages_is_answered_one_by_one() {
    const PINGS: usize = 20_000;
    let database = TestDatabase::create().await;
    let bounds = [
        ("AVAL__WEBSOCKET__MAX_MESSAGE_BYTES", "256"),
        ("AVAL__WEBSOCKET__MAX_MESSAGES_PER_SECOND", "1000000"),
    ];
    let instance = Instance::start(&database, "one", &bounds).await;
    let client = Client::connect(instance.address, "").await;
    let Client { mut sink, mut frames } = client;
    let flood = async {
        for _ in 0..PINGS {
            sink.feed(Message::Text(r#"{"action":"ping"}"#.into())).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let pongs = async {
        for _ in 0..PINGS {
            let pong = tokio::time::timeout(PATIENCE, frames.next()).await.unwrap();
            assert!(matches!(pong, Some(Ok(Frame::Text(text))) if text == r#"{"type":"pong"}"#));
        }
    };
    tokio::join!(flood, pongs);
    instance.stop().await;
}

#[actix_rt::test]
async fn a_request_that_is_not_a_handshake_is_rejected() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[]).await;
    let mut response =
        awc::Client::new().get(format!("http://{}/ws", instance.address)).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.body().await.unwrap(), "malformed_request");
    assert_eq!(instance.sessions.count(), 0);
    instance.stop().await;
}

#[actix_rt::test]
async fn clients_that_do_not_answer_pings_are_closed() {
    let database = TestDatabase::create().await;
    let intervals =
        [("AVAL__WEBSOCKET__PING_INTERVAL_MS", "100"), ("AVAL__WEBSOCKET__PONG_TIMEOUT_MS", "1000")];
    let instance = Instance::start(&database, "one", &intervals).await;
    let mut unresponsive = Client::connect(instance.address, "").await;
    assert_eq!(unresponsive.close_code().await, 4408);

    let mut alive = Client::connect(instance.address, "").await;
    for _ in 0..5 {
        alive.answer_a_ping().await;
    }
    alive.assert_silent().await;
    instance.stop().await;
}

#[actix_rt::test]
async fn a_stopping_server_closes_connections_after_their_queued_messages() {
    let database = TestDatabase::create().await;
    let instance = Instance::start(&database, "one", &[]).await;
    let mut client = instance.subscriber(super::SUBSCRIBE_ALL).await;
    let mut connection = database.connect().await;
    insert(&mut connection, "ES", "ana", 3).await;
    until("all events to be published", async || count(&mut connection, super::UNPUBLISHED).await == 0).await;
    assert_eq!(client.offsets_up_to(3).await, [1, 2, 3]);
    instance.sessions.close_all();
    assert_eq!(client.close_code().await, 1001);
    let mut late = Client::connect(instance.address, "").await;
    assert_eq!(late.close_code().await, 1001);
    instance.stop().await;
}
