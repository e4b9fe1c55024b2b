//! The HTTP server of the simulated rails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::{Map, Value, json};

use super::book::{Book, Faults, SimulatedPayment, Submitted};
use super::scenarios::Scenario;
use super::{HANG, formats};
use crate::domain::disbursement::rail::Rail;

/// The name that look-ups of [`Scenario::OtherHolder`] report.
const OTHER_HOLDER: &str = "Otra Persona";

/// Binds `address` and builds the server with one worker and no signal handlers.
pub(super) fn bind(address: SocketAddr, book: Arc<Book>) -> std::io::Result<(SocketAddr, Server)> {
    let book = Data::from(book);
    let server = HttpServer::new(move || {
        let rails = Rail::ALL.iter().map(|rail| routes(*rail));
        rails
            .fold(App::new(), |app, scope| app.service(scope))
            .app_data(Data::clone(&book))
            .service(web::resource("/control").get(show))
            .service(web::resource("/control/{rail}").put(change).delete(reset))
    })
    .workers(1)
    .disable_signals()
    .h1_allow_half_closed(false)
    .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((bound, server.run()))
}

fn routes(rail: Rail) -> actix_web::Scope {
    let lookup = move |book: Data<Book>, body: Bytes| async move { look_up(&book, rail, &body).await };
    let submit = move |book: Data<Book>, body: Bytes| async move { submit(&book, rail, &body).await };
    let inquire =
        move |book: Data<Book>, key: web::Path<String>| async move { inquire(&book, rail, &key).await };
    web::scope(&format!("/{}", rail.as_str()))
        .route("/destinations", web::post().to(lookup))
        .route("/payments", web::post().to(submit))
        .route("/payments/{key}", web::get().to(inquire))
}

/// Waits for the rail's latency; the response of a failing request.
async fn delay(book: &Book, rail: Rail) -> Option<HttpResponse> {
    let latency = Duration::from_millis(book.faults(rail).latency_ms);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    book.fails(rail).then(|| HttpResponse::ServiceUnavailable().finish())
}

async fn look_up(book: &Book, rail: Rail, body: &[u8]) -> HttpResponse {
    if let Some(failure) = delay(book, rail).await {
        return failure;
    }
    let destination = std::str::from_utf8(body).ok().and_then(|body| formats::read_lookup(rail, body));
    let Some(destination) = destination else { return HttpResponse::BadRequest().finish() };
    let (reason, holder) = match Scenario::of(&destination) {
        Scenario::NoSuchAccount => (Some("AC01"), None),
        Scenario::OtherHolder => (None, Some(OTHER_HOLDER)),
        _ => (None, None),
    };
    HttpResponse::Ok().content_type("application/json").body(formats::write_lookup(rail, reason, holder))
}

async fn submit(book: &Book, rail: Rail, body: &[u8]) -> HttpResponse {
    if let Some(failure) = delay(book, rail).await {
        return failure;
    }
    let submission = std::str::from_utf8(body).ok().and_then(|body| formats::read_submission(rail, body));
    let Some(submission) = submission else { return HttpResponse::BadRequest().finish() };
    let scenario = Scenario::of(&submission.destination);
    match book.submit(rail, &submission.key, submission.amount, scenario) {
        Submitted::Answered(payment) => status(rail, &submission.key, &payment),
        Submitted::Unavailable => HttpResponse::ServiceUnavailable().finish(),
        Submitted::Hangs => {
            tokio::time::sleep(HANG).await;
            HttpResponse::GatewayTimeout().finish()
        }
    }
}

async fn inquire(book: &Book, rail: Rail, key: &str) -> HttpResponse {
    if let Some(failure) = delay(book, rail).await {
        return failure;
    }
    match book.inquire(rail, key) {
        Some(payment) => status(rail, key, &payment),
        None => HttpResponse::NotFound().finish(),
    }
}

fn status(rail: Rail, key: &str, payment: &SimulatedPayment) -> HttpResponse {
    let (content_type, body) = formats::write_status(rail, key, payment.status, payment.reason);
    HttpResponse::Ok().content_type(content_type).body(body)
}

async fn show(book: Data<Book>) -> HttpResponse {
    let rails: Map<String, Value> =
        Rail::ALL.iter().map(|rail| (rail.as_str().to_owned(), state(&book, *rail))).collect();
    HttpResponse::Ok().json(rails)
}

async fn change(book: Data<Book>, rail: web::Path<String>, faults: web::Json<Faults>) -> HttpResponse {
    let Ok(rail) = rail.parse() else { return HttpResponse::NotFound().finish() };
    book.set_faults(rail, *faults);
    HttpResponse::Ok().json(state(&book, rail))
}

async fn reset(book: Data<Book>, rail: web::Path<String>) -> HttpResponse {
    let Ok(rail) = rail.parse() else { return HttpResponse::NotFound().finish() };
    book.set_faults(rail, Faults::default());
    HttpResponse::Ok().json(state(&book, rail))
}

fn state(book: &Book, rail: Rail) -> Value {
    json!({"faults": book.faults(rail), "payments": book.payments(rail)})
}
