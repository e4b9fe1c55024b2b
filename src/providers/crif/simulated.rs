//! Simulates CRIF's format: nested JSON with amounts in cents.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::json;

use crate::domain::banking::AccountStatus;
use crate::domain::money::Money;
use crate::domain::status::Status::{Approved, Rejected, UnderReview};
use crate::providers::simulator::bureau::{CleanFigures, SimulatedBureau, demo_application};
use crate::providers::simulator::record::BureauRecord;
use crate::providers::simulator::scenario::Scenario::{
    Approve, Defaults, HighObligations, IncomeMismatch, LowScore, Malformed, NoObligations, NoScore,
    RateLimited, ServerError, Slow, Suspended, ThinFile, Timeout, Unauthorized, Unavailable,
};
use crate::providers::simulator::wire::{WireFormat, json_text, without_nulls};

pub(super) static SIMULATED: SimulatedBureau = SimulatedBureau {
    format: &Format,
    typical_monthly_income: 3_000,
    clean: CleanFigures { score: 750, monthly_obligations: 150, total_debt: 5_400 },
    with_loan_defaults: Rejected,
    with_unknown_obligations: UnderReview,
    family: "RSSMRA7nAssHnnn?",
    documents: &[
        (Approve, "RSSMRA80A01H501U"),
        (LowScore, "RSSMRA80A02H501Z"),
        (HighObligations, "RSSMRA80A03H501B"),
        (Defaults, "RSSMRA80A04H501D"),
        (Suspended, "RSSMRA80A05H501H"),
        (IncomeMismatch, "RSSMRA80A06H501J"),
        (ThinFile, "RSSMRA80A08H501N"),
        (NoScore, "RSSMRA80A09H501P"),
        (NoObligations, "RSSMRA80A10H501W"),
        (ServerError, "RSSMRA80A11H501V"),
        (Unavailable, "RSSMRA80A12H501A"),
        (Timeout, "RSSMRA80A13H501C"),
        (Malformed, "RSSMRA80A14H501E"),
        (Unauthorized, "RSSMRA80A15H501I"),
        (RateLimited, "RSSMRA80A16H501K"),
        (Slow, "RSSMRA80A17H501M"),
    ],
    demo_applications: [
        demo_application(Approve, "Mario Rossetti", (10_000, 3_000, 36), Approved),
        demo_application(Defaults, "Paolo Ferrante", (10_000, 3_000, 36), Rejected),
        // CRIF reports an income of 900 euros a month.
        demo_application(IncomeMismatch, "Davide Bellini", (8_000, 3_000, 36), UnderReview),
        demo_application(LowScore, "Stefano Galli", (7_000, 3_000, 36), Rejected),
        demo_application(Suspended, "Enrico Marchetti", (6_000, 3_000, 48), Approved),
        demo_application(HighObligations, "Luca Santoro", (9_000, 3_000, 36), Rejected),
        demo_application(ThinFile, "Andrea Colombo", (5_000, 3_000, 24), UnderReview),
        // The amount is above 50,000 euros.
        demo_application(Approve, "Mario Rossetti", (55_000, 3_400, 84), Rejected),
        demo_application(NoScore, "Fabio Grassi", (4_000, 3_000, 24), UnderReview),
        // The income is below 1,200 euros a month.
        demo_application(Approve, "Mario Rossetti", (2_000, 1_100, 24), Rejected),
    ],
};

struct Format;

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
