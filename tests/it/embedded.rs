//! The private PostgreSQL on real servers. Durability is off; everything else is as in production.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aval::embedded::{EmbeddedPostgres, EmbeddedSettings};
use aval::error::{Error, Result};
use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tempfile::TempDir;

use crate::support::db::program_folder;
use crate::support::{PATIENCE, eventually};

fn quiet() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

/// A directory that the server's user can access, even when the tests run as root.
fn open_dir() -> TempDir {
    tempfile::Builder::new().prefix("aval-it-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// Settings for a database below `root`. If the tests run as root and the server's user cannot access `data_dir`, the database
/// is in `root/fallback`.
fn settings(root: &Path) -> EmbeddedSettings {
    EmbeddedSettings {
        durable: false,
        start_timeout: PATIENCE,
        bin_dir: program_folder(),
        fallback_dir: root.join("fallback"),
        ..EmbeddedSettings::new(root.join("data"))
    }
}

async fn start(root: &Path) -> EmbeddedPostgres {
    match EmbeddedPostgres::start(settings(root), quiet()).await {
        Ok(server) => server,
        Err(error) => panic!("{error}: {:?}", error.private_cause()),
    }
}

/// The message of the configuration error that the start must fail with.
fn refusal(outcome: Result<EmbeddedPostgres>) -> String {
    match outcome {
        Ok(_) => panic!("the server started"),
        Err(Error::Configuration(message)) => message.to_string(),
        Err(other) => panic!("not a configuration error: {other}: {:?}", other.private_cause()),
    }
}

async fn execute(server: &EmbeddedPostgres, statement: &str) {
    let mut connection = AsyncPgConnection::establish(server.owner_url()).await.unwrap();
    connection.batch_execute(statement).await.unwrap();
}

/// The value of an SQL expression, as text.
async fn value(server: &EmbeddedPostgres, expression: &str) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let mut connection = AsyncPgConnection::establish(server.owner_url()).await.unwrap();
    let query = diesel::sql_query(format!("SELECT ({expression})::text AS value"));
    query.get_result::<Row>(&mut connection).await.unwrap().value
}

/// The processes whose command line contains `directory`: the servers started on it.
fn servers_on(directory: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let named = |pid: &i32| {
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command_line.split(|byte| *byte == 0).any(|part| part == directory.as_os_str().as_encoded_bytes())
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(named).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, async || condition().then_some(())).await;
}

#[tokio::test]
async fn it_starts_on_an_empty_directory_responds_and_stops() {
    let root = open_dir();
    let server = start(root.path()).await;
    assert_eq!(value(&server, "current_database()").await, "aval");
    assert_eq!(value(&server, "current_setting('server_encoding')").await, "UTF8");
    assert_eq!(value(&server, "current_setting('timezone')").await, "UTC");
    assert_eq!(value(&server, "current_setting('data_checksums')").await, "on");
    assert_eq!(value(&server, "current_setting('listen_addresses')").await, "");
    let directory = server.directory().to_path_buf();
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    server.stop().await.unwrap();
    assert_eq!(servers_on(&directory), Vec::<i32>::new());
    assert!(!directory.join("postmaster.pid").exists());
}

#[tokio::test]
async fn by_default_a_commit_is_durable() {
    let root = open_dir();
    let durable = EmbeddedSettings { durable: true, ..settings(root.path()) };
    let server = EmbeddedPostgres::start(durable, quiet()).await.unwrap();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(value(&server, &format!("current_setting('{setting}')")).await, "on", "{setting}");
    }
    server.stop().await.unwrap();
    assert!(EmbeddedSettings::new("anywhere").durable);
}

#[tokio::test]
async fn a_second_start_keeps_the_data_and_creates_nothing() {
    let root = open_dir();
    let server = start(root.path()).await;
    execute(&server, "CREATE TABLE kept AS SELECT 'still here'::text AS word").await;
    let inode = fs::metadata(server.directory()).unwrap().ino();
    server.stop().await.unwrap();

    let server = start(root.path()).await;
    assert_eq!(value(&server, "SELECT word FROM kept").await, "still here");
    assert_eq!(fs::metadata(server.directory()).unwrap().ino(), inode);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_restarted_with_its_data() {
    let root = open_dir();
    let server = start(root.path()).await;
    let kept = "SET synchronous_commit = on; CREATE TABLE kept AS SELECT 'still here'::text AS word";
    execute(&server, kept).await;
    let (killed, directory) = (server.pid().unwrap(), server.directory().to_path_buf());
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    server.wait_exit().await;
    assert!(directory.join("postmaster.pid").exists(), "a killed server cannot remove its pid file");
    drop(server);

    let server = start(root.path()).await;
    assert_ne!(server.pid().unwrap(), killed);
    assert_eq!(value(&server, "SELECT word FROM kept").await, "still here");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_of_another_kind_of_process_is_stale() {
    let root = open_dir();
    let server = start(root.path()).await;
    let pid_file = server.directory().join("postmaster.pid");
    let recorded = fs::read_to_string(&pid_file).unwrap();
    server.stop().await.unwrap();

    // The process of this test stands for an unrelated process that was given the process id of the dead server.
    let reused = recorded.replacen(recorded.lines().next().unwrap(), &std::process::id().to_string(), 1);
    fs::write(&pid_file, reused).unwrap();
    let server = start(root.path()).await;
    assert_eq!(value(&server, "1").await, "1");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_left_by_a_killed_aval_is_adopted_and_can_be_stopped() {
    let root = open_dir();
    let server = start(root.path()).await;
    execute(&server, "CREATE TABLE kept AS SELECT 'still here'::text AS word").await;
    let (left, url, directory) =
        (server.pid(), server.database_url().to_owned(), server.directory().to_path_buf());
    server.detach();

    let server = start(root.path()).await;
    assert_eq!(server.pid(), left);
    assert_eq!(server.database_url(), url);
    assert_eq!(value(&server, "SELECT word FROM kept").await, "still here");
    assert_eq!(servers_on(&directory), [left.unwrap()]);
    server.stop().await.unwrap();
    assert_eq!(servers_on(&directory), Vec::<i32>::new());
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_still_stopping() {
    let root = open_dir();
    let server = start(root.path()).await;
    let stopping = server.pid().unwrap();
    drop(server);
    let server = start(root.path()).await;
    assert_ne!(server.pid().unwrap(), stopping);
    assert_eq!(servers_on(server.directory()), [server.pid().unwrap()]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_is_restarted_under_the_same_url_until_shutdown() {
    let root = open_dir();
    let server = start(root.path()).await;
    let (killed, url, directory) =
        (server.pid().unwrap(), server.database_url().to_owned(), server.directory().to_path_buf());
    let (shut_down, shutdown_requested) = tokio::sync::oneshot::channel::<()>();
    let supervised = tokio::spawn(server.supervise(async move {
        shutdown_requested.await.unwrap();
    }));
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();

    until("another server", || servers_on(&directory).iter().any(|pid| *pid != killed)).await;
    eventually("the new server to respond", async || AsyncPgConnection::establish(&url).await.ok()).await;
    shut_down.send(()).unwrap();
    supervised.await.unwrap().unwrap();
    assert_eq!(servers_on(&directory), Vec::<i32>::new());
}

#[tokio::test]
async fn a_second_aval_on_the_same_directory_is_rejected_and_the_first_keeps_running() {
    let root = open_dir();
    let first = start(root.path()).await;
    let message = refusal(EmbeddedPostgres::start(settings(root.path()), quiet()).await);
    assert!(message.contains("another Aval"), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert_eq!(value(&first, "1").await, "1");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_copied_data_directory_of_the_same_database_is_rejected_while_the_first_runs() {
    let root = open_dir();
    let pointing = |name: &str| {
        let data_dir = root.path().join(name);
        fs::create_dir(&data_dir).unwrap();
        fs::write(data_dir.join("postgres.id"), "0198c5a1d2e37b0c8f4e5a6b7c8d9e0f\n").unwrap();
        EmbeddedSettings { data_dir, ..settings(root.path()) }
    };
    let first = EmbeddedPostgres::start(pointing("first"), quiet()).await.unwrap();
    assert!(first.directory().starts_with(root.path().join("fallback").canonicalize().unwrap()));
    let message = refusal(EmbeddedPostgres::start(pointing("copy"), quiet()).await);
    assert!(message.contains("another Aval"), "{message}");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_of_another_major_version_is_rejected_with_the_package_to_install() {
    let root = open_dir();
    let server = start(root.path()).await;
    let version_file = server.directory().join("PG_VERSION");
    server.stop().await.unwrap();
    fs::write(&version_file, "11\n").unwrap();

    let message = refusal(EmbeddedPostgres::start(settings(root.path()), quiet()).await);
    assert!(message.contains("created by PostgreSQL 11"), "{message}");
    assert!(message.contains("apt-get install postgresql-11"), "{message}");
}

#[tokio::test]
async fn without_the_programs_the_error_names_the_package_to_install() {
    let root = open_dir();
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let without = EmbeddedSettings { bin_dir: Some(empty), ..settings(root.path()) };
    let message = refusal(EmbeddedPostgres::start(without, quiet()).await);
    assert!(message.contains("apt-get install postgresql"), "{message}");
    assert!(message.contains("AVAL_PG_BIN"), "{message}");
}

#[tokio::test]
async fn an_interrupted_initdb_is_cleaned_up() {
    let root = open_dir();
    let leftover = root.path().join("data/postgres-unfinished-1");
    fs::create_dir_all(leftover.join("base")).unwrap();
    fs::write(leftover.join("PG_VERSION"), "15\n").unwrap();
    let server = start(root.path()).await;
    assert_eq!(value(&server, "1").await, "1");
    assert!(!leftover.exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works_and_the_socket_is_private() {
    let root = open_dir();
    let deep = root.path().join("a long, long way".repeat(7));
    fs::create_dir(&deep).unwrap();
    let server = start(&deep).await;
    assert_eq!(value(&server, "1").await, "1");
    let (_, socket_dir) = server.database_url().split_once("host=").unwrap();
    let socket_dir = PathBuf::from(socket_dir);
    assert!(!socket_dir.starts_with(&deep));
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    server.stop().await.unwrap();

    let again = start(&deep).await;
    assert!(
        again.database_url().ends_with(socket_dir.to_str().unwrap()),
        "the socket directory must be the same at each start"
    );
    again.stop().await.unwrap();
    fs::remove_dir(&socket_dir).unwrap();
}

#[tokio::test]
async fn an_inaccessible_folder_works_and_keeps_its_data() {
    let root = open_dir();
    let closed = root.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let in_closed = || EmbeddedSettings { data_dir: closed.join("clone/.aval"), ..settings(root.path()) };

    let server = EmbeddedPostgres::start(in_closed(), quiet()).await.unwrap();
    let expected = if Uid::effective().is_root() { root.path().join("fallback") } else { closed.clone() };
    let directory = server.directory().to_path_buf();
    assert!(directory.starts_with(expected.canonicalize().unwrap()), "{}", directory.display());
    execute(&server, "CREATE TABLE kept AS SELECT 'still here'::text AS word").await;
    server.stop().await.unwrap();

    let server = EmbeddedPostgres::start(in_closed(), quiet()).await.unwrap();
    assert_eq!(server.directory(), directory);
    assert_eq!(value(&server, "SELECT word FROM kept").await, "still here");
    server.stop().await.unwrap();
    assert_eq!(fs::metadata(&closed).unwrap().mode() & 0o777, 0o700, "the folder must stay inaccessible");
}

/// The names of the server's environment variables.
fn environment_of(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.split_terminator('\0').map(|variable| variable.split('=').next().unwrap().to_owned()).collect()
}

/// The error that a database user gets for `statement`.
async fn refused(url: &str, statement: &str) -> String {
    let mut connection = AsyncPgConnection::establish(url).await.unwrap();
    let outcome = diesel::sql_query(statement).execute(&mut connection).await;
    outcome.expect_err(statement).to_string()
}

#[tokio::test]
async fn the_server_gets_no_secrets_and_its_users_cannot_run_programs() {
    let root = open_dir();
    let server = start(root.path()).await;
    let environment = environment_of(server.pid().unwrap());
    let known = ["LC_ALL", "PATH", "LD_LIBRARY_PATH", "TZ"];
    assert!(environment.iter().all(|name| known.contains(&name.as_str())), "{environment:?}");

    for url in [server.database_url(), server.owner_url()] {
        for statement in [
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "COPY applications FROM PROGRAM 'env'",
            "SELECT pg_read_file('postgresql.conf')",
            "SET ROLE aval",
            "ALTER ROLE aval_server SUPERUSER",
        ] {
            let message = refused(url, statement).await;
            let denied = ["denied", "must be superuser", "must have"];
            assert!(denied.iter().any(|text| message.contains(text)), "{statement}: {message}");
        }
    }
    for statement in ["CREATE TABLE mine (id int)", "CREATE SCHEMA mine", "CREATE TEMP TABLE mine (id int)"] {
        let message = refused(server.database_url(), statement).await;
        assert!(message.contains("permission denied"), "{statement}: {message}");
    }
    let superuser = AsyncPgConnection::establish(&server.superuser_url()).await;
    assert!(superuser.is_err(), "the superuser must only be able to connect while Aval starts");
    let elsewhere = server.owner_url().replacen("/aval?", "/postgres?", 1);
    assert!(AsyncPgConnection::establish(&elsewhere).await.is_err());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_and_recreated_database_can_be_served() {
    let root = open_dir();
    let earlier = EmbeddedSettings { superuser_connects: true, ..settings(root.path()) };
    let server = EmbeddedPostgres::start(earlier, quiet()).await.unwrap();
    let elsewhere = server.superuser_url().replacen("/aval?", "/postgres?", 1);
    let mut superuser = AsyncPgConnection::establish(&elsewhere).await.unwrap();
    for statement in ["DROP DATABASE aval WITH (FORCE)", "CREATE DATABASE aval"] {
        diesel::sql_query(statement).execute(&mut superuser).await.expect(statement);
    }
    drop(superuser);
    server.stop().await.unwrap();

    let server = start(root.path()).await;
    aval::storage::migrations::run_pending(server.owner_url()).await.unwrap();
    let mut serving = AsyncPgConnection::establish(server.database_url()).await.unwrap();
    diesel::sql_query("SELECT FROM applications").execute(&mut serving).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_never_runs_as_root() {
    let root = open_dir();
    let server = start(root.path()).await;
    let runs_as = fs::metadata(format!("/proc/{}", server.pid().unwrap())).unwrap().uid();
    assert_ne!(runs_as, 0);
    assert_eq!(runs_as, fs::metadata(server.directory()).unwrap().uid());
    server.stop().await.unwrap();
}

/// Runs two of the tests above in a separate process of an unprivileged user: `nobody` if the tests run as root.
#[tokio::test]
async fn an_unprivileged_user_can_run_it() {
    let root = open_dir();
    let program = root.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let temp_dir = root.path().join("tmp");
    fs::create_dir(&temp_dir).unwrap();
    fs::set_permissions(&temp_dir, Permissions::from_mode(0o1777)).unwrap();

    let mut tests = tokio::process::Command::new(&program);
    tests
        .args(["--exact", "embedded::it_starts_on_an_empty_directory_responds_and_stops"])
        .args(["embedded::an_inaccessible_folder_works_and_keeps_its_data"])
        .env("TMPDIR", &temp_dir)
        .current_dir(&temp_dir);
    if Uid::effective().is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        tests.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    }
    let output = tests.output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("2 passed"), "{printed}");
}
