//! Simulates DataCrédito's format: a SOAP envelope with figures in attributes and a score from 150 to 950.

use serde::Deserialize;

use crate::domain::banking::AccountStatus;
use crate::domain::status::Status::{Approved, Rejected, UnderReview};
use crate::providers::datacredito::SCALE;
use crate::providers::simulator::bureau::{CleanFigures, SimulatedBureau, demo_application};
use crate::providers::simulator::record::BureauRecord;
use crate::providers::simulator::scenario::Scenario::{
    Approve, Defaults, LowScore, Malformed, NoObligations, NoScore, RateLimited, ServerError, Slow,
    Suspended, ThinFile, Timeout, Unauthorized, Unavailable, Unverified,
};
use crate::providers::simulator::wire::{WireFormat, attribute, element};

pub(super) static SIMULATED: SimulatedBureau = SimulatedBureau {
    format: &Format,
    typical_monthly_income: 4_000_000,
    clean: CleanFigures { score: 730, monthly_obligations: 350_000, total_debt: 8_400_000 },
    with_loan_defaults: UnderReview,
    with_unknown_obligations: Approved,
    family: "1900nnnnss",
    documents: &[
        (Approve, "1234567890"),
        (LowScore, "1000000002"),
        (Defaults, "1000000004"),
        (Suspended, "1000000005"),
        (Unverified, "1000000007"),
        (ThinFile, "1000000008"),
        (NoScore, "1000000009"),
        (NoObligations, "1000000010"),
        (ServerError, "1000000011"),
        (Unavailable, "1000000012"),
        (Timeout, "1000000013"),
        (Malformed, "1000000014"),
        (Unauthorized, "1000000015"),
        (RateLimited, "1000000016"),
        (Slow, "1000000017"),
    ],
    demo_applications: [
        demo_application(Approve, "Andrés Restrepo Giraldo", (15_000_000, 4_500_000, 36), Approved),
        demo_application(LowScore, "Paola Cifuentes Rojas", (8_000_000, 4_000_000, 36), Rejected),
        demo_application(Unverified, "Camilo Ospina Vargas", (10_000_000, 4_200_000, 36), UnderReview),
        demo_application(ThinFile, "Juliana Bedoya Marulanda", (5_000_000, 3_200_000, 24), UnderReview),
        // The amount is above 50,000,000 pesos.
        demo_application(Approve, "Andrés Restrepo Giraldo", (60_000_000, 9_000_000, 60), Rejected),
        // The income is below 1,500,000 pesos a month.
        demo_application(Approve, "Andrés Restrepo Giraldo", (2_000_000, 1_400_000, 36), Rejected),
        demo_application(Defaults, "Héctor Quiroga Salazar", (7_000_000, 4_600_000, 36), UnderReview),
        demo_application(Suspended, "Natalia Arango Mejía", (6_000_000, 4_400_000, 36), Approved),
        demo_application(NoObligations, "Germán Pineda Castaño", (9_000_000, 4_800_000, 36), Approved),
        // The instalment is above 40 % of the monthly income.
        demo_application(Approve, "Andrés Restrepo Giraldo", (45_000_000, 3_500_000, 36), Rejected),
    ],
};

struct Format;

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
        let account_status = record.account_status.map(|status| match status {
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
            attribute("estadoCuentas", account_status),
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
