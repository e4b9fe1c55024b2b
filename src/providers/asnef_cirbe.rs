//! ASNEF-CIRBE, Spain: JSON with Spanish names and amounts as decimal strings in euros.
//!
//! A report combines two registers: CIRBE, the central bank's credit register (debts and monthly payments), and ASNEF,
//! the register of unpaid debts. The score already uses the common scale. If a person is in only one of the registers,
//! the values of the other are unknown.

use serde::{Deserialize, Serialize};

use super::report_body::{add_extras, amount, check_currency, common_score, json, json_request};
use super::{BankingProvider, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData};

#[derive(Debug)]
/// The adapter for Spain.
pub struct AsnefCirbe;

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

impl BankingProvider for AsnefCirbe {
    fn name(&self) -> &'static str {
        "ASNEF-CIRBE"
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
        data.account_status = informe.situacion_cuentas.as_deref().map(standing);
        data.credit_score = common_score("puntuacion", informe.puntuacion)?;
        data.total_debt = amount("cirbe.riesgo_total", cirbe.riesgo_total.as_deref())?;
        data.monthly_obligations = amount("cirbe.cuota_mensual", cirbe.cuota_mensual.as_deref())?;
        data.has_defaults = informe.asnef.and_then(|asnef| asnef.impagos_vigentes);
        add_extras(&mut data, &informe.referencia_informe, cirbe.numero_operaciones)?;
        Ok(data)
    }
}

fn standing(word: &str) -> AccountStatus {
    match word {
        "ACTIVA" => AccountStatus::Active,
        "INACTIVA" => AccountStatus::Inactive,
        "BLOQUEADA" => AccountStatus::Suspended,
        "CANCELADA" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}
