//! Banco de Portugal, Portugal: XML modelled on the central credit register (Central de Responsabilidades de Crédito).
//!
//! Amounts are decimal strings in euros. The currency is an attribute of the element that contains the amounts. Yes and no
//! are `S` and `N`. The score (`classificacao`) already uses the common scale.

mod simulated;

use serde::{Deserialize, Serialize};

use super::report_body::{
    XmlText, add_extras, amount, check_currency, common_score, whole, xml, xml_request, yes_no,
};
use super::{Bureau, BureauAdapter, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData};

pub(super) static BUREAU: Bureau = Bureau {
    adapter: &BancoDePortugal,
    simulated: &simulated::SIMULATED,
    #[cfg(test)]
    samples: tests::SAMPLES,
};

/// The adapter for Portugal.
struct BancoDePortugal;

#[derive(Serialize)]
#[serde(rename = "pedidoCRC")]
struct Pedido<'a> {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    finalidade: &'static str,
    mutuario: Mutuario<'a>,
}

#[derive(Serialize)]
struct Mutuario<'a> {
    nif: &'a str,
    nome: &'a str,
}

#[derive(Deserialize)]
enum Document {
    #[serde(rename = "respostaCRC")]
    Resposta(Resposta),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resposta {
    cabecalho: Cabecalho,
    responsabilidades: Option<Responsabilidades>,
    situacao_contas: Option<XmlText>,
    incumprimento: Option<XmlText>,
    classificacao: Option<XmlText>,
}

#[derive(Deserialize)]
struct Cabecalho {
    referencia: XmlText,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Responsabilidades {
    #[serde(rename = "@moeda")]
    moeda: XmlText,
    montante_total: Option<XmlText>,
    prestacao_mensal: Option<XmlText>,
    numero_contratos: Option<XmlText>,
}

impl BureauAdapter for BancoDePortugal {
    fn name(&self) -> &'static str {
        "Banco de Portugal"
    }

    fn label(&self) -> &'static str {
        "banco_de_portugal"
    }

    fn country(&self) -> Country {
        Country::Pt
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        let pedido = Pedido {
            namespace: "urn:bportugal:crc:1",
            finalidade: "CONCESSAO",
            mutuario: Mutuario { nif: subject.identity_document.reveal(), nome: subject.full_name.reveal() },
        };
        BureauRequest {
            path: "/crc/responsabilidades",
            content_type: "application/xml; charset=utf-8",
            accept: "application/xml",
            body: xml_request(&pedido),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let Document::Resposta(resposta) = xml(body)?;
        let mut data = BankingData::empty(self.name());
        data.account_status = resposta.situacao_contas.as_deref().map(account_status);
        data.credit_score =
            common_score("classificacao", whole("classificacao", resposta.classificacao.as_deref())?)?;
        data.has_defaults = yes_no("incumprimento", resposta.incumprimento.as_deref(), ("S", "N"))?;
        let mut contracts = None;
        if let Some(owed) = resposta.responsabilidades {
            check_currency("responsabilidades/@moeda", &owed.moeda, self.country().currency())?;
            data.total_debt = amount("montanteTotal", owed.montante_total.as_deref())?;
            data.monthly_obligations = amount("prestacaoMensal", owed.prestacao_mensal.as_deref())?;
            contracts = whole("numeroContratos", owed.numero_contratos.as_deref())?;
        }
        add_extras(&mut data, &resposta.cabecalho.referencia, contracts)?;
        Ok(data)
    }
}

fn account_status(word: &str) -> AccountStatus {
    match word {
        "REGULAR" => AccountStatus::Active,
        "INATIVA" => AccountStatus::Inactive,
        "SUSPENSA" => AccountStatus::Suspended,
        "ENCERRADA" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use crate::providers::tests::Samples;

    pub(in crate::providers) const SAMPLES: Samples = Samples {
        full: r#"<?xml version="1.0" encoding="UTF-8"?>
           <!-- mapa mensal -->
           <crc:respostaCRC xmlns:crc="urn:bportugal:crc:1">
             <crc:cabecalho><crc:referencia>R-1</crc:referencia><crc:data>2026-01-31</crc:data></crc:cabecalho>
             <crc:responsabilidades moeda="EUR">
               <crc:prestacaoMensal>410.05</crc:prestacaoMensal>
               <crc:montanteTotal>12345.60</crc:montanteTotal>
               <crc:numeroContratos>4</crc:numeroContratos>
             </crc:responsabilidades>
             <crc:incumprimento>S</crc:incumprimento>
             <crc:situacaoContas>SUSPENSA</crc:situacaoContas>
             <crc:classificacao>640</crc:classificacao>
             <crc:observacoes><crc:linha>x</crc:linha><crc:linha>y</crc:linha></crc:observacoes>
           </crc:respostaCRC>
        "#,
        bare: "<respostaCRC><cabecalho><referencia>R-2</referencia></cabecalho></respostaCRC>",
        ignored: Some("<crc:incumprimento>"),
        has_income: false,
        has_verification: false,
        account_status: ("SUSPENSA", "OTRA"),
        malformed: &[
            ("640", "0x1F4"),
            ("640", "+640"),
            ("640", "900"),
            (">640<", "><"),
            ("12345.60", "12 345,60"),
            ("12345.60", "<b>12345.60</b>"),
            ("410.05", "NaN"),
            (">S<", ">Sim<"),
            ("EUR", "PTE"),
            (" moeda=\"EUR\"", ""),
            ("<crc:incumprimento>", "<crc:incumprimento>N</crc:incumprimento><crc:incumprimento>"),
            ("12345.60", "&debt;"),
        ],
    };
}
