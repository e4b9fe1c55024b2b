//! Redis: what instances share besides the database, and the one way in which Aval connects to it.
//!
//! Nothing here is needed to answer a request, and nothing is kept here that is not in the database too or may be
//! forgotten. So a command that fails is no failure of whoever sent it: it gets [`Error::Unavailable`] within
//! `redis.command_timeout_ms` and goes on without. After some failures in a row the [`Breaker`] opens, and until the next
//! probe nobody even waits. Starting while Redis is away works like losing it later.
//!
//! What can go wrong: Redis is slow, gone, out of memory, restarted empty, or another one than before. The rooms that keep
//! something here (`bus`, `cache`, the rate limits of `http`) say what each of these does to them; `docs/redis.md` tells
//! operators.

mod breaker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation,
    TlsCertificates,
};
use bb8_redis::bb8::{ManageConnection, Pool, RunError};
use slog::{Logger, info, warn};
use tokio::sync::Notify;

use self::breaker::Breaker;
use crate::clock::Clock;
use crate::config::RedisSettings;
use crate::error::{Error, Result};
use crate::telemetry::metrics::{Metrics, seconds};

/// The part's name, in logs and errors.
pub const NAME: &str = "redis";

/// Longest time in which a connection is made, its greeting included. Longer than any command waits: who comes next may
/// find it ready.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How Redis is, from this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisState {
    /// The last command was answered.
    Up,
    /// The last command was not: what Redis is for is done without it.
    Degraded,
}

/// Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    pool: Pool<Links>,
    refused: Arc<Refused>,
    breaker: Mutex<Breaker>,
    timeout: Duration,
    watch_interval: Duration,
    key_prefix: String,
    clock: Clock,
    metrics: Arc<Metrics>,
    logger: Logger,
}

/// What is sent.
enum Message<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

/// Why a command has no usable answer.
enum Failure {
    /// Redis does not answer, or answers that it cannot work.
    Away(String),
    /// Redis works, and what stands under the key is of a kind that Aval never puts there. Somebody else can write that: it
    /// must not make Aval do without Redis.
    Foreign(String),
}

impl Failure {
    fn of(error: &RedisError) -> Self {
        let is_foreign = error.kind() == ErrorKind::UnexpectedReturnType || error.code() == Some("WRONGTYPE");
        if is_foreign { Self::Foreign(error.to_string()) } else { Self::Away(error.to_string()) }
    }

    fn cause(self) -> String {
        match self {
            Self::Away(cause) | Self::Foreign(cause) => cause,
        }
    }
}

impl Redis {
    /// Redis, where there is one. Nothing is connected yet, so that it may be away.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the address or the file of its authorities cannot be used.
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
        let refused = Arc::new(Refused::default());
        let pool = Pool::builder()
            .max_size(settings.pool_size)
            .test_on_check_out(false)
            .retry_connection(false)
            .connection_timeout(CONNECT_TIMEOUT)
            .build_unchecked(Links { client: client.clone(), refused: Arc::clone(&refused) });
        let open_for = Duration::from_millis(settings.breaker_open_ms);
        let inner = Inner {
            client,
            pool,
            refused,
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

    /// The whole name of a key.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.inner.key_prefix)
    }

    /// How it is.
    pub fn state(&self) -> RedisState {
        if self.breaker().last_failed() { RedisState::Degraded } else { RedisState::Up }
    }

    /// Whether what Redis is for is done without it.
    pub fn is_degraded(&self) -> bool {
        self.state() == RedisState::Degraded
    }

    /// Sends a command. `operation` names it in metrics.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no answer in time, when the answer is an error, and at once while the breaker is
    /// open.
    pub async fn call<T: FromRedisValue>(&self, operation: &'static str, command: &Cmd) -> Result<T> {
        self.send(operation, Message::Command(command)).await
    }

    /// Runs a script.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn run<T: FromRedisValue>(
        &self,
        operation: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T> {
        self.send(operation, Message::Script(script)).await
    }

    /// Opens a connection outside the pool, for commands that wait for something to happen. Neither time-out nor breaker
    /// guard it: its user does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when Redis cannot be reached.
    pub async fn dedicated(&self) -> Result<MultiplexedConnection> {
        connect(&self.inner.client).await.map_err(|error| Error::unavailable(NAME, error))
    }

    /// Asks for a sign of life again and again, so that its state is known where nobody else asks, and its return is
    /// noticed. Never ends.
    pub async fn keep_watch(self) {
        loop {
            // The outcome is in the breaker.
            let _ = self.call::<String>("ping", &::redis::cmd("PING")).await;
            tokio::time::sleep(self.inner.watch_interval).await;
        }
    }

    async fn send<T: FromRedisValue>(&self, operation: &'static str, message: Message<'_>) -> Result<T> {
        let inner = &*self.inner;
        let count = |result| inner.metrics.redis_calls_total.with_label_values(&[operation, result]).inc();
        let started = inner.clock.monotonic();
        if !self.breaker().admit(started) {
            count("refused");
            return Err(Error::unavailable(NAME, "it did not answer lately, and is left alone for now"));
        }
        let exchanged = tokio::time::timeout(inner.timeout, self.exchange(message)).await;
        let (result, answer) = match exchanged {
            Ok(Ok(answer)) => ("ok", Ok(answer)),
            Ok(Err(failure @ Failure::Foreign(_))) => ("foreign", Err(failure)),
            Ok(Err(failure @ Failure::Away(_))) => ("error", Err(failure)),
            Err(_) => ("timeout", Err(Failure::Away("no answer in time".to_owned()))),
        };
        count(result);
        let now = inner.clock.monotonic();
        let took = seconds(now.saturating_sub(started));
        inner.metrics.redis_call_duration_seconds.with_label_values(&[operation]).observe(took);
        let away = match &answer {
            Err(Failure::Away(cause)) => Some(cause),
            Ok(_) | Err(Failure::Foreign(_)) => None,
        };
        self.note(away, now);
        answer.map_err(|failure| Error::unavailable(NAME, failure.cause()))
    }

    async fn exchange<T: FromRedisValue>(&self, message: Message<'_>) -> Result<T, Failure> {
        let refused = self.inner.refused.told.notified();
        let mut link = tokio::select! {
            biased;
            got = self.inner.pool.get() => got.map_err(|error| match error {
                RunError::User(cause) => Failure::Away(cause.to_string()),
                RunError::TimedOut => Failure::Away("no connection became free in time".to_owned()),
            })?,
            () = refused => return Err(Failure::Away(self.inner.refused.cause())),
        };
        // Whoever stops waiting leaves the link so, and nobody uses it again: what comes over it may never come.
        link.broken = true;
        let connection = &mut link.connection;
        let answered: RedisResult<T> = match message {
            Message::Command(command) => command.query_async(connection).await,
            Message::Script(script) => script.invoke_async(connection).await,
        };
        let lost = |error: &RedisError| error.is_io_error() || error.is_unrecoverable_error();
        link.broken = answered.as_ref().is_err_and(lost);
        answered.map_err(|error| Failure::of(&error))
    }

    fn note(&self, failure: Option<&String>, now: Duration) {
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
                warn!(inner.logger, "Redis does not answer and is done without"; "cause" => cause);
            }
            (true, false, _) => info!(inner.logger, "Redis answers again"),
            _ => {}
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.inner.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Redis {
    /// Without the address: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("state", &self.state()).finish_non_exhaustive()
    }
}

fn client(settings: &RedisSettings) -> Result<Client> {
    // The client asks for the process's own provider of cryptography; like everywhere else it is ring. Whoever was
    // first has chosen the same.
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

/// A connection could not be made. The pool lets those who wait for one wait on: this tells them.
#[derive(Default)]
struct Refused {
    told: Notify,
    cause: Mutex<String>,
}

impl Refused {
    fn tell(&self, cause: &RedisError) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = cause.to_string();
        self.told.notify_waiters();
    }

    fn cause(&self) -> String {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes the pool's connections.
struct Links {
    client: Client,
    refused: Arc<Refused>,
}

/// A connection, and whether it is good for nothing any more.
struct Link {
    connection: MultiplexedConnection,
    broken: bool,
}

impl ManageConnection for Links {
    type Connection = Link;
    type Error = RedisError;

    async fn connect(&self) -> RedisResult<Link> {
        let connection = connect(&self.client).await.inspect_err(|error| self.refused.tell(error))?;
        Ok(Link { connection, broken: false })
    }

    async fn is_valid(&self, _: &mut Link) -> RedisResult<()> {
        Ok(())
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.broken
    }
}
