//! The Colombian ACH: batches of fixed-width records, here with one payment each.
//!
//! | record | columns |
//! |---|---|
//! | `1` batch header | key (32), date `YYYYMMDD` (8) |
//! | `6` entry | bank (4), account type `A` or `C` (1), account (16, right-aligned with spaces), amount in centavos (15), name (30) |
//! | `9` control | number of entries (6), sum in centavos (18) |
//!
//! The status is a line `key;status;code;reference`.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Malformed, Message, Payment, RailAdapter, check_key, compact_key, holder, json, read_json};
use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, PaymentStatus, Rail};
use crate::domain::money::Money;

const NAME_CHARS: usize = 30;

pub(super) struct CoAch;

#[derive(Serialize)]
struct Consulta<'a> {
    cuenta: &'a str,
}

#[derive(Deserialize)]
struct Titular {
    #[serde(default)]
    codigo: Option<String>,
    #[serde(default)]
    titular: Option<String>,
}

impl RailAdapter for CoAch {
    fn rail(&self) -> Rail {
        Rail::CoAch
    }

    fn lookup(&self, destination: &Destination) -> Message {
        json(&Consulta { cuenta: destination.reveal() })
    }

    fn read_lookup(&self, body: &str) -> Result<DestinationAnswer, Malformed> {
        let read: Titular = read_json(body)?;
        Ok(DestinationAnswer { refused: read.codigo, holder: holder(read.titular) })
    }

    fn submit(&self, payment: &Payment) -> Message {
        Message { content_type: "text/plain", body: batch(payment) }
    }

    fn read_status(&self, key: Uuid, body: &str) -> Result<PaymentAnswer, Malformed> {
        let mut parts = body.trim_end().split(';');
        let mut next = || parts.next().ok_or(Malformed("too few columns"));
        let (named, status, reason, reference) = (next()?, next()?, next()?, next()?);
        check_key(key, named)?;
        let status = match status {
            "PAGADO" => PaymentStatus::Settled,
            "ACEPTADO" => PaymentStatus::Accepted,
            "RECHAZADO" => PaymentStatus::Rejected,
            "DEVUELTO" => PaymentStatus::Returned,
            "EN PROCESO" => PaymentStatus::Unknown,
            _ => return Err(Malformed("an unknown status")),
        };
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(PaymentAnswer { status, reason: filled(reason), reference: filled(reference) })
    }
}

fn batch(payment: &Payment) -> String {
    let (key, cents) = (compact_key(payment.key), centavos(payment.amount));
    let mut account = payment.destination.reveal().split('-');
    let mut part = || account.next().unwrap_or_default();
    let (bank, kind, number) = (part(), part(), part());
    let name: String =
        payment.destination.reveal_holder().chars().filter(|c| *c != '\n').take(NAME_CHARS).collect();
    let date = payment.started_at.format("%Y%m%d");
    format!(
        "1{key}{date}\n6{bank:4}{kind:1}{number:>16}{cents:015}{name:30}\n9{count:06}{cents:018}\n",
        count = 1
    )
}

fn centavos(amount: Money) -> Decimal {
    (amount.amount() * Decimal::ONE_HUNDRED).trunc()
}
