//! The server side of Serasa's format: a list of reports in JSON, with a score from 0 to 1000 and amounts such as
//! `1.234,56`.

use serde_json::json;

use super::{WireFormat, json_text, without_nulls};
use crate::domain::banking::AccountStatus;
use crate::domain::money::Money;
use crate::providers::serasa::SCALE;
use crate::providers::simulator::record::BureauRecord;

pub(super) struct Format;

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
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push('.');
        }
        grouped.push(digit);
    }
    format!("{grouped},{cents}")
}
