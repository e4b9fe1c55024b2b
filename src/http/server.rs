//! The actix application and the HTTP server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{ServiceFactoryExt as _, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, Error as ActixError, HttpRequest, HttpResponse, web};
use slog::info;

use super::connections::{Connections, SPARE_CONNECTIONS, connections_that_fit, track_request};
use super::cross_origin::cors;
use super::problem::Rejection;
use super::transport::{Acceptor, ClientStream};
use super::{HttpServerState, middleware, routes, tls};
use crate::error::{Error, Result};

/// Maximum wait for a connection to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections are closed by [`Connections`], which also detects request heads that arrive slowly. The server's
/// own timer is a fallback.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(10);

/// The complete actix application, built by each server worker and each test.
pub fn app(
    server_state: &HttpServerState,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = ActixError,
        InitError = (),
    > + use<>,
> {
    let enabled = routes::EnabledRoutes::of(server_state.settings());
    let origins = &server_state.settings().cors;
    App::new()
        .app_data(server_state.clone())
        .configure(|config| routes::configure(config, enabled))
        .default_service(web::to(unknown_route))
        .wrap(from_fn(middleware::gate))
        .wrap(from_fn(middleware::bounds))
        .wrap(Condition::new(!origins.allowed_origins.is_empty(), cors(origins)))
        .wrap(from_fn(middleware::limit_the_rest))
        .wrap(from_fn(middleware::observe))
        .wrap(from_fn(middleware::compress))
        .wrap(from_fn(middleware::protect))
        .wrap(from_fn(track_request))
}

pub(super) async fn unknown_route(request: HttpRequest) -> Result<HttpResponse, Rejection> {
    Err(if request.path().ends_with('/') { Rejection::TrailingSlash } else { Rejection::UnknownRoute })
}

/// Binds the configured address and builds the server. The server starts when it is awaited, responds with 503 until
/// [`HttpServerState::open`] is called, and handles no signals, because shutdown is coordinated elsewhere. Fails with
/// [`Error::Configuration`] if the address cannot be bound.
pub fn serve(server_state: &HttpServerState) -> Result<(Server, SocketAddr)> {
    let settings = &server_state.settings().server;
    let wanted = SocketAddr::new(settings.host, settings.port);
    let refused =
        |error: std::io::Error| Error::configuration(format_args!("cannot listen on {wanted}: {error}"));
    let listener = TcpListener::bind(wanted).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    let logger = &server_state.inner.logger;
    let max_connections = connections_that_fit(settings.max_connections, logger);
    let (clock, metrics) = (server_state.inner.clock.clone(), Arc::clone(&server_state.inner.metrics));
    let tls =
        if settings.tls.is_on() { Some(Arc::new(tls::server_config(&settings.tls, logger)?)) } else { None };
    let acceptor = Acceptor {
        connections: Connections::watch(settings, max_connections, clock, metrics, logger.clone()),
        tls,
        handshake_timeout: settings.request_head_timeout(),
    };
    // The acceptor refuses excess connections and reports them; the server's own limit would leave them hanging.
    let never_reached = max_connections.saturating_add(4 * SPARE_CONNECTIONS);
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(never_reached)
        .shutdown_timeout(settings.shutdown_timeout().as_secs().max(1))
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let served = server_state.clone();
    let builder = builder.listen("http", listener, move || {
        let (acceptor, stopping) = (acceptor.clone(), stopping.clone());
        let settings = &served.settings().server;
        let service = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(settings.keep_alive() + KEEP_ALIVE_MARGIN)
            .client_request_timeout(settings.request_head_timeout())
            .client_disconnect_timeout(CLOSE_TIMEOUT)
            .local_addr(address)
            .on_connect_ext(|stream: &ClientStream, data| {
                data.insert(stream.connection());
            })
            .finish(map_config(app(&served), |()| AppConfig::default()))
            .map_err(|error| io::Error::other(error.to_string()));
        fn_service(move |stream| acceptor.clone().accept(stream)).and_then(service)
    });
    info!(logger, "listening"; "address" => %address, "workers" => workers, "tls" => settings.tls.is_on(),
        "max_connections" => max_connections);
    Ok((builder.map_err(refused)?.run(), address))
}

#[cfg(test)]
pub(super) mod tests;
