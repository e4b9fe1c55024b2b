//! Limits the number of connections to what the open-file limit allows.
//!
//! A server without free file descriptors can neither accept connections nor report the problem. The limit is therefore
//! raised as far as permitted; if that is not enough, fewer connections are accepted.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slog::{Logger, warn};

use super::SPARE_CONNECTIONS;

/// File descriptors per connection: its socket and the handle for shutting it down independently of actix.
const FILES_PER_CONNECTION: u64 = 2;
/// File descriptors reserved for the database, the bureaus, the log and refused connections.
const OTHER_FILES: u64 = 512;
/// Minimum number of connections, even if the open-file limit allows fewer.
const MIN_CONNECTIONS: usize = 16;

/// Raises the open-file limit to what `wanted` connections need, as far as permitted. Returns the number of connections
/// that the limit then allows, at most `wanted`. [`SPARE_CONNECTIONS`] are not included in it.
pub(in crate::http) fn connections_that_fit(wanted: usize, logger: &Logger) -> usize {
    let needed = files_of(wanted);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let possible = needed.min(hard);
    let is_raised = soft < needed && setrlimit(Resource::RLIMIT_NOFILE, possible, hard).is_ok();
    let allowed = if is_raised { possible } else { soft };
    let fitting = fitting(wanted, allowed);
    if fitting < wanted {
        warn!(logger, "server.max_connections lowered: the open-file limit is too low";
            "max_connections" => wanted, "lowered_to" => fitting,
            "open_files_needed" => needed, "open_files_allowed" => allowed);
    }
    fitting
}

fn files_of(connections: usize) -> u64 {
    let all = connections.saturating_add(SPARE_CONNECTIONS);
    u64::try_from(all).unwrap_or(u64::MAX).saturating_mul(FILES_PER_CONNECTION).saturating_add(OTHER_FILES)
}

fn fitting(wanted: usize, allowed: u64) -> usize {
    let possible = allowed.saturating_sub(OTHER_FILES) / FILES_PER_CONNECTION;
    let possible = usize::try_from(possible).unwrap_or(usize::MAX).saturating_sub(SPARE_CONNECTIONS);
    possible.max(MIN_CONNECTIONS).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_file_limit_determines_the_number_of_connections() {
        for (wanted, allowed, expected) in [
            (10_000, files_of(10_000), 10_000),
            (10_000, u64::MAX, 10_000),
            (10_000, 20_000, 9_680),
            (10_000, files_of(10_000) - 1, 9_999),
            (10_000, 1024, 192),
            (10_000, 256, MIN_CONNECTIONS),
            (10_000, 0, MIN_CONNECTIONS),
            (3, 0, 3),
        ] {
            assert_eq!(fitting(wanted, allowed), expected, "{wanted} {allowed}");
        }
    }
}
