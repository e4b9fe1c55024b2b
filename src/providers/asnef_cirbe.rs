//! ASNEF-CIRBE, Spain: JSON with Spanish names and amounts as decimal strings in euros.
//!
//! A report combines two registers: CIRBE, the central bank's credit register (debts and monthly payments), and ASNEF,
//! the register of unpaid debts. The score already uses the common scale. If a person is in only one of the registers,
//! the values of the other register are unknown.

mod simulated;

use serde::{Deserialize, Serialize};

use super::report_body::{add_extras, amount, check_currency, common_score, json, json_request};
use super::{Bureau, BureauAdapter, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData};

pub(super) static BUREAU: Bureau = Bureau {
    adapter: &AsnefCirbe,
    simulated: &simulated::SIMULATED,
    #[cfg(test)]
    samples: tests::SAMPLES,
};

/// The adapter for Spain.
struct AsnefCirbe;

#[derive(Serialize)]
struct Consulta<'a> {
    tipo_consulta: &'static str,
    finalidad: &'static str,
    titular: Titular<'a>,
}

#[derive(Serialize)]
struct Titular<'a> {
    tipo_documento: &'static str,
    numero_documento: &'a str,
    nombre_completo: &'a str,
}

#[derive(Deserialize)]
struct Informe {
    referencia_informe: String,
    divisa: String,
    situacion_cuentas: Option<String>,
    puntuacion: Option<i64>,
    cirbe: Option<Cirbe>,
    asnef: Option<Asnef>,
}

#[derive(Deserialize, Default)]
struct Cirbe {
    riesgo_total: Option<String>,
    cuota_mensual: Option<String>,
    numero_operaciones: Option<u16>,
}

#[derive(Deserialize)]
struct Asnef {
    impagos_vigentes: Option<bool>,
}

impl BureauAdapter for AsnefCirbe {
    fn name(&self) -> &'static str {
        "ASNEF-CIRBE"
    }

    fn label(&self) -> &'static str {
        "asnef_cirbe"
    }

    fn country(&self) -> Country {
        Country::Es
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        let number = subject.identity_document.reveal();
        let consulta = Consulta {
            tipo_consulta: "SOLVENCIA",
            finalidad: "CONCESION_CREDITO",
            titular: Titular {
                tipo_documento: if number.starts_with(['X', 'Y', 'Z']) { "NIE" } else { "DNI" },
                numero_documento: number,
                nombre_completo: subject.full_name.reveal(),
            },
        };
        BureauRequest {
            path: "/v2/consultas",
            content_type: "application/json",
            accept: "application/json",
            body: json_request(&consulta),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let informe: Informe = json(body)?;
        check_currency("divisa", &informe.divisa, self.country().currency())?;
        let cirbe = informe.cirbe.unwrap_or_default();
        let mut data = BankingData::empty(self.name());
        data.account_status = informe.situacion_cuentas.as_deref().map(account_status);
        data.credit_score = common_score("puntuacion", informe.puntuacion)?;
        data.total_debt = amount("cirbe.riesgo_total", cirbe.riesgo_total.as_deref())?;
        data.monthly_obligations = amount("cirbe.cuota_mensual", cirbe.cuota_mensual.as_deref())?;
        data.has_defaults = informe.asnef.and_then(|asnef| asnef.impagos_vigentes);
        add_extras(&mut data, &informe.referencia_informe, cirbe.numero_operaciones)?;
        Ok(data)
    }
}

fn account_status(word: &str) -> AccountStatus {
    match word {
        "ACTIVA" => AccountStatus::Active,
        "INACTIVA" => AccountStatus::Inactive,
        "BLOQUEADA" => AccountStatus::Suspended,
        "CANCELADA" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use crate::providers::tests::Samples;

    pub(in crate::providers) const SAMPLES: Samples = Samples {
        full: r#"{
            "referencia_informe": "R-1", "divisa": "EUR", "fecha": "2026-01-31",
            "titular": {"nombre_completo": "Ana Ruiz"},
            "situacion_cuentas": "BLOQUEADA", "puntuacion": 640,
            "cirbe": {"riesgo_total": "12345.60", "cuota_mensual": "410.05", "numero_operaciones": 4, "avales": []},
            "asnef": {"impagos_vigentes": true, "numero_impagos": 2}
        }"#,
        bare: r#"{"referencia_informe": "R-2", "divisa": "EUR", "puntuacion": null, "asnef": {}}"#,
        ignored: Some("[]"),
        has_income: false,
        has_verification: false,
        account_status: ("BLOQUEADA", "OTRA"),
        malformed: &[
            ("640", "851"),
            ("640", "299"),
            ("640", "640.5"),
            ("640", "\"640\""),
            ("640", "99999999999999999999"),
            ("\"12345.60\"", "12345.60"),
            ("12345.60", "12.345,60"),
            ("12345.60", "-12345.60"),
            ("12345.60", "12345678901.00"),
            ("410.05", "410.055"),
            ("410.05", "4e2"),
            ("410.05", ""),
            ("true", "\"true\""),
            ("EUR", "USD"),
            (": 4,", ": -4,"),
            ("R-1", "Ana Ruiz 12345678Z"),
            ("\"fecha\"", "\"divisa\": \"EUR\", \"fecha\""),
        ],
    };
}
