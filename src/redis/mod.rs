//! Redis, which instances share in addition to the database, and the connections to it.
//!
//! Redis is optional: it contains only data that is also in the database or may be lost. A failed command returns
//! [`Error::Unavailable`] within `redis.command_timeout_ms`, and the caller continues without Redis. After consecutive
//! failures the [`Breaker`] opens, and commands fail immediately until a probe succeeds. Aval starts even if Redis is
//! unavailable.
//!
//! Failure modes: Redis is slow, unreachable, out of memory, restarted without its data, or replaced by another
//! instance. The modules that use Redis (`events::bus`, `cache` and the rate limits in `http`) document the effects;
//! `docs/redis.md` is for operators.

mod breaker;
mod labels;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script,
    ScriptInvocation, TlsCertificates,
};
use bb8_redis::bb8::{ManageConnection, Pool, RunError};
use slog::{Logger, info, warn};
use tokio::sync::Notify;

use self::breaker::Breaker;
pub use self::labels::{CallResult, Operation};
use crate::clock::Clock;
use crate::config::RedisSettings;
use crate::error::{Error, Result};
use crate::telemetry::metrics::{Metrics, seconds};
use crate::telemetry::trace::{self, KeyValue, SpanKind};

/// The component's name in logs and errors.
pub const NAME: &str = "redis";

/// Longest time to connect, including the handshake. It exceeds the command timeout, because a connection that is too
/// late for one command may be ready for a later one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The state of Redis as seen by this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisState {
    /// Redis responded to the last command.
    Up,
    /// The last command failed: Aval works without Redis.
    Degraded,
}

/// A client for Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    pool: Pool<ConnectionManager>,
    connect_failures: Arc<ConnectFailures>,
    breaker: Mutex<Breaker>,
    timeout: Duration,
    watch_interval: Duration,
    key_prefix: String,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
}

enum Message<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
    Pipeline(&'a Pipeline),
}

/// Why a command has no usable result.
enum Failure {
    /// Redis is unreachable, or reports that it cannot work.
    Unavailable(String),
    /// Redis works, but a key has an unexpected type. Another client can cause this, so it must not open the breaker.
    UnexpectedType(String),
}

impl Failure {
    fn of(error: &RedisError) -> Self {
        let is_unexpected_type =
            error.kind() == ErrorKind::UnexpectedReturnType || error.code() == Some("WRONGTYPE");
        if is_unexpected_type {
            Self::UnexpectedType(error.to_string())
        } else {
            Self::Unavailable(error.to_string())
        }
    }

    fn cause(self) -> String {
        match self {
            Self::Unavailable(cause) | Self::UnexpectedType(cause) => cause,
        }
    }
}

impl Redis {
    /// Creates the client; `None` if Redis is not configured. Does not connect yet.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the URL or the root certificate file is not valid.
    pub fn new(
        settings: &RedisSettings,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        logger: &Logger,
    ) -> Result<Option<Self>> {
        if !settings.is_configured() {
            return Ok(None);
        }
        let client = client(settings)?;
        let connect_failures = Arc::new(ConnectFailures::default());
        let pool = Pool::builder()
            .max_size(settings.pool_size)
            .test_on_check_out(false)
            .retry_connection(false)
            .connection_timeout(CONNECT_TIMEOUT)
            .build_unchecked(ConnectionManager {
                client: client.clone(),
                connect_failures: Arc::clone(&connect_failures),
            });
        let open_for = Duration::from_millis(settings.breaker_open_ms);
        let inner = Inner {
            client,
            pool,
            connect_failures,
            breaker: Mutex::new(Breaker::new(settings.breaker_failures, open_for)),
            timeout: settings.command_timeout(),
            watch_interval: open_for,
            key_prefix: settings.key_prefix.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            logger: logger.new(slog::o!("logger" => NAME)),
        };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// The key with the configured prefix.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.inner.key_prefix)
    }

    pub(crate) fn state(&self) -> RedisState {
        if self.breaker().last_failed() { RedisState::Degraded } else { RedisState::Up }
    }

    /// Whether Aval currently works without Redis.
    pub fn is_degraded(&self) -> bool {
        self.state() == RedisState::Degraded
    }

    /// Sends a command. `operation` is its label in metrics.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the command fails or times out, or if the breaker is open.
    pub async fn call<T: FromRedisValue>(&self, operation: Operation, command: &Cmd) -> Result<T> {
        self.send(operation, Message::Command(command)).await
    }

    /// Runs a script.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn run<T: FromRedisValue>(
        &self,
        operation: Operation,
        script: &ScriptInvocation<'_>,
    ) -> Result<T> {
        self.send(operation, Message::Script(script)).await
    }

    /// Sends several commands at once.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn pipe<T: FromRedisValue>(&self, operation: Operation, commands: &Pipeline) -> Result<T> {
        self.send(operation, Message::Pipeline(commands)).await
    }

    /// The version of the server; `None` before Redis 7, whose scripts cannot read it.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn version(&self) -> Result<Option<String>> {
        let script = Script::new("return redis.REDIS_VERSION or false");
        self.run(Operation::Version, &script.prepare_invoke()).await
    }

    /// Opens a connection outside the pool, for blocking commands. It has no timeout and no breaker; the caller is
    /// responsible for both.
    pub async fn dedicated(&self) -> Result<MultiplexedConnection> {
        connect(&self.inner.client).await.map_err(|error| Error::unavailable(NAME, error))
    }

    /// Pings Redis periodically, which keeps the state current on idle instances and closes the breaker when Redis
    /// recovers. Never returns.
    pub async fn ping_periodically(self) {
        loop {
            // The breaker records the result.
            let _ = self.call::<String>(Operation::Ping, &::redis::cmd("PING")).await;
            tokio::time::sleep(self.inner.watch_interval).await;
        }
    }

    async fn send<T: FromRedisValue>(&self, operation: Operation, message: Message<'_>) -> Result<T> {
        let inner = &*self.inner;
        let count = |result: CallResult| {
            let labels = [operation.as_str(), result.as_str()];
            inner.metrics.redis_calls_total.with_label_values(&labels).inc();
        };
        let started = inner.clock.monotonic();
        if !self.breaker().admit(started) {
            count(CallResult::Refused);
            return Err(Error::unavailable(NAME, "the circuit breaker is open"));
        }
        let attributes = || {
            vec![
                KeyValue::new("db.system.name", "redis"),
                KeyValue::new("db.operation.name", operation.as_str()),
            ]
        };
        let sending = self.exchange_with_timeout(message);
        let name = format!("redis {}", operation.as_str());
        let (result, answer) = trace::in_span(name, SpanKind::Client, attributes, sending).await;
        count(result);
        let now = inner.clock.monotonic();
        let took = seconds(now.saturating_sub(started));
        inner.metrics.redis_call_duration_seconds.with_label_values(&[operation.as_str()]).observe(took);
        let unavailable = match &answer {
            Err(Failure::Unavailable(cause)) => Some(cause),
            Ok(_) | Err(Failure::UnexpectedType(_)) => None,
        };
        self.record(unavailable, now);
        answer.map_err(|failure| Error::unavailable(NAME, failure.cause()))
    }

    /// The result as the label of `redis_calls_total`, and the reply.
    async fn exchange_with_timeout<T: FromRedisValue>(
        &self,
        message: Message<'_>,
    ) -> (CallResult, Result<T, Failure>) {
        let (result, answer) = match tokio::time::timeout(self.inner.timeout, self.exchange(message)).await {
            Ok(Ok(answer)) => (CallResult::Ok, Ok(answer)),
            Ok(Err(failure @ Failure::UnexpectedType(_))) => (CallResult::Foreign, Err(failure)),
            Ok(Err(failure @ Failure::Unavailable(_))) => (CallResult::Error, Err(failure)),
            Err(_) => (CallResult::Timeout, Err(Failure::Unavailable("the command timed out".to_owned()))),
        };
        if answer.is_err() {
            trace::fail(result.as_str());
        }
        (result, answer)
    }

    async fn exchange<T: FromRedisValue>(&self, message: Message<'_>) -> Result<T, Failure> {
        let failed = self.inner.connect_failures.notify.notified();
        let mut pooled = tokio::select! {
            biased;
            got = self.inner.pool.get() => got.map_err(|error| match error {
                RunError::User(cause) => Failure::Unavailable(cause.to_string()),
                RunError::TimedOut => Failure::Unavailable("no connection was available in time".to_owned()),
            })?,
            () = failed => return Err(Failure::Unavailable(self.inner.connect_failures.cause())),
        };
        // If the caller drops this future, the connection may still receive the old reply and must not be reused. Therefore
        // it counts as broken until the reply has arrived.
        pooled.broken = true;
        let connection = &mut pooled.connection;
        let answered: RedisResult<T> = match message {
            Message::Command(command) => command.query_async(connection).await,
            Message::Script(script) => script.invoke_async(connection).await,
            Message::Pipeline(commands) => commands.query_async(connection).await,
        };
        let lost = |error: &RedisError| error.is_io_error() || error.is_unrecoverable_error();
        pooled.broken = answered.as_ref().is_err_and(lost);
        answered.map_err(|error| Failure::of(&error))
    }

    fn record(&self, failure: Option<&String>, now: Duration) {
        let inner = &*self.inner;
        let mut breaker = self.breaker();
        let was_open = breaker.is_open();
        match failure {
            None => breaker.succeeded(),
            Some(_) => breaker.failed(now),
        }
        let is_open = breaker.is_open();
        drop(breaker);
        inner.metrics.redis_breaker_state.set(i64::from(is_open));
        match (was_open, is_open, failure) {
            (false, true, Some(cause)) => {
                warn!(inner.logger, "Redis is unavailable; continuing without it"; "cause" => cause);
            }
            (true, false, _) => info!(inner.logger, "Redis is available again"),
            _ => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.inner.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Redis {
    /// Omits the URL because it can contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("state", &self.state()).finish_non_exhaustive()
    }
}

fn client(settings: &RedisSettings) -> Result<Client> {
    // The Redis client uses the process's default crypto provider. If another one is installed already, it is ring as
    // well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let path = &settings.root_certificate_file;
    let unusable = |cause: &dyn std::fmt::Display| {
        Error::configuration(format_args!("redis.root_certificate_file {}: {cause}", path.display()))
    };
    let info = settings.connection_info()?;
    let refused =
        |error: RedisError| Error::configuration(format_args!("redis.url (REDIS_URL): {:?}", error.kind()));
    if path.as_os_str().is_empty() || !matches!(info.addr(), ::redis::ConnectionAddr::TcpTls { .. }) {
        return Client::open(info).map_err(refused);
    }
    let root_cert = Some(std::fs::read(path).map_err(|error| unusable(&error))?);
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        .map_err(|error| unusable(&error))
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Wakes waiting commands when a connection attempt fails, because the pool would let them wait until the timeout.
#[derive(Default)]
struct ConnectFailures {
    notify: Notify,
    cause: Mutex<String>,
}

impl ConnectFailures {
    fn report(&self, cause: &RedisError) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause.to_string();
        self.notify.notify_waiters();
    }

    fn cause(&self) -> String {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct ConnectionManager {
    client: Client,
    connect_failures: Arc<ConnectFailures>,
}

/// A pooled connection, and whether it must be closed.
struct PooledConnection {
    connection: MultiplexedConnection,
    broken: bool,
}

impl ManageConnection for ConnectionManager {
    type Connection = PooledConnection;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<PooledConnection> {
        let connection =
            connect(&self.client).await.inspect_err(|error| self.connect_failures.report(error))?;
        Ok(PooledConnection { connection, broken: false })
    }

    async fn is_valid(&self, _: &mut PooledConnection) -> RedisResult<()> {
        Ok(())
    }

    fn has_broken(&self, pooled: &mut PooledConnection) -> bool {
        pooled.broken
    }
}
