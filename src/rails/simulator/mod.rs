//! The simulated rails: an HTTP server that speaks the format of each rail under `/sepa`, `/spei`, `/pix` and `/co_ach`.
//!
//! It decides by the destination ([`scenarios`]) and keeps the payments in memory, at most one per key. Faults can be
//! injected in the process ([`Book`]) or over HTTP:
//!
//! - `GET /control` lists the payments and the faults of every rail
//! - `PUT /control/{rail}` sets any of `fail_next` (503), `hang_next` (accepted, but never answered) and `latency_ms`
//! - `DELETE /control/{rail}` removes the faults
//!
//! The control endpoints have no authentication, so the simulator must only be reachable over loopback or a trusted
//! network. It logs neither accounts nor names.

mod book;
mod formats;
pub mod scenarios;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;

pub use self::book::{Book, Faults, SimulatedPayment};
use crate::domain::disbursement::rail::Rail;
use crate::error::{Error, Result};

/// How long a request stays without a response if it is never answered. Exceeds every timeout.
pub const HANG: Duration = Duration::from_secs(60);

/// The running simulator. Cheap to clone; it runs until [`RailSimulator::stop`] or the end of the process.
#[derive(Clone)]
pub struct RailSimulator {
    address: SocketAddr,
    book: Arc<Book>,
    server: ServerHandle,
}

impl RailSimulator {
    /// Starts the server on a free port of the loopback interface. Requires a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Configuration`] if it cannot listen.
    pub async fn start(logger: slog::Logger) -> Result<Self> {
        let book = Arc::new(Book::default());
        let requested = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, running) = server::bind(requested, Arc::clone(&book)).map_err(|error| {
            Error::configuration(format!("the rail simulator cannot listen on {requested}: {error}"))
        })?;
        let server = running.handle();
        slog::info!(logger, "rail simulator listening"; "address" => %address);
        tokio::spawn(async move {
            if let Err(error) = running.await {
                slog::error!(logger, "rail simulator ended"; "error" => %error);
            }
        });
        Ok(Self { address, book, server })
    }

    /// The base URL of a rail, such as `http://127.0.0.1:8091/sepa`.
    pub fn base_url(&self, rail: Rail) -> String {
        format!("http://{}/{}", self.address, rail.as_str())
    }

    /// The payments and faults.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Stops listening and closes all connections, including hanging ones.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

#[cfg(test)]
pub(super) fn read_submission(rail: Rail, body: &str) -> Option<(String, String, String)> {
    formats::read_submission(rail, body).map(|read| (read.key, read.destination, read.amount))
}

#[cfg(test)]
pub(super) fn write_status(
    rail: Rail,
    key: &str,
    status: crate::domain::disbursement::rail::PaymentStatus,
    reason: Option<&str>,
) -> String {
    formats::write_status(rail, key, status, reason).1
}
