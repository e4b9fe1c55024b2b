//! Decides which sessions of a pool are still usable.
//!
//! A session's own errors can make it unusable ([`SessionFacts::record_error`], called by the [watched](super::wire)
//! connection). Two kinds of errors show that all open sessions are affected: a prepared statement invalidated by a schema
//! change, and a read-only server. Therefore each session belongs to a generation of its pool, and such an error starts
//! the next generation. A single failed statement thus makes the pool replace all its sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;

/// The minimum time between two renewals of all sessions because of a suspected schema change. Otherwise a bug that keeps
/// causing such errors would make the pool unusable.
const MIN_RENEWAL_INTERVAL: Duration = Duration::from_secs(60);

/// The state shared by the sessions of one pool.
#[derive(Debug, Default)]
pub(super) struct Fitness {
    generation: AtomicU64,
    /// Whether sessions were recently renewed because of a suspected schema change.
    renewed_lately: AtomicBool,
}

impl Fitness {
    /// The state of a session that is about to be opened.
    pub(super) fn of_new_session(self: &Arc<Self>) -> Arc<SessionFacts> {
        let generation = self.generation.load(Ordering::SeqCst);
        Arc::new(SessionFacts { generation, pool: Some(Arc::clone(self)), ..SessionFacts::default() })
    }

    /// Marks all sessions of this and earlier generations as unfit.
    fn renew(&self, generation: u64) {
        // If many sessions fail at once, the first one renews them all.
        let _ =
            self.generation.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Calls [`Self::renew`] because of a suspected schema change, at most once per [`MIN_RENEWAL_INTERVAL`].
    fn renew_on_suspicion(self: &Arc<Self>, generation: u64) {
        if self.renewed_lately.swap(true, Ordering::SeqCst) {
            return;
        }
        self.renew(generation);
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(MIN_RENEWAL_INTERVAL).await;
            if let Some(pool) = pool.upgrade() {
                pool.renewed_lately.store(false, Ordering::SeqCst);
            }
        });
    }
}

/// The state of one session.
#[derive(Debug, Default)]
pub(super) struct SessionFacts {
    pool: Option<Arc<Fitness>>,
    /// The pool's generation when the session was opened.
    generation: u64,
    is_unfit: AtomicBool,
    has_received: AtomicBool,
    uses: AtomicU32,
    process: AtomicI32,
}

impl SessionFacts {
    /// Records an error. Returns whether the session must be discarded, in which case the same work can be repeated
    /// immediately in another session.
    pub(super) fn record_error(&self, code: &str, routine: &str) -> bool {
        let discarded = match Failure::of(code, routine) {
            Failure::Session => {
                if let (Some(pool), "0A000" | "25006") = (&self.pool, code) {
                    pool.renew(self.generation);
                }
                true
            }
            // In a new session, the cached schema cannot be outdated, so the statement itself is wrong.
            Failure::Schema => {
                let has_worked = self.uses.load(Ordering::Relaxed) > 1;
                if let (Some(pool), true) = (&self.pool, has_worked) {
                    pool.renew_on_suspicion(self.generation);
                }
                has_worked
            }
            Failure::Transient | Failure::Permanent => false,
        };
        if discarded {
            self.mark_unfit();
        }
        discarded
    }

    /// Makes the pool close the session instead of reusing it.
    pub(super) fn mark_unfit(&self) {
        self.is_unfit.store(true, Ordering::SeqCst);
    }

    /// Whether the session must not be reused.
    pub(super) fn is_unfit(&self) -> bool {
        let is_old = |pool: &Arc<Fitness>| self.generation < pool.generation.load(Ordering::SeqCst);
        self.is_unfit.load(Ordering::SeqCst) || self.pool.as_ref().is_some_and(is_old)
    }

    /// Counts a use of the session.
    pub(super) fn count_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the server sent something through the watched connection.
    pub(super) fn record_received(&self) {
        self.has_received.store(true, Ordering::Relaxed);
    }

    /// Whether the server sent something through the watched connection. Always false if the connection is not watched.
    pub(super) fn has_received(&self) -> bool {
        self.has_received.load(Ordering::Relaxed)
    }

    /// The process id that the server sent at the start of the connection. A pooler sends an id of its own.
    pub(super) fn process(&self) -> i32 {
        self.process.load(Ordering::Relaxed)
    }

    pub(super) fn set_process(&self, process: i32) {
        self.process.store(process, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stale_statement_invalidates_every_older_session_but_no_newer_one() {
        let pool = Arc::new(Fitness::default());
        let (first, second) = (pool.of_new_session(), pool.of_new_session());
        assert!(first.record_error("0A000", "RevalidateCachedQuery"));
        assert!(first.is_unfit() && second.is_unfit());
        let third = pool.of_new_session();
        // The second session got the same error at the same time, which must not affect newer sessions.
        assert!(second.record_error("0A000", "RevalidateCachedQuery"));
        assert!(!third.is_unfit());
        let fourth = pool.of_new_session();
        assert!(third.record_error("25006", "PreventCommandIfReadOnly"));
        assert!(third.is_unfit() && fourth.is_unfit() && !pool.of_new_session().is_unfit());
    }

    #[test]
    fn errors_of_a_statement_do_not_invalidate_the_session() {
        let pool = Arc::new(Fitness::default());
        let session = pool.of_new_session();
        for code in ["23505", "40001", "57014", "42501", "42883"] {
            assert!(!session.record_error(code, ""), "{code}");
        }
        assert!(!session.is_unfit());
    }

    #[actix_rt::test]
    async fn a_suspected_schema_change_renews_used_sessions_at_most_once_per_period() {
        let pool = Arc::new(Fitness::default());
        let open = || {
            let session = pool.of_new_session();
            session.count_use();
            session.count_use();
            session
        };
        let (first, second) = (open(), open());
        assert!(first.record_error("42883", "op_error"));
        assert!(second.is_unfit());
        let (third, fourth) = (open(), open());
        assert!(third.record_error("42883", "op_error"));
        assert!(third.is_unfit() && !fourth.is_unfit());
    }
}
