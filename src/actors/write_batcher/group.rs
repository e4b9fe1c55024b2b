//! A group of writes: sorted by kind, written together, answered one by one.

use diesel_async::AsyncPgConnection;
use slog::warn;

use super::{CommitHook, Reply, Write};
use crate::error::{Error, Result};
use crate::resources::Resources;
use crate::storage::applications::{self, InsertOutcome, Insertion};
use crate::storage::decisions::{self, DecisionRecord, Stored};
use crate::storage::jobs::{self, BeginJob, Begun, DeadLetter, Heartbeat, Lease, Release};
use crate::storage::seal::KeyRing;
use crate::storage::transaction::{self, Abort};

/// What a committed group changed, for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Jobs were queued or given back.
    pub jobs: bool,
    /// Events were written.
    pub events: bool,
}

/// Writes of one kind and those who wait for them.
struct Kind<T, R> {
    writes: Vec<T>,
    replies: Vec<Reply<R>>,
}

impl<T, R> Default for Kind<T, R> {
    fn default() -> Self {
        Self { writes: Vec::new(), replies: Vec::new() }
    }
}

impl<T, R> Kind<T, R> {
    fn push(&mut self, write: T, reply: Reply<R>) {
        self.writes.push(write);
        self.replies.push(reply);
    }

    fn is_used(&self) -> bool {
        !self.writes.is_empty()
    }

    fn answer(self, outcomes: Vec<Result<R>>) {
        for (reply, outcome) in self.replies.into_iter().zip(outcomes) {
            // Whoever asked may have gone; what was written stays written.
            let _ = reply.send(outcome);
        }
    }
}

/// Writes that go into one transaction.
#[derive(Default)]
pub(super) struct Group {
    inserts: Kind<Insertion, InsertOutcome>,
    begins: Kind<BeginJob, Begun>,
    decisions: Kind<DecisionRecord, Stored>,
    renewals: Kind<Heartbeat, bool>,
    releases: Kind<Release, bool>,
    supersedes: Kind<Lease, bool>,
    dead_letters: Kind<DeadLetter, bool>,
}

/// What each write of a group came to, by kind, in the order of the writes.
#[derive(Default)]
struct Outcomes {
    inserted: Vec<Result<InsertOutcome>>,
    begun: Vec<Result<Begun>>,
    stored: Vec<Stored>,
    renewed: Vec<bool>,
    released: Vec<bool>,
    superseded: Vec<bool>,
    buried: Vec<bool>,
}

impl Group {
    pub(super) fn of(writes: impl IntoIterator<Item = Write>) -> Self {
        let mut group = Self::default();
        for write in writes {
            group.push(write);
        }
        group
    }

    /// A client that gave up waiting was told that nothing is certain and will send its application again: writing the
    /// first one as well, perhaps minutes later, would make two.
    fn push(&mut self, write: Write) {
        match write {
            Write::Insert(_, reply) if reply.is_closed() => {}
            Write::Insert(insertion, reply) => self.inserts.push(*insertion, reply),
            Write::Begin(job, reply) => self.begins.push(job, reply),
            Write::Store(decision, reply) => self.decisions.push(*decision, reply),
            Write::Renew(heartbeat, reply) => self.renewals.push(heartbeat, reply),
            Write::Release(release, reply) => self.releases.push(release, reply),
            Write::Supersede(lease, reply) => self.supersedes.push(lease, reply),
            Write::Bury(dead_letter, reply) => self.dead_letters.push(*dead_letter, reply),
        }
    }

    /// Writes the group, or each write alone when the group fails, and answers everybody.
    pub(super) async fn write(self, resources: &Resources, on_commit: &CommitHook) {
        if self.len() == 0 {
            return;
        }
        let written = self.effect();
        match self.write_together(resources).await {
            Ok(outcomes) => {
                on_commit(written);
                self.answer(outcomes);
            }
            Err(error) => {
                if self.len() > 1 {
                    warn!(resources.logger, "a group failed and is written one by one"; "size" => self.len(), error);
                }
                self.write_one_by_one(resources).await;
                on_commit(written);
            }
        }
    }

    /// When one of them finds no database, neither would the others: they do not wait for it in turn.
    async fn write_one_by_one(self, resources: &Resources) {
        let mut gone = None;
        for single in self.into_singles() {
            match &gone {
                Some(error) => single.refuse(error),
                None => gone = single.write_alone(resources).await.err(),
            }
        }
    }

    fn len(&self) -> usize {
        self.inserts.writes.len()
            + self.begins.writes.len()
            + self.decisions.writes.len()
            + self.renewals.writes.len()
            + self.releases.writes.len()
            + self.supersedes.writes.len()
            + self.dead_letters.writes.len()
    }

    fn effect(&self) -> Written {
        Written {
            jobs: self.inserts.is_used() || self.releases.is_used(),
            events: self.inserts.is_used()
                || self.begins.is_used()
                || self.decisions.is_used()
                || self.dead_letters.is_used(),
        }
    }

    async fn write_together(&self, resources: &Resources) -> Result<Outcomes> {
        let keys = resources.database.keys();
        let run = async |connection: &mut AsyncPgConnection| self.run(connection, keys).await;
        let write = async |connection: &mut AsyncPgConnection| transaction::once(connection, run).await;
        resources.database.run(write).await
    }

    async fn run(&self, connection: &mut AsyncPgConnection, keys: &KeyRing) -> Result<Outcomes, Abort> {
        let mut outcomes = Outcomes::default();
        if self.inserts.is_used() {
            outcomes.inserted = applications::insert(connection, keys, &self.inserts.writes).await?;
        }
        if self.begins.is_used() {
            outcomes.begun = jobs::begin(connection, keys, &self.begins.writes).await?;
        }
        if self.decisions.is_used() {
            outcomes.stored = decisions::store(connection, &self.decisions.writes).await?;
        }
        if self.renewals.is_used() {
            outcomes.renewed = jobs::renew(connection, &self.renewals.writes).await?;
        }
        if self.releases.is_used() {
            outcomes.released = jobs::release(connection, &self.releases.writes).await?;
        }
        if self.supersedes.is_used() {
            outcomes.superseded = jobs::supersede(connection, &self.supersedes.writes).await?;
        }
        if self.dead_letters.is_used() {
            outcomes.buried = jobs::move_to_dead_letters(connection, &self.dead_letters.writes).await?;
        }
        Ok(outcomes)
    }

    /// Writes a group of one and answers it, with the steps that a group cannot take: another try after a passing
    /// failure, and making a missing month.
    ///
    /// # Errors
    /// When the database cannot be reached at all.
    async fn write_alone(self, resources: &Resources) -> Result<()> {
        let result = match self.inserts.writes.first() {
            Some(insertion) => insert_alone(resources, insertion).await,
            None => {
                let keys = resources.database.keys();
                let work = async |connection: &mut AsyncPgConnection| self.run(connection, keys).await;
                transaction::run(&resources.database, &resources.logger, "single_write", work).await
            }
        };
        match result {
            Ok(outcomes) => self.answer(outcomes),
            Err(error) => {
                self.refuse(&error);
                if matches!(error, Error::Unavailable { .. }) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn into_singles(self) -> impl Iterator<Item = Self> {
        let inserts = singles(self.inserts, |kind| Self { inserts: kind, ..Self::default() });
        let begins = singles(self.begins, |kind| Self { begins: kind, ..Self::default() });
        let decisions = singles(self.decisions, |kind| Self { decisions: kind, ..Self::default() });
        let renewals = singles(self.renewals, |kind| Self { renewals: kind, ..Self::default() });
        let releases = singles(self.releases, |kind| Self { releases: kind, ..Self::default() });
        let supersedes = singles(self.supersedes, |kind| Self { supersedes: kind, ..Self::default() });
        let dead_letters = singles(self.dead_letters, |kind| Self { dead_letters: kind, ..Self::default() });
        inserts
            .chain(begins)
            .chain(decisions)
            .chain(renewals)
            .chain(releases)
            .chain(supersedes)
            .chain(dead_letters)
    }

    fn answer(self, outcomes: Outcomes) {
        self.inserts.answer(outcomes.inserted);
        self.begins.answer(outcomes.begun);
        self.decisions.answer(outcomes.stored.into_iter().map(Ok).collect());
        self.renewals.answer(outcomes.renewed.into_iter().map(Ok).collect());
        self.releases.answer(outcomes.released.into_iter().map(Ok).collect());
        self.supersedes.answer(outcomes.superseded.into_iter().map(Ok).collect());
        self.dead_letters.answer(outcomes.buried.into_iter().map(Ok).collect());
    }

    fn refuse(self, error: &Error) {
        self.inserts.refuse(error);
        self.begins.refuse(error);
        self.decisions.refuse(error);
        self.renewals.refuse(error);
        self.releases.refuse(error);
        self.supersedes.refuse(error);
        self.dead_letters.refuse(error);
    }
}

impl<T, R> Kind<T, R> {
    fn refuse(self, error: &Error) {
        for reply in self.replies {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

fn singles<T, R>(kind: Kind<T, R>, group: impl Fn(Kind<T, R>) -> Group) -> impl Iterator<Item = Group> {
    kind.writes
        .into_iter()
        .zip(kind.replies)
        .map(move |(write, reply)| group(Kind { writes: vec![write], replies: vec![reply] }))
}

async fn insert_alone(resources: &Resources, insertion: &Insertion) -> Result<Outcomes> {
    let keys = resources.database.keys();
    let insert = async |connection: &mut AsyncPgConnection| {
        applications::insert_making_partitions(connection, keys, insertion).await
    };
    let inserted = resources.database.run(insert).await?;
    Ok(Outcomes { inserted: vec![Ok(inserted)], ..Outcomes::default() })
}
