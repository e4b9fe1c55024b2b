//! The metrics port (`server.metrics_port`), which serves `/metrics` and the health endpoints without credentials.
//!
//! Its connections do not count towards the limits of the API port, so monitoring works when the API port is saturated.
//! The port uses plain HTTP and its responses reveal the structure of the system, so only the monitoring network may
//! reach it. It serves requests until the end of a shutdown.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error as ActixError, HttpServer, web};
use slog::info;

use super::server::unknown_route;
use super::{HttpServerState, middleware, routes};
use crate::error::{Error, Result};

/// Maximum number of open connections: several scrapers and the probes of an orchestrator.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection may stay open without a request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Binds the metrics port and builds its server, if one is configured. Fails with [`Error::Configuration`] if the
/// address cannot be bound.
pub fn serve_metrics(server_state: &HttpServerState) -> Result<Option<(Server, SocketAddr)>> {
    let settings = &server_state.settings().server;
    let Some(port) = settings.metrics_port else { return Ok(None) };
    let wanted = SocketAddr::new(settings.metrics_host.unwrap_or(settings.host), port);
    let refused = |error: std::io::Error| {
        Error::configuration(format_args!("cannot listen on {wanted} (server.metrics_port): {error}"))
    };
    let listener = TcpListener::bind(wanted).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let served = server_state.clone();
    let server = HttpServer::new(move || metrics_app(&served))
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(settings.request_head_timeout())
        .disable_signals()
        .listen(listener)
        .map_err(refused)?;
    info!(server_state.inner.logger, "metrics port listening"; "address" => %address);
    Ok(Some((server.run(), address)))
}

fn metrics_app(
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
    App::new()
        .app_data(server_state.clone())
        .configure(routes::configure_monitoring)
        .default_service(web::to(unknown_route))
        .wrap(from_fn(middleware::gate))
        .wrap(from_fn(middleware::bounds))
        .wrap(from_fn(middleware::observe))
        .wrap(from_fn(middleware::compress))
        .wrap(from_fn(middleware::protect))
}
