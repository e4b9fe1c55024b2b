//! The server side of ASNEF-CIRBE's format: JSON with Spanish names and decimal strings.

use serde_json::json;

use super::{WireFormat, json_text, without_nulls};
use crate::domain::banking::AccountStatus;
use crate::providers::simulator::record::BureauRecord;

pub(super) struct Format;

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
