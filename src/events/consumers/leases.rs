//! The partitions that this instance holds of one consumer.
//!
//! Every instance reports itself and takes its share of the partitions: all instances have the same number, or one more.
//! An instance releases what exceeds its share and acquires what is free until it has its share. When an instance
//! dies, its leases and its report expire, and the others take its partitions over. A partition counts as taken over if
//! its former owner did not release it.

use std::sync::Arc;
use std::time::Duration;

use slog::{info, warn};

use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::consumers::PARTITIONS;
use crate::storage::consumers::leases::{self, AcquiredPartition, HeldPartition};
use crate::storage::transaction;

pub(super) struct Leases {
    consumer: &'static str,
    instance: Arc<str>,
    lease: Duration,
    interval: Duration,
    /// Sorted by partition.
    held: Vec<HeldPartition>,
    /// The held partitions whose events in flight have not been isolated yet.
    taken_over: Vec<i16>,
    /// When the leases are renewed and the shares compared, in monotonic time; `None` for at once.
    due_at: Option<Duration>,
    is_registered: bool,
}

impl Leases {
    /// Leases of `consumer` without any partition.
    pub(super) fn new(consumer: &'static str, resources: &Resources) -> Self {
        let lease = resources.settings.events.lease();
        let poll = Duration::from_millis(resources.settings.outbox.poll_interval_ms);
        Self {
            consumer,
            instance: Arc::clone(&resources.instance),
            lease,
            interval: poll.min(lease / 3),
            held: Vec::new(),
            taken_over: Vec::new(),
            due_at: None,
            is_registered: false,
        }
    }

    pub(super) fn held(&self) -> &[HeldPartition] {
        &self.held
    }

    /// The held partitions that were taken over, until [`Leases::isolated`] is called for them.
    pub(super) fn taken_over(&self) -> Vec<HeldPartition> {
        self.held.iter().copied().filter(|held| self.taken_over.contains(&held.partition)).collect()
    }

    /// Records that the events in flight of these partitions have been isolated.
    pub(super) fn isolated(&mut self, partitions: &[HeldPartition]) {
        self.taken_over.retain(|taken| !partitions.iter().any(|held| held.partition == *taken));
    }

    /// Replaces held partitions after [`leases::hold`] has moved their positions.
    pub(super) fn moved(&mut self, moved: Vec<HeldPartition>) {
        for moved in moved {
            if let Some(held) = self.held.iter_mut().find(|held| held.partition == moved.partition) {
                *held = moved;
            }
        }
    }

    /// Makes the next call of [`Leases::keep`] check which partitions are still held.
    pub(super) fn check_soon(&mut self) {
        self.due_at = None;
    }

    /// Renews the leases and compares the number of partitions with this instance's share, if that is due. Returns whether it
    /// holds other partitions than before.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn keep(&mut self, resources: &Resources) -> Result<bool> {
        let now = resources.clock.monotonic();
        if self.due_at.is_some_and(|due_at| now < due_at) {
            return Ok(false);
        }
        let mut connection = resources.database.get().await?;
        let (held, taken_over) = transaction::once(&mut connection, async |connection| {
            if !self.is_registered {
                leases::register(connection, self.consumer).await?;
            }
            let others = leases::report(connection, self.consumer, &self.instance, self.lease).await?;
            let mut held = match self.held.as_slice() {
                [] => Vec::new(),
                held => leases::hold(connection, self.consumer, held, self.lease).await?,
            };
            held.sort_by_key(|held| held.partition);
            let share = share(&self.instance, &others);
            let surplus = held.split_off(share.min(held.len()));
            if !surplus.is_empty() {
                leases::release(connection, self.consumer, &surplus).await?;
            }
            let missing = share.saturating_sub(held.len());
            let mut taken_over = Vec::new();
            if missing > 0 {
                let acquired =
                    leases::acquire(connection, self.consumer, &self.instance, self.lease, &held, missing)
                        .await?;
                let is_taken_over = |acquired: &&AcquiredPartition| acquired.is_taken_over;
                taken_over.extend(acquired.iter().filter(is_taken_over).map(|one| one.held.partition));
                held.extend(acquired.into_iter().map(|acquired| acquired.held));
            }
            Ok((held, taken_over))
        })
        .await?;
        self.is_registered = true;
        self.due_at = Some(now + self.interval);
        let has_changed = fences(&held) != fences(&self.held);
        if partitions(&held) != partitions(&self.held) {
            info!(resources.logger, "partitions of a consumer changed"; "consumer" => self.consumer,
                "partitions" => format!("{:?}", partitions(&held)));
        }
        self.hold_only(held, taken_over);
        Ok(has_changed)
    }

    fn hold_only(&mut self, mut held: Vec<HeldPartition>, taken_over: Vec<i16>) {
        held.sort_by_key(|held| held.partition);
        self.taken_over.retain(|taken| held.iter().any(|held| held.partition == *taken));
        self.taken_over.extend(taken_over);
        self.held = held;
    }

    /// Releases all partitions, so other instances can acquire them immediately.
    pub(super) async fn release(&mut self, resources: &Resources) {
        let released: Result<()> = async {
            let mut connection = resources.database.get().await?;
            transaction::once(&mut connection, async |connection| {
                leases::release(connection, self.consumer, &self.held).await?;
                leases::leave(connection, self.consumer, &self.instance).await?;
                Ok::<_, transaction::Abort>(())
            })
            .await
        }
        .await;
        self.held.clear();
        if let Err(error) = released {
            warn!(resources.logger, "cannot release the partitions of a consumer; their leases will expire";
                "consumer" => self.consumer, error);
        }
    }
}

fn fences(held: &[HeldPartition]) -> Vec<(i16, i64)> {
    let mut fences: Vec<(i16, i64)> = held.iter().map(|held| (held.partition, held.fence)).collect();
    fences.sort_unstable();
    fences
}

fn partitions(held: &[HeldPartition]) -> Vec<i16> {
    let mut partitions: Vec<i16> = held.iter().map(|held| held.partition).collect();
    partitions.sort_unstable();
    partitions
}

/// The number of partitions that the instance `own` takes while `others` run the consumer, too.
fn share(own: &str, others: &[String]) -> usize {
    let total = usize::from(PARTITIONS.unsigned_abs());
    let instances = others.len() + 1;
    let rank = others.iter().filter(|other| other.as_str() < own).count();
    total / instances + usize::from(rank < total % instances)
}

/// Checks that none of `held` is missing from `found`, the result of [`leases::hold`].
///
/// # Errors
/// [`Error::LeaseLost`]
pub(super) fn expect_all(held: &[HeldPartition], found: Vec<HeldPartition>) -> Result<Vec<HeldPartition>> {
    if found.len() == held.len() { Ok(found) } else { Err(Error::LeaseLost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_instances_add_up_to_all_partitions_and_differ_by_at_most_one() {
        for count in 1..=20_usize {
            let names: Vec<String> = (0..count).map(|number| format!("instance {number}")).collect();
            let shares = names.iter().map(|own| {
                let others: Vec<String> = names.iter().filter(|name| *name != own).cloned().collect();
                share(own, &others)
            });
            let shares: Vec<usize> = shares.collect();
            assert_eq!(shares.iter().sum::<usize>(), 16, "{count} instances");
            let spread = shares.iter().max().unwrap() - shares.iter().min().unwrap();
            assert!(spread <= 1, "{count} instances: {shares:?}");
        }
    }
}
