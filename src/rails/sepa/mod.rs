//! SEPA credit transfers: ISO 20022 messages in XML.
//!
//! A payment is a `pain.001.001.09` (customer credit transfer initiation) with one transaction, whose identifiers are all
//! the key. Its status is a `pain.002.001.10` (customer payment status report): `RJCT` rejected, `ACSC` and `ACCC` settled,
//! `PDNG` and `RCVD` not decided; `ACTC`, `ACCP`, `ACSP` and `ACWC` accepted. The bank reports a returned payment in the
//! same message, as `RTRN`.

mod messages;

use quick_xml::de;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::messages::{CreditTransfer, StatusReport};
use super::{Malformed, Message, Payment, RailAdapter, check_key};
use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, PaymentStatus, Rail};

pub(super) struct Sepa;

/// A look-up of an account (verification of payee).
#[derive(Serialize)]
struct Verification<'a> {
    iban: &'a str,
    name: &'a str,
}

#[derive(Deserialize)]
struct Verified {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl RailAdapter for Sepa {
    fn rail(&self) -> Rail {
        Rail::Sepa
    }

    fn lookup(&self, destination: &Destination) -> Message {
        let body = Verification { iban: destination.reveal(), name: destination.reveal_holder() };
        super::json(&body)
    }

    fn read_lookup(&self, body: &str) -> Result<DestinationAnswer, Malformed> {
        let read: Verified = super::read_json(body)?;
        Ok(DestinationAnswer { refused: read.reason, holder: super::holder(read.name) })
    }

    fn submit(&self, payment: &Payment) -> Message {
        Message { content_type: "application/xml", body: CreditTransfer::of(payment).to_xml() }
    }

    fn read_status(&self, key: Uuid, body: &str) -> Result<PaymentAnswer, Malformed> {
        let report: StatusReport = de::from_str(body).map_err(|_invalid| Malformed("not a pain.002"))?;
        let transaction = report.transaction();
        check_key(key, &transaction.end_to_end)?;
        Ok(PaymentAnswer {
            status: status(&transaction.status).ok_or(Malformed("an unknown transaction status"))?,
            reason: transaction.reason.as_ref().map(|reason| reason.reason.code.clone()),
            reference: transaction.reference.clone(),
        })
    }
}

fn status(code: &str) -> Option<PaymentStatus> {
    match code {
        "ACSC" | "ACCC" => Some(PaymentStatus::Settled),
        "ACTC" | "ACCP" | "ACSP" | "ACWC" => Some(PaymentStatus::Accepted),
        "RJCT" => Some(PaymentStatus::Rejected),
        "RTRN" => Some(PaymentStatus::Returned),
        "PDNG" | "RCVD" => Some(PaymentStatus::Unknown),
        _ => None,
    }
}
