//! The server side of DataCrédito's format: a SOAP envelope with figures in attributes and a score from 150 to 950.

use serde::Deserialize;

use super::{WireFormat, attribute, element};
use crate::domain::banking::AccountStatus;
use crate::providers::datacredito::SCALE;
use crate::providers::simulator::record::BureauRecord;

pub(super) struct Format;

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Body")]
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "consultarHistoria")]
    query: Query,
}

#[derive(Deserialize)]
struct Query {
    identificacion: Identification,
}

#[derive(Deserialize)]
struct Identification {
    #[serde(rename = "@numero")]
    number: String,
}

impl WireFormat for Format {
    fn path(&self) -> &'static str {
        "/ws/historia-de-credito"
    }

    fn content_type(&self) -> &'static str {
        "text/xml; charset=utf-8"
    }

    fn read_document(&self, body: &[u8]) -> Option<String> {
        let envelope: Envelope = quick_xml::de::from_str(std::str::from_utf8(body).ok()?).ok()?;
        Some(envelope.body.query.identificacion.number)
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let standing = record.account_status.map(|status| match status {
            AccountStatus::Active => "AL-DIA",
            AccountStatus::Inactive => "SIN-MOVIMIENTO",
            AccountStatus::Suspended => "EMBARGADA",
            AccountStatus::Closed => "SALDADA",
            AccountStatus::Unknown => "SIN-INFORMACION",
        });
        let yes_no = |yes: bool| if yes { "S" } else { "N" };
        let score = record.credit_score.map(|score| SCALE.nearest_to(score));
        let parts = [
            format!("<hc:Informe consecutivo=\"{}\"", record.reference),
            attribute("verificado", record.verified.map(yes_no)),
            attribute("estadoCuentas", standing),
            ">".to_owned(),
            score
                .map(|score| format!("<hc:Score tipo=\"ACIERTA\" puntaje=\"{score}\"/>"))
                .unwrap_or_default(),
            "<hc:Endeudamiento moneda=\"COP\"".to_owned(),
            attribute("saldoTotal", record.total_debt),
            attribute("cuotaMensual", record.monthly_obligations),
            attribute("obligaciones", record.accounts),
            "/>".to_owned(),
            record.has_defaults.map(|d| format!("<hc:Mora vigente=\"{}\"/>", yes_no(d))).unwrap_or_default(),
            record
                .average_monthly_income
                .map(|income| format!("<hc:Ingreso moneda=\"COP\" promedioMensual=\"{income}\"/>"))
                .unwrap_or_default(),
            "</hc:Informe>".to_owned(),
        ];
        envelope(&format!("<hc:consultarHistoriaResponse>{}</hc:consultarHistoriaResponse>", parts.concat()))
    }

    fn write_error(&self, code: &str) -> String {
        envelope(&format!("<soapenv:Fault>{}</soapenv:Fault>", element("faultcode", Some(code))))
    }
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:hc=\"urn:datacredito:historia-de-credito:2\">\
         <soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
}
