//! Simulates ASNEF-CIRBE's format: JSON with Spanish names and decimal strings.

use serde_json::json;

use crate::domain::banking::AccountStatus;
use crate::domain::status::Status::{Approved, Rejected, UnderReview};
use crate::providers::simulator::bureau::{CleanFigures, SimulatedBureau, demo_application};
use crate::providers::simulator::record::BureauRecord;
use crate::providers::simulator::scenario::Scenario::{
    Approve, Defaults, HighObligations, LowScore, Malformed, NoObligations, NoScore, RateLimited,
    ServerError, Slow, Suspended, ThinFile, Timeout, Unauthorized, Unavailable,
};
use crate::providers::simulator::wire::{WireFormat, json_text, without_nulls};

pub(super) static SIMULATED: SimulatedBureau = SimulatedBureau {
    format: &Format,
    typical_monthly_income: 2_500,
    clean: CleanFigures { score: 720, monthly_obligations: 300, total_debt: 9_000 },
    with_loan_defaults: Rejected,
    with_unknown_obligations: UnderReview,
    family: "99nnnnss?",
    documents: &[
        (Approve, "12345678Z"),
        (LowScore, "90000002J"),
        (HighObligations, "90000003Z"),
        (Defaults, "90000004S"),
        (Suspended, "90000005Q"),
        (ThinFile, "90000008L"),
        (NoScore, "90000009C"),
        (NoObligations, "90000010K"),
        (ServerError, "90000011E"),
        (Unavailable, "90000012T"),
        (Timeout, "90000013R"),
        (Malformed, "90000014W"),
        (Unauthorized, "90000015A"),
        (RateLimited, "90000016G"),
        (Slow, "90000017M"),
    ],
    demo_applications: [
        demo_application(Approve, "Lucía Fernández Ortega", (9_000, 2_600, 36), Approved),
        demo_application(LowScore, "Javier Molina Prieto", (6_000, 2_500, 36), Rejected),
        demo_application(ThinFile, "Nerea Aguirre Lasa", (4_500, 1_900, 24), UnderReview),
        demo_application(HighObligations, "Óscar Benítez Roca", (12_000, 2_500, 48), Rejected),
        demo_application(Suspended, "Carmen Vidal Serra", (5_000, 2_800, 36), Approved),
        demo_application(Defaults, "Raúl Cano Espinosa", (7_500, 2_400, 36), Rejected),
        // The amount is above 20,000 euros.
        demo_application(Approve, "Lucía Fernández Ortega", (28_000, 6_000, 60), UnderReview),
        demo_application(NoScore, "Iván Sancho Marín", (3_000, 2_100, 24), UnderReview),
        demo_application(NoObligations, "Marta Quintana Leal", (8_000, 2_900, 36), UnderReview),
        demo_application(Approve, "Lucía Fernández Ortega", (15_000, 3_500, 36), Approved),
    ],
};

struct Format;

impl WireFormat for Format {
    fn path(&self) -> &'static str {
        "/v2/consultas"
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn read_document(&self, body: &[u8]) -> Option<String> {
        json_text(body, "/titular/numero_documento")
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let situacion = record.account_status.map(|status| match status {
            AccountStatus::Active => "ACTIVA",
            AccountStatus::Inactive => "INACTIVA",
            AccountStatus::Suspended => "BLOQUEADA",
            AccountStatus::Closed => "CANCELADA",
            AccountStatus::Unknown => "NO_CONSTA",
        });
        let asnef = record.has_defaults.map(|defaults| json!({"impagos_vigentes": defaults}));
        let informe = json!({
            "referencia_informe": record.reference,
            "divisa": "EUR",
            "situacion_cuentas": situacion,
            "puntuacion": record.credit_score,
            "cirbe": {
                "riesgo_total": record.total_debt,
                "cuota_mensual": record.monthly_obligations,
                "numero_operaciones": record.accounts,
            },
            "asnef": asnef,
        });
        without_nulls(informe).to_string()
    }

    fn write_error(&self, code: &str) -> String {
        json!({"error": {"codigo": code}}).to_string()
    }
}
