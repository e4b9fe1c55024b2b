//! Signals that stop a server process.
//!
//! SIGTERM, SIGINT (Ctrl-C) and SIGHUP (terminal closed) all start an ordered shutdown. SIGHUP does not reload
//! anything: certificates are reloaded automatically, and the rest of the configuration is read once. If SIGHUP was
//! ignored at startup (`nohup`), it stays ignored.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// Waits for a stop signal.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Registers the handlers. Signals before [`StopSignals::recv`] are not lost.
    pub(super) fn listen() -> Result<Self> {
        let taken = |kind| signal(kind).map_err(Error::internal);
        let hangup = if ignores_hangup() { None } else { Some(taken(SignalKind::hangup())?) };
        Ok(Self {
            terminate: taken(SignalKind::terminate())?,
            interrupt: taken(SignalKind::interrupt())?,
            hangup,
        })
    }

    /// Waits for the next stop signal.
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

/// Whether SIGHUP was ignored at startup. False if the system cannot tell.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_hangup_ignored(&status))
}

/// Parses the mask of ignored signals (proc(5)). The lowest bit is signal 1, SIGHUP.
fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_sighup_is_detected() {
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
