//! The actix application and its server.

use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error as ActixError, HttpResponse, HttpServer, web};
use slog::{info, warn};
use socket2::SockRef;

use super::problem::Rejection;
use super::{Entrance, middleware, routes};
use crate::error::{Error, Result};

/// Longest wait for the head of a request on an open connection, and for a connection to close.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

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
    let faults = entrance.settings().faults.injection;
    App::new()
        .app_data(entrance.clone())
        .configure(|config| routes::configure(config, faults))
        .default_service(web::to(unknown_route))
        .wrap(from_fn(middleware::gate))
        .wrap(from_fn(middleware::observe))
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
    let user_timeout = Duration::from_millis(settings.tcp_user_timeout_ms);
    let (factory_entrance, logger) = (entrance.clone(), entrance.inner.logger.clone());
    let server = HttpServer::new(move || app(&factory_entrance))
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(CLIENT_TIMEOUT)
        .client_disconnect_timeout(CLIENT_TIMEOUT)
        .shutdown_timeout(settings.shutdown_timeout().as_secs().max(1))
        .disable_signals()
        .on_connect(move |connection, _| {
            if let Err(error) = give_up_silent_peers(connection, user_timeout) {
                warn!(logger, "a connection has no TCP_USER_TIMEOUT"; "error" => %error);
            }
        })
        .listen(listener)
        .map_err(refused)?
        .run();
    info!(entrance.inner.logger, "listening"; "address" => %address, "workers" => workers);
    Ok((server, address))
}

/// A peer that acknowledges nothing is cut off by the kernel, also where the task that writes to it stands still.
fn give_up_silent_peers(connection: &dyn Any, after: Duration) -> std::io::Result<()> {
    match connection.downcast_ref::<actix_web::rt::net::TcpStream>() {
        Some(stream) => {
            let socket = SockRef::from(stream);
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_user_timeout(Some(after))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests;
