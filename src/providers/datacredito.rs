//! DataCrédito, Colombia: a SOAP 1.1 envelope with a report whose figures are XML attributes.
//!
//! The score is *Acierta*, 150 to 950, mapped linearly onto 300-850 and rounded half to even (`score_scale`). Amounts
//! are decimal strings in pesos. `verificado` states whether the bureau has matched the document with the national
//! registry; section 3.3 of docs/specification.md requires this because a cédula has no check digit. A SOAP fault in a
//! 200 response is a malformed report because it contains no figures.

mod simulated;

use serde::{Deserialize, Serialize};

use super::report_body::{
    XmlText, add_extras, amount, check_currency, malformed, whole, xml, xml_request, yes_no,
};
use super::score_scale::ScoreScale;
use super::{Bureau, BureauAdapter, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData};

pub(super) static BUREAU: Bureau = Bureau {
    adapter: &DataCredito,
    simulated: &simulated::SIMULATED,
    #[cfg(test)]
    samples: tests::SAMPLES,
};

/// The adapter for Colombia.
struct DataCredito;

/// The range of the Acierta score.
pub(super) const SCALE: ScoreScale = ScoreScale { low: 150, high: 950 };

#[derive(Serialize)]
#[serde(rename = "soapenv:Envelope")]
struct RequestEnvelope<'a> {
    #[serde(rename = "@xmlns:soapenv")]
    soap: &'static str,
    #[serde(rename = "@xmlns:hc")]
    history: &'static str,
    #[serde(rename = "soapenv:Body")]
    body: RequestBody<'a>,
}

#[derive(Serialize)]
struct RequestBody<'a> {
    #[serde(rename = "hc:consultarHistoria")]
    query: Query<'a>,
}

#[derive(Serialize)]
struct Query<'a> {
    #[serde(rename = "hc:identificacion")]
    identification: Identification<'a>,
    #[serde(rename = "hc:nombreCompleto")]
    name: &'a str,
}

#[derive(Serialize)]
struct Identification<'a> {
    /// 1: cédula de ciudadanía.
    #[serde(rename = "@tipo")]
    kind: &'static str,
    #[serde(rename = "@numero")]
    number: &'a str,
}

#[derive(Deserialize)]
enum Document {
    Envelope(Envelope),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Body")]
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "consultarHistoriaResponse")]
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "Informe")]
    report: Informe,
}

#[derive(Deserialize)]
struct Informe {
    #[serde(rename = "@consecutivo")]
    consecutivo: XmlText,
    #[serde(rename = "@verificado")]
    verificado: Option<XmlText>,
    #[serde(rename = "@estadoCuentas")]
    estado_cuentas: Option<XmlText>,
    #[serde(rename = "Score")]
    score: Option<Score>,
    #[serde(rename = "Endeudamiento")]
    endeudamiento: Option<Endeudamiento>,
    #[serde(rename = "Mora")]
    mora: Option<Mora>,
    #[serde(rename = "Ingreso")]
    ingreso: Option<Ingreso>,
}

#[derive(Deserialize)]
struct Score {
    #[serde(rename = "@puntaje")]
    puntaje: XmlText,
}

#[derive(Deserialize)]
struct Endeudamiento {
    #[serde(rename = "@moneda")]
    moneda: XmlText,
    #[serde(rename = "@saldoTotal")]
    saldo_total: Option<XmlText>,
    #[serde(rename = "@cuotaMensual")]
    cuota_mensual: Option<XmlText>,
    #[serde(rename = "@obligaciones")]
    obligaciones: Option<XmlText>,
}

#[derive(Deserialize)]
struct Mora {
    #[serde(rename = "@vigente")]
    vigente: XmlText,
}

#[derive(Deserialize)]
struct Ingreso {
    #[serde(rename = "@moneda")]
    moneda: XmlText,
    #[serde(rename = "@promedioMensual")]
    promedio_mensual: XmlText,
}

impl BureauAdapter for DataCredito {
    fn name(&self) -> &'static str {
        "DataCrédito"
    }

    fn label(&self) -> &'static str {
        "datacredito"
    }

    fn country(&self) -> Country {
        Country::Co
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        let envelope = RequestEnvelope {
            soap: "http://schemas.xmlsoap.org/soap/envelope/",
            history: "urn:datacredito:historia-de-credito:2",
            body: RequestBody {
                query: Query {
                    identification: Identification { kind: "1", number: subject.identity_document.reveal() },
                    name: subject.full_name.reveal(),
                },
            },
        };
        BureauRequest {
            path: "/ws/historia-de-credito",
            content_type: "text/xml; charset=utf-8",
            accept: "text/xml",
            body: xml_request(&envelope),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let Document::Envelope(Envelope { body: Body { response: Response { report } } }) = xml(body)?;
        let currency = self.country().currency();
        let mut data = BankingData::empty(self.name());
        data.account_status = report.estado_cuentas.as_deref().map(account_status);
        data.verified = yes_no("verificado", report.verificado.as_deref(), ("S", "N"))?;
        let native = whole("puntaje", report.score.as_ref().map(|score| &*score.puntaje))?;
        if let Some(native) = native {
            let mapped = SCALE.to_common(native).ok_or_else(|| malformed("puntaje is not 150 to 950"))?;
            data.credit_score = Some(mapped);
        }
        data.has_defaults =
            yes_no("Mora/@vigente", report.mora.as_ref().map(|mora| &*mora.vigente), ("S", "N"))?;
        let mut accounts = None;
        if let Some(owed) = report.endeudamiento {
            check_currency("Endeudamiento/@moneda", &owed.moneda, currency)?;
            data.total_debt = amount("saldoTotal", owed.saldo_total.as_deref())?;
            data.monthly_obligations = amount("cuotaMensual", owed.cuota_mensual.as_deref())?;
            accounts = whole("obligaciones", owed.obligaciones.as_deref())?;
        }
        if let Some(income) = report.ingreso {
            check_currency("Ingreso/@moneda", &income.moneda, currency)?;
            data.average_monthly_income = amount("promedioMensual", Some(&income.promedio_mensual))?;
        }
        add_extras(&mut data, &report.consecutivo, accounts)?;
        Ok(data)
    }
}

fn account_status(word: &str) -> AccountStatus {
    match word {
        "AL-DIA" => AccountStatus::Active,
        "SIN-MOVIMIENTO" => AccountStatus::Inactive,
        "EMBARGADA" => AccountStatus::Suspended,
        "SALDADA" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use crate::providers::tests::Samples;

    pub(in crate::providers) const SAMPLES: Samples = Samples {
        full: r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">
             <s:Header/>
             <s:Body>
               <consultarHistoriaResponse xmlns="urn:datacredito:historia-de-credito:2">
                 <Informe consecutivo="R-1" fechaConsulta="2026-01-31" verificado="N" estadoCuentas="EMBARGADA">
                   <Endeudamiento moneda="COP" saldoTotal="12345.60" cuotaMensual="410.05" obligaciones="4"/>
                   <Ingreso promedioMensual="2100.99" moneda="COP"></Ingreso>
                   <Score puntaje="645" tipo="ACIERTA"/>
                   <Mora vigente="S" dias="90"/>
                 </Informe>
               </consultarHistoriaResponse>
             </s:Body>
           </s:Envelope>"#,
        bare: "<Envelope><Body><consultarHistoriaResponse><Informe consecutivo='R-2'/>\
         </consultarHistoriaResponse></Body></Envelope>",
        ignored: Some("<Score "),
        has_income: true,
        has_verification: true,
        account_status: ("EMBARGADA", "OTRA"),
        malformed: &[
            ("645", "149"),
            ("645", "951"),
            ("645", ""),
            ("\"N\"", "\"no\""),
            ("12345.60", "$12345.60"),
            ("saldoTotal", "moneda=\"COP\" saldoTotal"),
            ("COP", "USD"),
            ("consecutivo=\"R-1\"", ""),
        ],
    };
}
