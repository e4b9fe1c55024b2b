//! Consumers of events: leases and positions, handled events, and deferred events.
//!
//! A consumer's events are divided into partitions by their subject. An instance changes the rows of a partition only in
//! a transaction that first calls [`leases::hold`], which locks the row of the partition and checks the fence. Operators
//! lock the same rows. Therefore the rows of a partition are changed by one transaction at a time, and an instance that
//! lost its lease changes nothing.

pub mod dead_letters;
pub mod deferred;
pub mod failures;
pub mod inbox;
pub mod isolation;
pub mod leases;
pub mod overview;

use uuid::Uuid;

/// The number of partitions of each consumer. The schema allows no other.
pub const PARTITIONS: i16 = 16;

/// The partition of a subject's events: the last hexadecimal digit of the subject.
pub fn partition_of(subject: Uuid) -> i16 {
    subject.as_bytes().last().map_or(0, |last| i16::from(last & 0x0f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_subject_is_its_last_hexadecimal_digit() {
        for (subject, partition) in [
            ("01890a5d-ac96-774b-bcce-b302099a8057", 7),
            ("01890a5d-ac96-774b-bcce-b302099a805f", 15),
            ("01890a5d-ac96-774b-bcce-b302099a80f0", 0),
        ] {
            assert_eq!(partition_of(subject.parse().unwrap()), partition, "{subject}");
        }
    }
}
