//! Many endpoints, of which one never answers.

use serde_json::json;
use tokio::net::TcpListener;

use super::{ENDPOINTS, LOOPBACK, Receiver, batch, create, publish};
use crate::support::app::TestApp;
use crate::support::eventually;

const TOYS: &str = "circuit.opened.v1";

/// 500 in `make faults`.
fn endpoint_count() -> usize {
    if std::env::var_os("AVAL_FAULT_LONG").is_some() { 500 } else { 120 }
}

/// Publishes an event and returns the 99th percentile of the time until it is delivered to the healthy endpoints, in
/// milliseconds.
async fn p99(app: &TestApp, subject: u128) -> f64 {
    publish(app, TOYS, subject, json!({})).await;
    let of_phase = format!(
        "FROM webhook_deliveries WHERE status = 'delivered' AND subject = '{}'",
        uuid::Uuid::from_u128(subject)
    );
    let count = format!("SELECT count(*) {of_phase}");
    eventually("the deliveries to healthy endpoints", async || {
        (app.sql(&count).await == endpoint_count().to_string()).then_some(())
    })
    .await;
    let p99 = "SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - created_at) * 1000)";
    app.sql(&format!("{p99} {of_phase}")).await.parse().unwrap()
}

#[actix_rt::test]
async fn an_endpoint_that_hangs_does_not_delay_the_others() {
    let app = TestApp::start(&LOOPBACK).await;
    let receiver = Receiver::start();
    for n in 0..endpoint_count() {
        create(&app, &receiver.url(&format!("/{n}")), json!({"event_types": [TOYS]})).await;
    }
    // It accepts connections, because they wait in the listener's backlog, but never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", hanging.local_addr().unwrap());
    let (endpoint, _) = create(&app, &url, json!({"event_types": [TOYS], "enabled": false})).await;
    // The first phase warms up connections and plans.
    p99(&app, 100).await;
    // The smaller of two values each, taken in turns, because other tests run on the machine at the same time.
    let (mut without, mut with) = (f64::MAX, f64::MAX);
    for round in [200, 400] {
        without = without.min(p99(&app, round).await);
        let path = format!("{ENDPOINTS}/{endpoint}");
        app.patch(&path, &json!({"enabled": true})).await.expect(200);
        // The hanging endpoint also has a backlog.
        batch(&app, &format!(
            "INSERT INTO webhook_messages (id, event_type, subject, body) \
                 SELECT gen_random_uuid(), '{TOYS}', gen_random_uuid(), '{{}}' FROM generate_series(1, 40); \
             INSERT INTO webhook_deliveries (endpoint_id, message_id, event_type, subject, status) \
                 SELECT '{endpoint}', m.id, '{TOYS}', gen_random_uuid(), 'pending' FROM webhook_messages m \
                 ON CONFLICT DO NOTHING; \
             INSERT INTO pending_jobs (task_name, lane, job_args) \
                 SELECT 'deliver_webhook', 'deliveries', jsonb_build_object('delivery_id', id) FROM webhook_deliveries d \
                 WHERE endpoint_id = '{endpoint}' AND status = 'pending' \
                     AND NOT EXISTS (SELECT FROM pending_jobs j WHERE j.job_args ->> 'delivery_id' = d.id::text)"
        ))
        .await;
        with = with.min(p99(&app, round + 100).await);
        let pending = app
            .sql(&format!(
                "SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = '{endpoint}' AND status = 'pending'"
            ))
            .await;
        assert_ne!(pending, "0", "the endpoint must not have answered");
        app.patch(&path, &json!({"enabled": false})).await.expect(200);
    }
    let ratio = with / without;
    println!(
        "p99 of {} healthy endpoints: {without:.0} ms without and {with:.0} ms with the hanging one, ratio {ratio:.2}",
        endpoint_count()
    );
    // An attempt at the hanging endpoint takes 15 s. Machines that run tests are busy, so a factor of two is allowed.
    assert!(with < without * 2.0 + 250.0, "p99 {without:.0} ms became {with:.0} ms");
    receiver.stop().await;
}
