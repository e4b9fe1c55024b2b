//! CRIF, Italy: nested JSON modelled on its EURISC register, with amounts in whole euro cents.
//!
//! CRIF is the only bureau whose average income is used by a rule, which compares it with the declared income
//! (docs/specification.md, section 3.3). A report states the scale of its score. Any scale other than 300-850 is
//! rejected.

mod simulated;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::report_body::{add_extras, check_currency, common_score, json, json_request, malformed};
use super::{Bureau, BureauAdapter, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData};
use crate::domain::money::Money;

pub(super) static BUREAU: Bureau = Bureau {
    adapter: &Crif,
    simulated: &simulated::SIMULATED,
    #[cfg(test)]
    samples: tests::SAMPLES,
};

struct Crif;

#[derive(Serialize)]
struct Richiesta<'a> {
    finalita: &'static str,
    soggetto: Soggetto<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Soggetto<'a> {
    codice_fiscale: &'a str,
    denominazione: &'a str,
}

#[derive(Deserialize)]
struct Risposta {
    esito: Esito,
    rapporto: Rapporto,
}

#[derive(Deserialize)]
struct Esito {
    protocollo: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rapporto {
    valuta: String,
    punteggio: Option<Punteggio>,
    posizione: Option<Posizione>,
    esposizione: Option<Esposizione>,
    reddito_medio_mensile: Option<u64>,
    sofferenze: Option<Sofferenze>,
}

#[derive(Deserialize)]
struct Punteggio {
    valore: i64,
    scala: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Posizione {
    stato: Option<String>,
    numero_rapporti: Option<u16>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Esposizione {
    debito_residuo: Option<u64>,
    rata_mensile: Option<u64>,
}

#[derive(Deserialize)]
struct Sofferenze {
    presenti: Option<bool>,
}

impl BureauAdapter for Crif {
    fn name(&self) -> &'static str {
        "CRIF"
    }

    fn label(&self) -> &'static str {
        "crif"
    }

    fn country(&self) -> Country {
        Country::It
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        let richiesta = Richiesta {
            finalita: "CREDITO_AL_CONSUMO",
            soggetto: Soggetto {
                codice_fiscale: subject.identity_document.reveal(),
                denominazione: subject.full_name.reveal(),
            },
        };
        BureauRequest {
            path: "/eurisc/v1/richieste",
            content_type: "application/json",
            accept: "application/json",
            body: json_request(&richiesta),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let Risposta { esito, rapporto } = json(body)?;
        check_currency("rapporto.valuta", &rapporto.valuta, self.country().currency())?;
        let posizione = rapporto.posizione.unwrap_or_default();
        let esposizione = rapporto.esposizione.unwrap_or_default();
        let mut data = BankingData::empty(self.name());
        data.account_status = posizione.stato.as_deref().map(account_status);
        if let Some(Punteggio { valore, scala }) = rapporto.punteggio {
            if scala != "300-850" {
                return Err(malformed("rapporto.punteggio.scala is not 300-850"));
            }
            data.credit_score = common_score("rapporto.punteggio.valore", Some(valore))?;
        }
        data.total_debt = cents("debitoResiduo", esposizione.debito_residuo)?;
        data.monthly_obligations = cents("rataMensile", esposizione.rata_mensile)?;
        data.average_monthly_income = cents("redditoMedioMensile", rapporto.reddito_medio_mensile)?;
        data.has_defaults = rapporto.sofferenze.and_then(|sofferenze| sofferenze.presenti);
        add_extras(&mut data, &esito.protocollo, posizione.numero_rapporti)?;
        Ok(data)
    }
}

fn cents(field: &str, cents: Option<u64>) -> Result<Option<Money>, MalformedReport> {
    cents
        .map(|cents| {
            Money::from_decimal(Decimal::from_i128_with_scale(i128::from(cents), 2))
                .ok_or_else(|| malformed(format!("{field} is over 9999999999.99")))
        })
        .transpose()
}

fn account_status(word: &str) -> AccountStatus {
    match word {
        "ATTIVO" => AccountStatus::Active,
        "INATTIVO" => AccountStatus::Inactive,
        "SOSPESO" => AccountStatus::Suspended,
        "ESTINTO" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use crate::providers::tests::Samples;

    pub(in crate::providers) const SAMPLES: Samples = Samples {
        full: r#"{
            "esito": {"codice": "OK", "protocollo": "R-1"},
            "rapporto": {
                "valuta": "EUR", "punteggio": {"valore": 640, "scala": "300-850", "fascia": "C"},
                "posizione": {"stato": "SOSPESO", "numeroRapporti": 4},
                "esposizione": {"debitoResiduo": 1234560, "rataMensile": 41005},
                "redditoMedioMensile": 210099, "sofferenze": {"presenti": true}
            }
        }"#,
        bare: r#"{"esito": {"protocollo": "R-2"}, "rapporto": {"valuta": "EUR", "sofferenze": {}}}"#,
        ignored: Some("\"C\""),
        has_income: true,
        has_verification: false,
        account_status: ("SOSPESO", "OTRA"),
        malformed: &[
            ("1234560", "12345.60"),
            ("1234560", "-1"),
            ("1234560", "1000000000000"),
            ("1234560", "\"1234560\""),
            ("640", "640.0"),
            ("300-850", "0-1000"),
            ("EUR", "ITL"),
            ("true", "1"),
        ],
    };
}
