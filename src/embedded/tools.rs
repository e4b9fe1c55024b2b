//! `pg_dump` and `pg_restore` of the installation that runs the private PostgreSQL.
//!
//! Both work on the application's database as the owner of the schema, through the server's socket. A dump is a
//! consistent snapshot that a newer major version can restore; a copy of the cluster's files is neither.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};

use super::EmbeddedSettings;
use super::installation::{self, Installation};
use super::program::clean_command;
use super::running::existing_major;
use crate::error::{Error, Result};

/// The maximum length of a program's messages that is kept, in bytes.
const MESSAGES_BYTES: u64 = 16 * 1024;

/// The size of the parts in which a dump is read, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// The programs of one installation.
#[derive(Debug)]
pub struct Tools(Installation);

impl Tools {
    /// Finds the programs for the cluster in the data directory, or for a new one.
    ///
    /// # Errors
    /// [`Error::Configuration`] if they are missing or do not suit the cluster.
    pub async fn find(settings: &EmbeddedSettings) -> Result<Self> {
        let installation = installation::find(settings.bin_dir.as_deref(), existing_major(settings)?).await?;
        let tools = Self(installation);
        for name in ["pg_dump", "pg_restore"] {
            let program = tools.0.program(name);
            if !program.is_file() {
                return Err(Error::configuration(format_args!(
                    "{} is missing: install the client programs of PostgreSQL {} (Debian and Ubuntu: apt-get install \
                     postgresql-client-{})",
                    program.display(),
                    tools.0.major,
                    tools.0.major
                )));
            }
        }
        Ok(tools)
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.0.major
    }

    /// Dumps the database at `url` in the custom format and passes it to `sink` in parts.
    ///
    /// # Errors
    /// [`Error::Unavailable`], with the messages of the program as its private cause, if it fails; any error of `sink`.
    pub async fn dump(&self, url: &str, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut command = self.command("pg_dump");
        command.args(["--format=custom", "--no-password"]).arg(format!("--dbname={url}"));
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let (output, messages) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            let Some(mut output) = output else { return Ok::<(), Error>(()) };
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                let read = output.read(&mut chunk).await.map_err(|e| Error::unavailable("pg_dump", e))?;
                match chunk.get(..read) {
                    Some(part) if !part.is_empty() => sink(part)?,
                    _ => return Ok(()),
                }
            }
        };
        let (read, messages) = tokio::join!(reading, collect(messages));
        read?;
        finish("pg_dump", child, messages).await
    }

    /// Restores a dump into the empty database at `url` in one transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`], with the messages of the program as its private cause, if it fails.
    pub async fn restore(&self, url: &str, mut dump: impl AsyncRead + Unpin) -> Result<()> {
        let mut command = self.command("pg_restore");
        command.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-password"]);
        command.arg(format!("--dbname={url}"));
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::null()))?;
        let (input, messages) = (child.stdin.take(), child.stderr.take());
        let writing = async {
            let Some(mut input) = input else { return };
            // A program that fails stops reading. The error is then in its messages.
            if tokio::io::copy(&mut dump, &mut input).await.is_ok() {
                let _ = input.shutdown().await;
            }
        };
        let ((), messages) = tokio::join!(writing, collect(messages));
        finish("pg_restore", child, messages).await
    }

    fn command(&self, name: &str) -> Command {
        let program: PathBuf = self.0.program(name);
        let mut command = clean_command(&program);
        command.current_dir("/");
        command
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    let started = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
    started.map_err(|error| Error::unavailable("a program of PostgreSQL", error))
}

/// The beginning of a program's messages. The rest is read and dropped, because a full pipe would block the program.
async fn collect(messages: Option<ChildStderr>) -> String {
    let Some(mut messages) = messages else { return String::new() };
    let mut kept = Vec::new();
    let _ = (&mut messages).take(MESSAGES_BYTES).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut messages, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).trim().to_owned()
}

async fn finish(name: &'static str, mut child: Child, messages: String) -> Result<()> {
    let status = child.wait().await.map_err(|error| Error::unavailable(name, error))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::unavailable(name, format!("it ended with {status}: {messages}")))
}
