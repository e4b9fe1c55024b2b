//! Changes of jobs that the write batcher groups. The outcome of each is whether the lease was still held. If it was not,
//! the job is unchanged.

use diesel_async::AsyncPgConnection;

use super::{DeadLetter, Heartbeat, Lease, Release};
use crate::error::Result;
use crate::storage::group_write::{GroupWrite, Written, all_succeeded};
use crate::storage::seal::KeyRing;
use crate::storage::transaction::Abort;

/// Ends a job that is no longer needed.
#[derive(Debug, Clone, Copy)]
pub struct Supersede(pub Lease);

impl GroupWrite for Heartbeat {
    type Outcome = bool;

    const ORDER: u8 = 3;
    const WRITTEN: Written = Written { jobs: false, events: false };

    async fn write(
        connection: &mut AsyncPgConnection,
        _: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<bool>>, Abort> {
        Ok(all_succeeded(super::renew(connection, writes).await?))
    }
}

impl GroupWrite for Release {
    type Outcome = bool;

    const ORDER: u8 = 4;
    const WRITTEN: Written = Written { jobs: true, events: false };

    async fn write(
        connection: &mut AsyncPgConnection,
        _: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<bool>>, Abort> {
        Ok(all_succeeded(super::release(connection, writes).await?))
    }
}

impl GroupWrite for Supersede {
    type Outcome = bool;

    const ORDER: u8 = 5;
    const WRITTEN: Written = Written { jobs: false, events: false };

    async fn write(
        connection: &mut AsyncPgConnection,
        _: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<bool>>, Abort> {
        let leases: Vec<Lease> = writes.iter().map(|supersede| supersede.0).collect();
        Ok(all_succeeded(super::supersede(connection, &leases).await?))
    }
}

impl GroupWrite for DeadLetter {
    type Outcome = bool;

    const ORDER: u8 = 7;
    const WRITTEN: Written = Written { jobs: false, events: false };

    async fn write(
        connection: &mut AsyncPgConnection,
        _: &KeyRing,
        writes: &[Self],
    ) -> Result<Vec<Result<bool>>, Abort> {
        Ok(all_succeeded(super::move_to_dead_letters(connection, writes).await?))
    }
}
