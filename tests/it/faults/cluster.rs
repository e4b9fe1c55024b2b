//! A cluster: instances of Aval as processes on one database, with a proxy on every connection between components.

use std::process::Command;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use tempfile::TempDir;

use aval::domain::application::Country;

use crate::support::accounts::{self, ADMIN};
use crate::support::chaos_proxy::{ChaosProxy, Link, Upstream};
use crate::support::db::{Server, text};
use crate::support::engine::{QUICK, SECRETS};
use crate::support::process::{ServerProcess, free_port};
use crate::support::redis::RedisServer;
use crate::support::{eventually, pace};

/// The lease time in the cluster. It is much shorter than in production, to keep runs short.
pub(crate) const LEASE: Duration = Duration::from_millis(2000);

/// How long a cluster may take to become idle after everything was healed.
const IDLE_PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take until all held resources are released.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// Short times, so a fault and the recovery from it take seconds.
const SETTINGS: [(&str, &str); 20] = [
    ("AVAL__LOG__FORMAT", "json"),
    ("AVAL__FAULTS__INJECTION", "true"),
    ("AVAL__JOBS__LEASE_MS", "2000"),
    ("AVAL__JOBS__HEARTBEAT_MS", "500"),
    ("AVAL__JOBS__POLL_INTERVAL_MS", "500"),
    ("AVAL__EVENTS__LEASE_MS", "1000"),
    ("EVENTS_BACKOFF_MS", "50"),
    ("EVENTS_BACKOFF_MAX_MS", "200"),
    ("EVENTS_MAX_ATTEMPTS", "3"),
    ("AVAL__OUTBOX__POLL_INTERVAL_MS", "500"),
    ("AVAL__OUTBOX__LEADER_RETRY_MS", "250"),
    ("AVAL__REDECISION__TICK_MS", "250"),
    ("AVAL__REDECISION__MAX_INTERVAL_MS", "1000"),
    ("AVAL__DATABASE__ACQUIRE_TIMEOUT_MS", "2000"),
    ("AVAL__DATABASE__STATEMENT_TIMEOUT_MS", "5000"),
    ("AVAL__PROVIDERS__DEFAULTS__CALL__CALL_TIMEOUT_MS", "1000"),
    ("AVAL__PROVIDERS__DEFAULTS__CALL__CONNECT_TIMEOUT_MS", "500"),
    ("AVAL__PROVIDERS__DEFAULTS__BREAKER__OPEN_MAX_MS", "1000"),
    ("AVAL__WEBSOCKET__PING_INTERVAL_MS", "1000"),
    ("AVAL__SERVER__DRAIN_DELAY_MS", "500"),
];

/// An instance and its links.
pub(crate) struct Instance {
    pub(crate) process: ServerProcess,
    /// Between clients and the instance.
    pub(crate) clients: ChaosProxy,
    /// Between the instance's pool and PostgreSQL.
    database: ChaosProxy,
    /// Between PostgreSQL and the instance's connections outside the pool: `LISTEN` and the leaders' locks.
    pub(crate) direct: ChaosProxy,
    /// Between the instance and Redis, if there is one.
    pub(crate) redis: Option<ChaosProxy>,
    serves_clients: bool,
}

impl Instance {
    /// Sets the state of both links to PostgreSQL.
    pub(crate) fn set_database(&self, link: Link) {
        self.database.set(link);
        self.direct.set(link);
    }

    /// Waits until it accepts requests.
    pub(crate) async fn wait_until_ready(&self, client: &awc::Client) {
        let url = format!("http://{}/health/ready", self.process.address());
        eventually("an instance to be ready", async || {
            let answer = client.get(&url).send().await.ok()?;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
    }
}

/// Connects to a database that may be restarting.
pub(crate) async fn connect(url: &str) -> AsyncPgConnection {
    eventually("the database to answer", async || AsyncPgConnection::establish(url).await.ok()).await
}

/// Waits until no work is left, and returns the end of the sequence.
///
/// # Errors
/// The remaining work, after a timeout.
pub(crate) async fn wait_until_idle(sql: &mut AsyncPgConnection) -> Result<i64, String> {
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM pending_jobs), (SELECT count(*) FROM provider_retries), \
        (SELECT count(*) FROM outbox WHERE relay_offset IS NULL), \
        (SELECT count(*) FROM applications WHERE status IN ('PENDING', 'VALIDATING')), \
        (SELECT o.last_offset - s.last_offset FROM outbox_position o, statistics_position s))";
    let deadline = Instant::now() + IDLE_PATIENCE;
    loop {
        let now = text(sql, left).await.unwrap();
        if now == "0 0 0 0 0" {
            let last = text(sql, "SELECT last_offset FROM outbox_position").await.unwrap();
            return Ok(last.parse().unwrap());
        }
        if Instant::now() > deadline {
            return Err(format!(
                "still at work (jobs, retries, unpublished events, undecided, uncounted): {now}"
            ));
        }
        pace(Duration::from_millis(50)).await;
    }
}

/// Instances, their bureaus, and the proxies between them.
pub(crate) struct Cluster {
    pub(crate) instances: Vec<Instance>,
    pub(crate) bureau: ServerProcess,
    /// Between all instances and the bureaus.
    pub(crate) bureau_link: ChaosProxy,
    pub(crate) server: Server,
    pub(crate) redis: Option<RedisServer>,
    pub(crate) client: awc::Client,
    pub(crate) token: String,
    folder: TempDir,
}

impl Cluster {
    /// Starts `count` instances on `server`, and waits until all accept requests.
    pub(crate) async fn start(server: Server, count: usize) -> Self {
        Self::start_with_roles(server, None, &vec!["api,worker,relay"; count]).await
    }

    /// Like [`Cluster::start`], with a Redis server.
    pub(crate) async fn start_with_redis(server: Server, count: usize) -> Self {
        Self::start_with_roles(server, Some(RedisServer::start()), &vec!["api,worker,relay"; count]).await
    }

    /// Starts an instance for each list of roles, and waits until all accept requests.
    pub(crate) async fn start_with_roles(server: Server, redis: Option<RedisServer>, roles: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut bureau = ServerProcess::new(
            &["provider-sim", "--port", &port.to_string()],
            &[],
            port,
            &folder.path().join("bureau.log"),
        );
        bureau.spawn();
        let bureau_link = ChaosProxy::start(Upstream::Tcp(bureau.address()));
        let mut cluster = Self {
            instances: Vec::new(),
            bureau,
            bureau_link,
            server,
            redis,
            client: awc::Client::builder().timeout(Duration::from_secs(4)).finish(),
            token: String::new(),
            folder,
        };
        for (number, roles) in roles.iter().enumerate() {
            let mut instance = cluster.instance(number, roles);
            instance.process.spawn();
            // The first one migrates the empty database.
            instance.wait_until_ready(&cluster.client).await;
            cluster.instances.push(instance);
        }
        accounts::create(&mut cluster.sql().await).await;
        cluster.token = cluster.access_token();
        cluster
    }

    fn instance(&self, number: usize, roles: &str) -> Instance {
        let database = ChaosProxy::start(Upstream::Unix(self.server.serving_socket_file()));
        let direct = ChaosProxy::start(Upstream::Unix(self.server.socket_file()));
        let url_through = |proxy: &ChaosProxy| {
            format!("postgresql://aval@{}/{}?sslmode=disable", proxy.address(), self.server.database)
        };
        let (url, direct_url) = (url_through(&database), url_through(&direct));
        let data_dir = self.folder.path().join(format!("instance-{number}"));
        let bureaus = Country::ALL.map(|country| {
            let code = country.code();
            let url = format!("http://{}/{}", self.bureau_link.address(), country.lower_code());
            (format!("AVAL__PROVIDERS__{code}__BASE_URL"), url)
        });
        let redis = self.redis.as_ref().map(|server| ChaosProxy::start(Upstream::Unix(server.socket())));
        let redis_url = redis.as_ref().map(|proxy| format!("redis://{}/0", proxy.address()));
        let own = [
            ("DATABASE_URL", url.as_str()),
            ("DATABASE_DIRECT_URL", direct_url.as_str()),
            ("AVAL_DATA_DIR", data_dir.to_str().unwrap()),
            ("REDIS_URL", redis_url.as_deref().unwrap_or_default()),
        ];
        let variables: Vec<(&str, &str)> = QUICK
            .iter()
            .chain(&SECRETS)
            .chain(&SETTINGS)
            .chain(&own)
            .copied()
            .chain(bureaus.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .collect();
        let log = self.folder.path().join(format!("instance-{number}.log"));
        let process = ServerProcess::new(&["serve", "--roles", roles], &variables, free_port(), &log);
        let clients = ChaosProxy::start(Upstream::Tcp(process.address()));
        Instance { process, clients, database, direct, redis, serves_clients: roles.contains("api") }
    }

    /// A connection that bypasses all proxies.
    pub(crate) async fn sql(&self) -> AsyncPgConnection {
        connect(&self.server.url()).await
    }

    /// An access token printed by the operator's command.
    fn access_token(&self) -> String {
        let printed = Command::new(env!("CARGO_BIN_EXE_aval"))
            .args(["token", "--user", ADMIN, "--minutes", "600"])
            .env("DATABASE_URL", self.server.url())
            .envs(SECRETS)
            .output()
            .unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        String::from_utf8(printed.stdout).unwrap().trim().to_owned()
    }

    /// The addresses of the instances that serve clients.
    pub(crate) fn urls(&self) -> Vec<String> {
        let serving = self.instances.iter().filter(|instance| instance.serves_clients);
        serving.map(|instance| format!("http://{}", instance.clients.address())).collect()
    }

    /// The instance that first became the leading relay. It is the current leader only before the first fault.
    pub(crate) fn leader(&self) -> usize {
        let leads =
            |instance: &Instance| instance.process.log().contains("this instance is now the leading relay");
        self.instances.iter().position(leads).expect("a leading relay")
    }

    /// Heals all links, restarts every component that is not running, and waits until all instances accept requests.
    pub(crate) async fn heal(&mut self) {
        self.bureau_link.set(Link::Up);
        if !self.bureau.runs() {
            self.bureau.kill();
            self.bureau.spawn();
        }
        if let Some(redis) = &mut self.redis {
            redis.restart();
        }
        for instance in &mut self.instances {
            instance.clients.set(Link::Up);
            instance.set_database(Link::Up);
            if let Some(redis) = &instance.redis {
                redis.set(Link::Up);
            }
            if !instance.process.runs() {
                instance.process.kill();
                instance.process.spawn();
            }
        }
        for instance in &self.instances {
            instance.wait_until_ready(&self.client).await;
        }
    }

    /// The resources that the instances still hold some time after all work is done: connections, running work,
    /// transactions.
    pub(crate) async fn leaks(&self) -> Vec<String> {
        let deadline = Instant::now() + RELEASE_PATIENCE;
        loop {
            // Scheduled tasks briefly hold a connection.
            let held = self.held().await;
            if held.is_empty() || Instant::now() > deadline {
                return held;
            }
            pace(Duration::from_millis(100)).await;
        }
    }

    async fn held(&self) -> Vec<String> {
        let mut held = Vec::new();
        for (index, instance) in self.instances.iter().enumerate() {
            let page = self.metrics(instance).await;
            for gauge in ["worker_active_tasks", "http_requests_in_progress"] {
                let busy: f64 = page
                    .lines()
                    .filter(|line| {
                        line.starts_with(gauge) && !line.contains("/metrics") && !line.contains("/ws\"")
                    })
                    .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                    .sum();
                if busy != 0.0 {
                    held.push(format!("instance {index} still has {gauge} {busy}"));
                }
            }
        }
        let count = async |condition: &str| -> usize {
            let query = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
            );
            text(&mut self.sql().await, &query).await.unwrap().parse().unwrap()
        };
        let open = count("application_name = 'aval'").await;
        // The pool, the listener, and one connection for each leader role that it holds or applies for.
        let allowed = self.instances.len() * (6 + 3);
        if open > allowed {
            held.push(format!("{open} connections are open, more than {allowed}"));
        }
        let stuck = count("state LIKE 'idle in transaction%'").await;
        if stuck > 0 {
            held.push(format!("{stuck} connections are idle in a transaction"));
        }
        held
    }

    async fn metrics(&self, instance: &Instance) -> String {
        let url = format!("http://{}/metrics", instance.process.address());
        let mut answer = self.client.get(url).bearer_auth(&self.token).send().await.unwrap();
        String::from_utf8(answer.body().limit(8 << 20).await.unwrap().to_vec()).unwrap()
    }

    /// The end of each log, for failed runs.
    pub(crate) fn log_tails(&self) -> String {
        let tail = |process: &ServerProcess| {
            let log = process.log();
            let lines: Vec<&str> =
                log.lines().filter(|line| !line.contains("\"request completed\"")).collect();
            lines[lines.len().saturating_sub(12)..].join("\n")
        };
        let instances = self.instances.iter().enumerate();
        instances
            .map(|(index, instance)| format!("instance {index}:\n{}", tail(&instance.process)))
            .collect::<Vec<_>>()
            .join("\n")
    }
}
