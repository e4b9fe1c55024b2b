//! The server side of Banco de Portugal's format: XML elements.

use serde::Deserialize;

use super::{WireFormat, element};
use crate::domain::banking::AccountStatus;
use crate::providers::simulator::record::BureauRecord;

pub(super) struct Format;

#[derive(Deserialize)]
struct Question {
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
        let question: Question = quick_xml::de::from_str(std::str::from_utf8(body).ok()?).ok()?;
        Some(question.mutuario.nif)
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let standing = record.account_status.map(|status| match status {
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
            element("situacaoContas", standing),
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
