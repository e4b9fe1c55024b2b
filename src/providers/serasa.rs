//! Serasa Experian, Brazil: JSON with a list of reports and amounts in Brazilian notation (`1.234,56`).
//!
//! The Serasa Score is from 0 to 1000 and is mapped linearly onto 300-850, rounded half to even (`score_scale`).
//! Amounts must have correctly placed thousands separators and exactly two decimal places. Similar strings such as `1.23,45`
//! or `1234.56` are rejected, because reading them wrongly could change the amount by a factor of a hundred.

mod simulated;

use serde::{Deserialize, Serialize};

use super::report_body::{add_extras, json, json_request, malformed, yes_no};
use super::score_scale::ScoreScale;
use super::{Bureau, BureauAdapter, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData};
use crate::domain::money::Money;

pub(super) static BUREAU: Bureau = Bureau {
    adapter: &Serasa,
    simulated: &simulated::SIMULATED,
    #[cfg(test)]
    samples: tests::SAMPLES,
};

/// The adapter for Brazil.
struct Serasa;

/// The range of the Serasa Score.
pub(super) const SCALE: ScoreScale = ScoreScale { low: 0, high: 1000 };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Consulta<'a> {
    report_name: &'static str,
    document_number: &'a str,
    consumer_name: &'a str,
}

#[derive(Deserialize)]
struct Resposta {
    reports: Vec<Relatorio>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relatorio {
    report_id: String,
    score: Option<Score>,
    situacao_conta: Option<String>,
    compromissos: Option<Compromissos>,
    renda_media_mensal: Option<String>,
    negativacoes: Option<Negativacoes>,
}

#[derive(Deserialize)]
struct Score {
    score: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Compromissos {
    divida_total: Option<String>,
    parcela_mensal: Option<String>,
    contratos: Option<u16>,
}

#[derive(Deserialize)]
struct Negativacoes {
    ativas: Option<String>,
}

impl BureauAdapter for Serasa {
    fn name(&self) -> &'static str {
        "Serasa Experian"
    }

    fn label(&self) -> &'static str {
        "serasa"
    }

    fn country(&self) -> Country {
        Country::Br
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        let consulta = Consulta {
            report_name: "RELATORIO_BASICO_PF",
            document_number: subject.identity_document.reveal(),
            consumer_name: subject.full_name.reveal(),
        };
        BureauRequest {
            path: "/credit-services/person-information-report/v1/creditreport",
            content_type: "application/json",
            accept: "application/json",
            body: json_request(&consulta),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let Resposta { reports } = json(body)?;
        let [relatorio] = <[Relatorio; 1]>::try_from(reports)
            .map_err(|reports| malformed(format!("{} reports instead of one", reports.len())))?;
        let compromissos = relatorio.compromissos.unwrap_or_default();
        let mut data = BankingData::empty(self.name());
        data.account_status = relatorio.situacao_conta.as_deref().map(account_status);
        if let Some(Score { score }) = relatorio.score {
            let mapped = SCALE.to_common(score).ok_or_else(|| malformed("score is not 0 to 1000"))?;
            data.credit_score = Some(mapped);
        }
        data.total_debt = reais("dividaTotal", compromissos.divida_total.as_deref())?;
        data.monthly_obligations = reais("parcelaMensal", compromissos.parcela_mensal.as_deref())?;
        data.average_monthly_income = reais("rendaMediaMensal", relatorio.renda_media_mensal.as_deref())?;
        let defaults = relatorio.negativacoes.and_then(|negativacoes| negativacoes.ativas);
        data.has_defaults = yes_no("negativacoes.ativas", defaults.as_deref(), ("SIM", "NAO"))?;
        add_extras(&mut data, &relatorio.report_id, compromissos.contratos)?;
        Ok(data)
    }
}

fn reais(field: &str, text: Option<&str>) -> Result<Option<Money>, MalformedReport> {
    text.map(|text| {
        plain_decimal(text)
            .and_then(|plain| Money::parse(&plain).ok())
            .ok_or_else(|| malformed(format!("{field} is not an amount such as 1.234,56")))
    })
    .transpose()
}

/// Converts `1.234,56` to `1234.56`. `None` if the separators are misplaced or there are not exactly two decimal places.
fn plain_decimal(text: &str) -> Option<String> {
    let (whole, cents) = text.split_once(',')?;
    let mut groups = whole.split('.');
    let first = groups.next()?;
    let well_grouped = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
    (well_grouped && cents.len() == 2).then(|| format!("{}.{cents}", whole.replace('.', "")))
}

fn account_status(word: &str) -> AccountStatus {
    match word {
        "ATIVA" => AccountStatus::Active,
        "INATIVA" => AccountStatus::Inactive,
        "BLOQUEADA" => AccountStatus::Suspended,
        "ENCERRADA" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::tests::Samples;

    pub(in crate::providers) const SAMPLES: Samples = Samples {
        full: r#"{"optionalFeatures": null, "reports": [{
            "reportId": "R-1", "score": {"score": 618, "model": "HSPN"}, "situacaoConta": "BLOQUEADA",
            "compromissos": {"dividaTotal": "12.345,60", "parcelaMensal": "410,05", "contratos": 4},
            "rendaMediaMensal": "2.100,99", "negativacoes": {"ativas": "SIM", "lista": [1, 2]}
        }]}"#,
        bare: r#"{"reports": [{"reportId": "R-2", "negativacoes": {"ativas": null}}]}"#,
        ignored: Some("[1, 2]"),
        has_income: true,
        has_verification: false,
        account_status: ("BLOQUEADA", "OTRA"),
        malformed: &[
            ("618", "1001"),
            ("618", "-1"),
            ("12.345,60", "12345.60"),
            ("12.345,60", "12.345.60"),
            ("410,05", "410"),
            ("SIM", "sim"),
            ("\"reports\": [", "\"reports\": [{\"reportId\": \"R-0\"}, "),
        ],
    };

    #[test]
    fn brazilian_amounts_are_parsed_exactly_or_rejected() {
        for (text, shown) in [
            ("0,00", "0.00"),
            ("7,05", "7.05"),
            ("999,99", "999.99"),
            ("1.234,56", "1234.56"),
            ("9.999.999.999,99", "9999999999.99"),
        ] {
            assert_eq!(reais("x", Some(text)).unwrap().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            ",",
            "1",
            "1,5",
            "1,555",
            "1234,56",
            "1.23,45",
            "12.34,56",
            ".234,56",
            "1..234,56",
            "1.234.56",
            "1234.56",
            "-1,00",
            "R$ 1,00",
            "1,00 ",
            "10.000.000.000,00",
            "１,00",
            "1.2é,00",
        ] {
            assert!(reais("x", Some(bad)).is_err(), "{bad:?}");
        }
    }
}
