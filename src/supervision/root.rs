//! The root: keeps the permanent actors running.
//!
//! Each permanent actor has a monitor, an asynchronous task that waits for its end. When the actor dies, the monitor
//! starts a new one after a pause, which doubles with each restart. It points the actor's [`Handle`] to the new actor
//! and counts the restart. If the actor dies more often than the budget allows, further restarts would not help. The
//! process then shuts down gracefully and is restarted by its environment. Asynchronous tasks that are not actors but
//! must run forever are kept running in the same way ([`Root::keep_task`]).

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, crit, error, warn};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::RestartSettings;
use crate::resources::Resources;
use crate::supervision::handle::{Handle, LivenessGuard};

/// The threads that actors run on, assigned round-robin.
pub struct Arbiters {
    arbiters: Vec<Arbiter>,
    next: std::sync::atomic::AtomicUsize,
}

impl Arbiters {
    /// Starts `count` threads.
    pub fn start(count: usize) -> Self {
        Self { arbiters: (0..count.max(1)).map(|_| Arbiter::new()).collect(), next: 0.into() }
    }

    /// The next thread in turn; the caller's own if there is none.
    pub fn next(&self) -> ArbiterHandle {
        let turn = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % self.arbiters.len().max(1);
        self.arbiters.get(turn).map_or_else(Arbiter::current, Arbiter::handle)
    }

    /// Stops the threads and all actors that still run on them.
    pub fn stop(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// Limits restarts to a number per period.
#[derive(Debug, Clone)]
pub struct RestartBudget {
    settings: RestartSettings,
    restarts: VecDeque<Duration>,
}

impl RestartBudget {
    /// An unused budget.
    pub fn new(settings: &RestartSettings) -> Self {
        Self { settings: settings.clone(), restarts: VecDeque::new() }
    }

    /// Takes one restart for an actor that ended at `now`. Returns the pause before it, or `None` if the budget is
    /// exhausted.
    pub fn take(&mut self, now: Duration) -> Option<Duration> {
        let window = self.settings.within();
        while self.restarts.front().is_some_and(|restart| now.saturating_sub(*restart) > window) {
            self.restarts.pop_front();
        }
        self.restarts.push_back(now);
        let count = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        (count <= self.settings.max_restarts).then(|| self.settings.backoff(count))
    }
}

/// Monitors the permanent actors of a process and restarts them.
pub struct Root {
    resources: Resources,
    arbiters: std::sync::Arc<Arbiters>,
    stopping: CancellationToken,
    fatal: CancellationToken,
    monitors: TaskTracker,
}

impl Root {
    /// A root without actors. `fatal` is cancelled when an actor exceeds its restart budget.
    pub fn new(resources: &Resources, arbiters: std::sync::Arc<Arbiters>, fatal: CancellationToken) -> Self {
        Self {
            resources: resources.named("root"),
            arbiters,
            stopping: CancellationToken::new(),
            fatal,
            monitors: TaskTracker::new(),
        }
    }

    /// Keeps an actor with a mailbox of this capacity running behind `handle`. `build` creates each actor on its
    /// thread; the actor must hold the guard.
    pub fn keep<A>(
        &self,
        handle: &Handle<A>,
        capacity: usize,
        build: impl Fn(LivenessGuard) -> A + Clone + Send + 'static,
    ) where
        A: Actor<Context = Context<A>>,
    {
        let depth = &self.resources.metrics.actor_mailbox_depth;
        handle.measure(depth.with_label_values(&[handle.name()]), capacity);
        let handle = handle.clone();
        let arbiter = self.arbiters.next();
        self.spawn_monitor(handle.name(), move || {
            let (guard, termination) = LivenessGuard::pair();
            let (handle, build) = (handle.clone(), build.clone());
            arbiter.spawn_fn(move || handle.point_at(build(guard).start()));
            termination.wait()
        });
    }

    /// Keeps an asynchronous task running that should never end. It is restarted when it ends or panics.
    pub fn keep_task<F>(&self, name: &'static str, start: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stopping = self.stopping.clone();
        self.spawn_monitor(name, move || {
            let task = tokio::spawn(start());
            let (abort, stopping) = (task.abort_handle(), stopping.clone());
            async move {
                tokio::select! {
                    _ = task => {}
                    () = stopping.cancelled() => abort.abort(),
                }
            }
        });
    }

    fn spawn_monitor<F>(&self, name: &'static str, mut run_until_end: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let mut budget = RestartBudget::new(&self.resources.settings.actors.restart);
        let (resources, stopping, fatal) =
            (self.resources.clone(), self.stopping.clone(), self.fatal.clone());
        let logger: Logger = resources.logger.new(slog::o!("actor" => name));
        // Creates the series, so it is exported as 0 from the start.
        let restarts = resources.metrics.actor_restarts_total.with_label_values(&[name]);
        self.monitors.spawn(async move {
            loop {
                run_until_end().await;
                if stopping.is_cancelled() {
                    return;
                }
                restarts.inc();
                let Some(pause) = budget.take(resources.clock.monotonic()) else {
                    crit!(logger, "restart budget of a permanent actor exhausted; stopping the process");
                    fatal.cancel();
                    return;
                };
                warn!(logger, "actor died; restarting"; "pause_ms" => pause.as_millis());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }

    /// Stops restarting actors.
    pub fn stop_keeping(&self) {
        self.stopping.cancel();
    }

    /// Waits until all monitors have ended, for at most `deadline`.
    pub async fn wait(&self, deadline: Duration) {
        self.monitors.close();
        if tokio::time::timeout(deadline, self.monitors.wait()).await.is_err() {
            error!(self.resources.logger, "some actors did not stop in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_allows_a_number_of_restarts_per_period() {
        let settings =
            RestartSettings { max_restarts: 2, within_ms: 1000, backoff_base_ms: 10, backoff_max_ms: 15 };
        let mut budget = RestartBudget::new(&settings);
        let at = Duration::from_millis;
        assert_eq!(budget.take(at(0)), Some(at(10)));
        assert_eq!(budget.take(at(1)), Some(at(15)), "the pause must double up to its maximum");
        assert_eq!(budget.take(at(2)), None);
        assert_eq!(budget.take(at(1500)), Some(at(10)), "restarts must expire after the period");
    }
}
