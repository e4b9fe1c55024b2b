//! The signals that end a command that serves.
//!
//! SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is closed) mean the same: stop in order. Aval has nothing to reload on
//! SIGHUP: certificates are looked at by themselves, and the rest of the configuration is read once. A process that was
//! started to ignore SIGHUP, as `nohup` does, goes on ignoring it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// Waits for a signal to stop.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Takes the signals from now on; one that comes before [`StopSignals::recv`] is not lost.
    ///
    /// # Errors
    /// When the system refuses it.
    pub(super) fn listen() -> Result<Self> {
        let taken = |kind| signal(kind).map_err(Error::internal);
        let hangup = if ignores_hangup() { None } else { Some(taken(SignalKind::hangup())?) };
        Ok(Self {
            terminate: taken(SignalKind::terminate())?,
            interrupt: taken(SignalKind::interrupt())?,
            hangup,
        })
    }

    /// Waits for the next one.
    pub(super) async fn recv(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether this process was started with SIGHUP ignored. Where the system does not tell, it was not.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_hangup_ignored(&status))
}

/// Reads the mask of ignored signals (proc(5)): the lowest bit is signal 1, SIGHUP.
fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_started_to_ignore_sighup_is_known() {
        for (mask, expected) in [
            ("0000000000000001", true),
            ("0000000000001001", true),
            ("0000000000001000", false),
            ("0000000000000000", false),
            ("x", false),
        ] {
            let status = format!("Name:\taval\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
            assert_eq!(is_hangup_ignored(&status), expected, "{mask}");
        }
        assert!(!is_hangup_ignored(""));
    }
}
