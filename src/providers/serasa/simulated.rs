//! Simulates Serasa's format: a list of reports in JSON, with a score from 0 to 1000 and amounts such as
//! `1.234,56`.

use serde_json::json;

use crate::domain::banking::AccountStatus;
use crate::domain::money::Money;
use crate::domain::status::Status::{Approved, Rejected, UnderReview};
use crate::providers::serasa::SCALE;
use crate::providers::simulator::bureau::{CleanFigures, SimulatedBureau, demo_application};
use crate::providers::simulator::record::BureauRecord;
use crate::providers::simulator::scenario::Scenario::{
    Approve, Defaults, HighObligations, LowScore, Malformed, NoObligations, NoScore, RateLimited,
    ServerError, Slow, Suspended, ThinFile, Timeout, Unauthorized, Unavailable,
};
use crate::providers::simulator::wire::{WireFormat, json_text, without_nulls};

pub(super) static SIMULATED: SimulatedBureau = SimulatedBureau {
    format: &Format,
    typical_monthly_income: 6_000,
    clean: CleanFigures { score: 760, monthly_obligations: 450, total_debt: 10_800 },
    with_loan_defaults: UnderReview,
    with_unknown_obligations: UnderReview,
    family: "190nnnnss??",
    documents: &[
        (Approve, "12345678909"),
        (LowScore, "10000000280"),
        (HighObligations, "10000000361"),
        (Defaults, "10000000442"),
        (Suspended, "10000000523"),
        (ThinFile, "10000000876"),
        (NoScore, "10000000957"),
        (NoObligations, "10000001090"),
        (ServerError, "10000001171"),
        (Unavailable, "10000001252"),
        (Timeout, "10000001333"),
        (Malformed, "10000001414"),
        (Unauthorized, "10000001503"),
        (RateLimited, "10000001686"),
        (Slow, "10000001767"),
    ],
    demo_applications: [
        demo_application(Approve, "Renata Azevedo Lima", (20_000, 6_500, 36), Approved),
        demo_application(HighObligations, "Marcelo Teixeira Prado", (15_000, 6_000, 36), Rejected),
        demo_application(Defaults, "Patrícia Nunes Rezende", (12_000, 7_000, 36), UnderReview),
        demo_application(LowScore, "Gustavo Barreto Melo", (10_000, 6_000, 36), Rejected),
        demo_application(Suspended, "Larissa Fontes Moura", (8_000, 6_200, 36), Approved),
        demo_application(ThinFile, "Eduardo Sampaio Rocha", (9_000, 5_500, 24), UnderReview),
        // The income is below 2,000 reais a month.
        demo_application(Approve, "Renata Azevedo Lima", (3_000, 1_900, 36), Rejected),
        demo_application(NoObligations, "Camila Freitas Duarte", (11_000, 6_800, 36), UnderReview),
        // The amount is above 100,000 reais.
        demo_application(Approve, "Renata Azevedo Lima", (120_000, 15_000, 60), Rejected),
        // The amount is more than five times the annual income.
        demo_application(Approve, "Renata Azevedo Lima", (200_000, 3_000, 84), Rejected),
    ],
};

struct Format;

impl WireFormat for Format {
    fn path(&self) -> &'static str {
        "/credit-services/person-information-report/v1/creditreport"
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn read_document(&self, body: &[u8]) -> Option<String> {
        json_text(body, "/documentNumber")
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let situacao = record.account_status.map(|status| match status {
            AccountStatus::Active => "ATIVA",
            AccountStatus::Inactive => "INATIVA",
            AccountStatus::Suspended => "BLOQUEADA",
            AccountStatus::Closed => "ENCERRADA",
            AccountStatus::Unknown => "NAO_INFORMADA",
        });
        let score =
            record.credit_score.map(|score| json!({"score": SCALE.nearest_to(score), "model": "HSPN"}));
        let negativacoes =
            record.has_defaults.map(|defaults| json!({"ativas": if defaults { "SIM" } else { "NAO" }}));
        let resposta = json!({"reports": [{
            "reportId": record.reference,
            "score": score,
            "situacaoConta": situacao,
            "compromissos": {
                "dividaTotal": record.total_debt.map(reais),
                "parcelaMensal": record.monthly_obligations.map(reais),
                "contratos": record.accounts,
            },
            "rendaMediaMensal": record.average_monthly_income.map(reais),
            "negativacoes": negativacoes,
        }]});
        without_nulls(resposta).to_string()
    }

    fn write_error(&self, code: &str) -> String {
        json!({"errors": [{"code": code}]}).to_string()
    }
}

/// Formats `1234.56` as `1.234,56`.
fn reais(money: Money) -> String {
    let text = money.to_string();
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push('.');
        }
        grouped.push(digit);
    }
    format!("{grouped},{cents}")
}
