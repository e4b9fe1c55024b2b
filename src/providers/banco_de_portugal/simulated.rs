//! Simulates Banco de Portugal's format: XML elements.

use serde::Deserialize;

use crate::domain::banking::AccountStatus;
use crate::domain::status::Status::{Approved, Rejected, UnderReview};
use crate::providers::simulator::bureau::{CleanFigures, SimulatedBureau, demo_application};
use crate::providers::simulator::record::BureauRecord;
use crate::providers::simulator::scenario::Scenario::{
    Approve, Defaults, HighObligations, LowScore, Malformed, NoObligations, NoScore, RateLimited,
    ServerError, Slow, Suspended, ThinFile, Timeout, Unauthorized, Unavailable,
};
use crate::providers::simulator::wire::{WireFormat, element};

pub(super) static SIMULATED: SimulatedBureau = SimulatedBureau {
    format: &Format,
    typical_monthly_income: 1_500,
    clean: CleanFigures { score: 735, monthly_obligations: 120, total_debt: 3_600 },
    with_loan_defaults: Rejected,
    with_unknown_obligations: UnderReview,
    family: "29nnnnss?",
    documents: &[
        (Approve, "123456789"),
        (LowScore, "200000020"),
        (HighObligations, "200000039"),
        (Defaults, "200000047"),
        (Suspended, "200000055"),
        (ThinFile, "200000080"),
        (NoScore, "200000098"),
        (NoObligations, "200000101"),
        (ServerError, "200000110"),
        (Unavailable, "200000128"),
        (Timeout, "200000136"),
        (Malformed, "200000144"),
        (Unauthorized, "200000152"),
        (RateLimited, "200000160"),
        (Slow, "200000179"),
    ],
    demo_applications: [
        demo_application(Approve, "Inês Carvalho Matos", (5_000, 1_600, 36), Approved),
        demo_application(LowScore, "Tiago Moreira Pinto", (4_000, 1_500, 36), Rejected),
        demo_application(NoScore, "Beatriz Lourenço Dias", (3_500, 1_700, 36), UnderReview),
        // The income is below 800 euros a month.
        demo_application(Approve, "Inês Carvalho Matos", (1_500, 750, 36), Rejected),
        demo_application(Suspended, "Rui Tavares Nogueira", (3_000, 1_900, 48), Approved),
        demo_application(HighObligations, "Sofia Antunes Reis", (6_000, 1_500, 48), Rejected),
        demo_application(ThinFile, "Duarte Faria Leite", (2_500, 1_300, 24), UnderReview),
        demo_application(Defaults, "Vera Coelho Simões", (4_500, 1_800, 36), Rejected),
        demo_application(NoObligations, "Nuno Barros Amaral", (5_500, 2_000, 36), UnderReview),
        // The amount is more than four times the annual income.
        demo_application(Approve, "Inês Carvalho Matos", (80_000, 1_600, 84), Rejected),
    ],
};

struct Format;

#[derive(Deserialize)]
struct Request {
    mutuario: Borrower,
}

#[derive(Deserialize)]
struct Borrower {
    nif: String,
}

impl WireFormat for Format {
    fn path(&self) -> &'static str {
        "/crc/responsabilidades"
    }

    fn content_type(&self) -> &'static str {
        "application/xml; charset=utf-8"
    }

    fn read_document(&self, body: &[u8]) -> Option<String> {
        let request: Request = quick_xml::de::from_str(std::str::from_utf8(body).ok()?).ok()?;
        Some(request.mutuario.nif)
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let account_status = record.account_status.map(|status| match status {
            AccountStatus::Active => "REGULAR",
            AccountStatus::Inactive => "INATIVA",
            AccountStatus::Suspended => "SUSPENSA",
            AccountStatus::Closed => "ENCERRADA",
            AccountStatus::Unknown => "DESCONHECIDA",
        });
        let owed = [
            element("montanteTotal", record.total_debt),
            element("prestacaoMensal", record.monthly_obligations),
            element("numeroContratos", record.accounts),
        ];
        let body = [
            format!("<cabecalho><referencia>{}</referencia></cabecalho>", record.reference),
            format!("<responsabilidades moeda=\"EUR\">{}</responsabilidades>", owed.concat()),
            element("situacaoContas", account_status),
            element("incumprimento", record.has_defaults.map(|defaults| if defaults { "S" } else { "N" })),
            element("classificacao", record.credit_score.map(|score| score.get())),
        ];
        document(&body.concat())
    }

    fn write_error(&self, code: &str) -> String {
        document(&element("erro", Some(code)))
    }
}

fn document(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <respostaCRC xmlns=\"urn:bportugal:crc:1\">{body}</respostaCRC>"
    )
}
