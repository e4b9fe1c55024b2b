//! The server side of CRIF's format: nested JSON with amounts in cents.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::json;

use super::{WireFormat, json_text, without_nulls};
use crate::domain::banking::AccountStatus;
use crate::domain::money::Money;
use crate::providers::simulator::record::BureauRecord;

pub(super) struct Format;

impl WireFormat for Format {
    fn path(&self) -> &'static str {
        "/eurisc/v1/richieste"
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn read_document(&self, body: &[u8]) -> Option<String> {
        json_text(body, "/soggetto/codiceFiscale")
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let stato = record.account_status.map(|status| match status {
            AccountStatus::Active => "ATTIVO",
            AccountStatus::Inactive => "INATTIVO",
            AccountStatus::Suspended => "SOSPESO",
            AccountStatus::Closed => "ESTINTO",
            AccountStatus::Unknown => "NON_DISPONIBILE",
        });
        let risposta = json!({
            "esito": {"codice": "OK", "protocollo": record.reference},
            "rapporto": {
                "valuta": "EUR",
                "punteggio": record.credit_score.map(|score| json!({"valore": score, "scala": "300-850"})),
                "posizione": {"stato": stato, "numeroRapporti": record.accounts},
                "esposizione": {
                    "debitoResiduo": record.total_debt.and_then(cents),
                    "rataMensile": record.monthly_obligations.and_then(cents),
                },
                "redditoMedioMensile": record.average_monthly_income.and_then(cents),
                "sofferenze": record.has_defaults.map(|defaults| json!({"presenti": defaults})),
            },
        });
        without_nulls(risposta).to_string()
    }

    fn write_error(&self, code: &str) -> String {
        json!({"esito": {"codice": code}}).to_string()
    }
}

fn cents(money: Money) -> Option<u64> {
    (money.amount() * Decimal::ONE_HUNDRED).to_u64()
}
