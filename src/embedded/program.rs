//! PostgreSQL's programs as child processes.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::place::ServerUser;

/// The environment variables that PostgreSQL's programs inherit. The others can contain secrets, and anyone who can run
/// a program from SQL can read the server's environment.
const INHERITED_VARIABLES: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ"];
/// The one variable that Aval sets for PostgreSQL's programs.
const LOCALE: (&str, &str) = ("LC_ALL", "C");

/// A PostgreSQL program that runs as `user`. It does not run in Aval's working directory, because `user` may have no access
/// to it.
pub(super) fn server_command(program: &Path, user: Option<ServerUser>) -> Command {
    let mut command = clean_command(program);
    command.current_dir("/").stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// A program that inherits only the variables in [`INHERITED_VARIABLES`].
pub(super) fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env(LOCALE.0, LOCALE.1);
    command.envs(INHERITED_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}
