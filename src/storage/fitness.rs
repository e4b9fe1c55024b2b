//! Which sessions may still be used.
//!
//! A session's own errors tell that it is unfit ([`SessionFacts::meet`], called by the [watched](super::wire)
//! connection). Two kinds of error tell the same of every session that was opened before: a prepared statement that a
//! change of the schema made invalid, and a server that takes no writes. So the sessions of a pool share a
//! generation, and such an error begins the next one: one failed statement is enough for the pool to replace them
//! all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;

/// How often errors that only may come from a change of the schema can renew all sessions. A defect that gives such
/// an error again and again must not keep the pool from being used.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);

/// What the sessions of one pool have in common.
#[derive(Debug, Default)]
pub(super) struct Fitness {
    generation: AtomicU64,
    /// Sessions were renewed lately for an error that only may come from a change of the schema.
    renewed_lately: AtomicBool,
}

impl Fitness {
    /// Facts of a session that is opened now.
    pub(super) fn of_new_session(self: &Arc<Self>) -> Arc<SessionFacts> {
        let generation = self.generation.load(Ordering::SeqCst);
        Arc::new(SessionFacts { generation, pool: Some(Arc::clone(self)), ..SessionFacts::default() })
    }

    /// Has every session replaced that was opened before now.
    fn renew(&self, generation: u64) {
        // Of many sessions that fail alike, the first one renews them all.
        let _ =
            self.generation.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn renew_for_a_suspicion(self: &Arc<Self>, generation: u64) {
        if self.renewed_lately.swap(true, Ordering::SeqCst) {
            return;
        }
        self.renew(generation);
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(RENEWAL_PAUSE).await;
            if let Some(pool) = pool.upgrade() {
                pool.renewed_lately.store(false, Ordering::SeqCst);
            }
        });
    }
}

/// What is known of one session.
#[derive(Debug, Default)]
pub(super) struct SessionFacts {
    pool: Option<Arc<Fitness>>,
    /// The pool's generation when it was opened.
    generation: u64,
    is_unfit: AtomicBool,
    has_spoken: AtomicBool,
    times_lent: AtomicU32,
    process: AtomicI32,
}

impl SessionFacts {
    /// Takes note of an error; returns whether the session must not be used again, while the same work can be done at
    /// once on another.
    pub(super) fn meet(&self, code: &str, routine: &str) -> bool {
        let discarded = match Failure::of(code, routine) {
            Failure::Session => {
                if let (Some(pool), "0A000" | "25006") = (&self.pool, code) {
                    pool.renew(self.generation);
                }
                true
            }
            // On a session that has only just been opened, the statement itself is at fault.
            Failure::Schema => {
                let has_worked = self.times_lent.load(Ordering::Relaxed) > 1;
                if let (Some(pool), true) = (&self.pool, has_worked) {
                    pool.renew_for_a_suspicion(self.generation);
                }
                has_worked
            }
            Failure::Passing | Failure::Permanent => false,
        };
        if discarded {
            self.condemn();
        }
        discarded
    }

    /// Has the session closed instead of used again.
    pub(super) fn condemn(&self) {
        self.is_unfit.store(true, Ordering::SeqCst);
    }

    /// Whether the session must not be used again.
    pub(super) fn is_unfit(&self) -> bool {
        let is_old = |pool: &Arc<Fitness>| self.generation < pool.generation.load(Ordering::SeqCst);
        self.is_unfit.load(Ordering::SeqCst) || self.pool.as_ref().is_some_and(is_old)
    }

    /// The session is about to be used.
    pub(super) fn lend(&self) {
        self.times_lent.fetch_add(1, Ordering::Relaxed);
    }

    /// The server has sent something through the watched connection.
    pub(super) fn speak(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is watched.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken.load(Ordering::Relaxed)
    }

    /// The server process that whoever answered the greeting named. Poolers name one of their own making.
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
    fn one_stale_statement_makes_every_older_session_unfit_and_no_younger_one() {
        let pool = Arc::new(Fitness::default());
        let (first, second) = (pool.of_new_session(), pool.of_new_session());
        assert!(first.meet("0A000", "RevalidateCachedQuery"));
        assert!(first.is_unfit() && second.is_unfit());
        let third = pool.of_new_session();
        // The second met it at the same time: that says nothing of what was opened since.
        assert!(second.meet("0A000", "RevalidateCachedQuery"));
        assert!(!third.is_unfit());
        let fourth = pool.of_new_session();
        assert!(third.meet("25006", "PreventCommandIfReadOnly"));
        assert!(third.is_unfit() && fourth.is_unfit() && !pool.of_new_session().is_unfit());
    }

    #[test]
    fn errors_of_the_work_itself_leave_sessions_alone() {
        let pool = Arc::new(Fitness::default());
        let session = pool.of_new_session();
        for code in ["23505", "40001", "57014", "42501", "42883"] {
            assert!(!session.meet(code, ""), "{code}");
        }
        assert!(!session.is_unfit());
    }

    #[actix_rt::test]
    async fn a_suspicion_of_the_schema_renews_sessions_that_have_worked_once_a_while() {
        let pool = Arc::new(Fitness::default());
        let open = || {
            let session = pool.of_new_session();
            session.lend();
            session.lend();
            session
        };
        let (first, second) = (open(), open());
        assert!(first.meet("42883", "op_error"));
        assert!(second.is_unfit());
        let (third, fourth) = (open(), open());
        assert!(third.meet("42883", "op_error"));
        assert!(third.is_unfit() && !fourth.is_unfit());
    }
}
