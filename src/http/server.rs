//! The actix application and its server.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, Error as ActixError, HttpResponse, HttpServer, web};
use slog::info;

use super::connections::{Connections, attend, make_room};
use super::cross_origin::cors;
use super::problem::Rejection;
use super::{Entrance, middleware, routes, tls};
use crate::error::{Error, Result};

/// Longest wait for a connection to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole application, as each worker of the server and each test builds it.
pub fn app(
    entrance: &Entrance,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = ActixError,
        InitError = (),
    > + use<>,
> {
    let offer = routes::Offer::of(entrance.settings());
    let origins = &entrance.settings().cors;
    App::new()
        .app_data(entrance.clone())
        .configure(|config| routes::configure(config, offer))
        .default_service(web::to(unknown_route))
        .wrap(from_fn(middleware::gate))
        .wrap(from_fn(middleware::bounds))
        .wrap(Condition::new(!origins.allowed_origins.is_empty(), cors(origins)))
        .wrap(from_fn(middleware::observe))
        .wrap(from_fn(middleware::protect))
        .wrap(from_fn(attend))
}

async fn unknown_route() -> Result<HttpResponse, Rejection> {
    Err(Rejection::UnknownRoute)
}

/// Starts to listen where the configuration says. The server runs when it is awaited, answers 503 until the entrance is
/// opened, and takes no signals: stopping it is the shutdown's matter.
///
/// # Errors
/// [`Error::Configuration`] when the address cannot be listened on.
pub fn serve(entrance: &Entrance) -> Result<(Server, SocketAddr)> {
    let settings = &entrance.settings().server;
    let wanted = SocketAddr::new(settings.host, settings.port);
    let refused =
        |error: std::io::Error| Error::configuration(format_args!("cannot listen on {wanted}: {error}"));
    let listener = TcpListener::bind(wanted).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    let logger = &entrance.inner.logger;
    make_room(settings, logger);
    let (clock, metrics) = (entrance.inner.clock.clone(), Arc::clone(&entrance.inner.metrics));
    let connections = Connections::watch(settings, clock, metrics, logger.clone());
    let factory_entrance = entrance.clone();
    let server = HttpServer::new(move || app(&factory_entrance))
        .workers(workers)
        .max_connections(settings.max_connections.div_ceil(workers))
        .keep_alive(settings.keep_alive())
        .client_request_timeout(settings.request_head_timeout())
        .tls_handshake_timeout(settings.request_head_timeout())
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        .shutdown_timeout(settings.shutdown_timeout().as_secs().max(1))
        .disable_signals()
        .on_connect(move |connection, data| {
            if let Some(open) = connections.admit(connection) {
                data.insert(open);
            }
        });
    let server = if settings.tls.is_on() {
        server.listen_rustls_0_23(listener, tls::server_config(&settings.tls, logger)?)
    } else {
        server.listen(listener)
    };
    info!(logger, "listening"; "address" => %address, "workers" => workers, "tls" => settings.tls.is_on());
    Ok((server.map_err(refused)?.run(), address))
}

#[cfg(test)]
pub(super) mod tests;
