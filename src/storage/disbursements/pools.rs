//! Funding pools and the ledger.
//!
//! The pool of a country is divided into shares, rows with an available and a reserved amount, neither of which can become
//! negative. A reservation takes its amount from one share. It begins at a share that the disbursement's identifier
//! determines and skips shares that are locked or have too little, so concurrent reservations rarely wait for each other.
//! Only if no single share has enough are all shares locked, in order, and the amount is gathered from several of them.
//!
//! Every function runs in the transaction that has locked the disbursement, and has no effect if it is repeated.

use diesel::prelude::*;
use diesel::sql_types::{self, Numeric, SmallInt};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::domain::application::Country;
use crate::domain::money::Money;
use crate::error::Result;
use crate::storage::schema::sql_types::Country as CountrySql;
use crate::storage::schema::{funding_pool_shares, funding_reservations, ledger_entries, ledger_lines};
use crate::storage::statement::{Binder, FixedStatement, Prepared};
use crate::storage::types::PgCountry;

/// The number of shares of a pool.
const SHARES: i16 = 16;

/// The funds of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLevel {
    pub country: Country,
    pub available: Decimal,
    pub reserved: Decimal,
}

struct ReserveFromOne {
    disbursement_id: Uuid,
    country: PgCountry,
    amount: Decimal,
    first_share: i16,
}

impl FixedStatement for ReserveFromOne {
    const NAME: &'static str = "reserve_funds";
    const SQL: &'static str = "\
        WITH wanted AS (SELECT ?::uuid AS id, ?::country AS country, ?::numeric AS amount, ?::smallint AS first), \
        chosen AS (SELECT s.country, s.share FROM funding_pool_shares s, wanted w \
            WHERE s.country = w.country AND s.available >= w.amount \
            ORDER BY (s.share - w.first + 16) % 16 LIMIT 1 FOR UPDATE OF s SKIP LOCKED), \
        taken AS (UPDATE funding_pool_shares s SET available = s.available - w.amount, reserved = s.reserved + w.amount \
            FROM chosen c, wanted w WHERE s.country = c.country AND s.share = c.share RETURNING s.share) \
        INSERT INTO funding_reservations (disbursement_id, country, share, amount, status) \
            SELECT w.id, w.country, t.share, w.amount, 'held' FROM taken t, wanted w";

    fn bind<'b>(&'b self, binder: &mut Binder<'_, 'b>) -> QueryResult<()> {
        binder.bind::<sql_types::Uuid, _>(&self.disbursement_id)?;
        binder.bind::<CountrySql, _>(&self.country)?;
        binder.bind::<Numeric, _>(&self.amount)?;
        binder.bind::<SmallInt, _>(&self.first_share)
    }
}

/// The share at which the search for funds begins.
fn first_share(id: Uuid) -> i16 {
    i16::from(id.as_bytes()[15]) % SHARES
}

/// Reserves an amount for a disbursement. Returns `false` if the pool does not have it.
pub async fn reserve(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    country: Country,
    amount: Money,
) -> Result<bool> {
    if has_reservation(connection, id).await? {
        return Ok(true);
    }
    let (country, amount) = (PgCountry(country), amount.amount());
    let statement = ReserveFromOne { disbursement_id: id, country, amount, first_share: first_share(id) };
    if Prepared(statement).execute(connection).await? > 0 {
        return Ok(true);
    }
    gather(connection, id, country, amount).await
}

async fn has_reservation(connection: &mut AsyncPgConnection, id: Uuid) -> Result<bool> {
    let made = funding_reservations::table.filter(funding_reservations::disbursement_id.eq(id));
    Ok(diesel::select(diesel::dsl::exists(made)).get_result(connection).await?)
}

/// Reserves an amount from several shares.
async fn gather(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    country: PgCountry,
    amount: Decimal,
) -> Result<bool> {
    let shares: Vec<(i16, Decimal)> = funding_pool_shares::table
        .filter(funding_pool_shares::country.eq(country))
        .order(funding_pool_shares::share.asc())
        .select((funding_pool_shares::share, funding_pool_shares::available))
        .for_update()
        .load(connection)
        .await?;
    if shares.iter().map(|(_, available)| available).sum::<Decimal>() < amount {
        return Ok(false);
    }
    let mut missing = amount;
    for (share, available) in shares {
        let part = available.min(missing);
        if part > Decimal::ZERO {
            hold(connection, id, country, share, part).await?;
            missing -= part;
        }
    }
    Ok(true)
}

async fn hold(
    connection: &mut AsyncPgConnection,
    id: Uuid,
    country: PgCountry,
    share: i16,
    part: Decimal,
) -> Result<()> {
    change_share(connection, country, share, -part, part).await?;
    diesel::insert_into(funding_reservations::table)
        .values((
            funding_reservations::disbursement_id.eq(id),
            funding_reservations::country.eq(country),
            funding_reservations::share.eq(share),
            funding_reservations::amount.eq(part),
            funding_reservations::status.eq("held"),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

async fn change_share(
    connection: &mut AsyncPgConnection,
    country: PgCountry,
    share: i16,
    available: Decimal,
    reserved: Decimal,
) -> Result<()> {
    diesel::update(funding_pool_shares::table.find((country, share)))
        .set((
            funding_pool_shares::available.eq(funding_pool_shares::available + available),
            funding_pool_shares::reserved.eq(funding_pool_shares::reserved + reserved),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

type Part = (PgCountry, i16, Decimal);

/// Ends the held reservations of a disbursement with `status` and returns them, in the order of their shares.
async fn end(connection: &mut AsyncPgConnection, id: Uuid, status: &str) -> Result<Vec<Part>> {
    let held = funding_reservations::table
        .filter(funding_reservations::disbursement_id.eq(id))
        .filter(funding_reservations::status.eq("held"));
    let mut parts: Vec<Part> = diesel::update(held)
        .set(funding_reservations::status.eq(status))
        .returning((funding_reservations::country, funding_reservations::share, funding_reservations::amount))
        .get_results(connection)
        .await?;
    parts.sort_unstable_by_key(|(_, share, _)| *share);
    Ok(parts)
}

/// Returns the held funds of a disbursement to the pool.
pub async fn release(connection: &mut AsyncPgConnection, id: Uuid) -> Result<()> {
    for (country, share, amount) in end(connection, id, "released").await? {
        change_share(connection, country, share, amount, -amount).await?;
    }
    Ok(())
}

/// Takes the held funds of a disbursement out of the pool and writes the payment to the ledger: the borrower owes what the
/// pool paid.
pub async fn book(connection: &mut AsyncPgConnection, entry: &Entry<'_>, disbursement: Uuid) -> Result<()> {
    let parts = end(connection, disbursement, "booked").await?;
    for (country, share, amount) in &parts {
        change_share(connection, *country, *share, Decimal::ZERO, -amount).await?;
    }
    let paid: Decimal = parts.iter().map(|(_, _, amount)| amount).sum();
    if paid.is_zero() {
        return Ok(());
    }
    write(connection, entry, "payout", Some(disbursement), [("pool", -paid), ("loans", paid)]).await
}

/// Books a payment that came back: if it was in the ledger, the pool gets the amount and the borrower no longer owes it;
/// otherwise the reservation is released.
pub async fn book_return(
    connection: &mut AsyncPgConnection,
    entry: &Entry<'_>,
    reversal: Uuid,
    disbursement: Uuid,
    amount: Money,
) -> Result<()> {
    let entries = |id: Uuid, kind: &'static str| {
        ledger_entries::table
            .filter(ledger_entries::disbursement_id.eq(id))
            .filter(ledger_entries::kind.eq(kind))
    };
    let was_paid: bool =
        diesel::select(diesel::dsl::exists(entries(disbursement, "payout"))).get_result(connection).await?;
    if !was_paid {
        return release(connection, disbursement).await;
    }
    let is_booked: bool =
        diesel::select(diesel::dsl::exists(entries(reversal, "return"))).get_result(connection).await?;
    if is_booked {
        return Ok(());
    }
    let amount = amount.amount();
    let share = first_share(reversal);
    change_share(connection, PgCountry(entry.country), share, amount, Decimal::ZERO).await?;
    write(connection, entry, "return", Some(reversal), [("pool", amount), ("loans", -amount)]).await
}

/// An entry of the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub id: Uuid,
    pub country: Country,
    /// Who caused it.
    pub actor: &'a str,
}

/// Adds an amount to a pool, divided equally among its shares.
pub async fn deposit(connection: &mut AsyncPgConnection, entry: &Entry<'_>, amount: Money) -> Result<()> {
    let amount = amount.amount();
    let part = (amount / Decimal::from(SHARES)).trunc_with_scale(2);
    for share in 0..SHARES {
        let rest = if share == 0 { amount - part * Decimal::from(SHARES) } else { Decimal::ZERO };
        change_share(connection, PgCountry(entry.country), share, part + rest, Decimal::ZERO).await?;
    }
    write(connection, entry, "deposit", None, [("pool", amount), ("treasury", -amount)]).await
}

async fn write(
    connection: &mut AsyncPgConnection,
    entry: &Entry<'_>,
    kind: &str,
    disbursement: Option<Uuid>,
    lines: [(&str, Decimal); 2],
) -> Result<()> {
    diesel::insert_into(ledger_entries::table)
        .values((
            ledger_entries::id.eq(entry.id),
            ledger_entries::kind.eq(kind),
            ledger_entries::country.eq(PgCountry(entry.country)),
            ledger_entries::disbursement_id.eq(disbursement),
            ledger_entries::actor.eq(entry.actor),
        ))
        .execute(connection)
        .await?;
    let line = |(account, amount): (&str, Decimal)| {
        (
            ledger_lines::entry_id.eq(entry.id),
            ledger_lines::account.eq(account.to_owned()),
            ledger_lines::amount.eq(amount),
        )
    };
    let rows: Vec<_> = lines.into_iter().map(line).collect();
    diesel::insert_into(ledger_lines::table).values(rows).execute(connection).await?;
    Ok(())
}

/// The funds of every country.
pub async fn levels(connection: &mut AsyncPgConnection) -> Result<Vec<PoolLevel>> {
    type Row = (PgCountry, Option<Decimal>, Option<Decimal>);
    let rows: Vec<Row> = funding_pool_shares::table
        .group_by(funding_pool_shares::country)
        .select((
            funding_pool_shares::country,
            diesel::dsl::sum(funding_pool_shares::available),
            diesel::dsl::sum(funding_pool_shares::reserved),
        ))
        .order(funding_pool_shares::country.asc())
        .load(connection)
        .await?;
    let level = |(country, available, reserved): Row| PoolLevel {
        country: country.into(),
        available: available.unwrap_or_default(),
        reserved: reserved.unwrap_or_default(),
    };
    Ok(rows.into_iter().map(level).collect())
}
