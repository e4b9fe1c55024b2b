//! Groups of partitions whose events are read together.
//!
//! Partitions that are about equally far are read together, because one read serves all of them. A partition that is far
//! behind, for example because its former owner died, is read separately. Otherwise all partitions would wait until it has
//! caught up.

use crate::storage::consumers::leases::HeldPartition;

/// Divides partitions into groups, the foremost first. One read of `batch` events after the lowest position of a group
/// passes the highest position of the group. The order within a group is that of `held`.
pub(super) fn groups(held: &[HeldPartition], batch: u32) -> Vec<Vec<HeldPartition>> {
    let mut groups = Vec::new();
    let mut rest = held.to_vec();
    while let Some(highest) = rest.iter().map(|held| held.position).max() {
        let is_near = |held: &HeldPartition| highest - held.position < i64::from(batch.max(1));
        let (near, behind) = rest.into_iter().partition(is_near);
        groups.push(near);
        rest = behind;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(positions: &[(i16, i64)]) -> Vec<HeldPartition> {
        let held = |&(partition, position)| HeldPartition { partition, position, fence: 1 };
        positions.iter().map(held).collect()
    }

    #[test]
    fn partitions_within_one_batch_form_a_group_and_the_foremost_group_is_first() {
        let held = partitions(&[(0, 7), (1, 1000), (2, 991), (3, 990), (4, 1), (5, 1000)]);
        let expected = [&[(1, 1000), (2, 991), (5, 1000)][..], &[(3, 990)], &[(0, 7), (4, 1)]];
        assert_eq!(groups(&held, 10), expected.map(partitions));
        assert_eq!(groups(&[], 10), Vec::<Vec<HeldPartition>>::new());
    }
}
