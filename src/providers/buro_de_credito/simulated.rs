//! Simulates Buró de Crédito's format: the INTL line of tags, lengths and values, with amounts in centavos.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::domain::banking::AccountStatus;
use crate::domain::money::Money;
use crate::domain::status::Status::{Approved, Rejected, UnderReview};
use crate::providers::simulator::bureau::{CleanFigures, SimulatedBureau, demo_application};
use crate::providers::simulator::record::BureauRecord;
use crate::providers::simulator::scenario::Scenario::{
    Approve, Defaults, LowScore, Malformed, NoObligations, NoScore, RateLimited, ServerError, Slow,
    Suspended, ThinFile, Timeout, Unauthorized, Unavailable,
};
use crate::providers::simulator::wire::WireFormat;

pub(super) static SIMULATED: SimulatedBureau = SimulatedBureau {
    format: &Format,
    typical_monthly_income: 20_000,
    clean: CleanFigures { score: 740, monthly_obligations: 1_500, total_debt: 36_000 },
    with_loan_defaults: UnderReview,
    with_unknown_obligations: Approved,
    family: "HERM7n01ssMDFccc0?",
    documents: &[
        (Approve, "HERM850101MDFRRR08"),
        (LowScore, "HERM850102MDFRRR09"),
        (Defaults, "HERM850104MDFRRR01"),
        (Suspended, "HERM850105MDFRRR02"),
        (ThinFile, "HERM850108MDFRRR05"),
        (NoScore, "HERM850109MDFRRR06"),
        (NoObligations, "HERM850110MDFRRR07"),
        (ServerError, "HERM850111MDFRRR08"),
        (Unavailable, "HERM850112MDFRRR09"),
        (Timeout, "HERM850113MDFRRR00"),
        (Malformed, "HERM850114MDFRRR01"),
        (Unauthorized, "HERM850115MDFRRR02"),
        (RateLimited, "HERM850116MDFRRR03"),
        (Slow, "HERM850117MDFRRR04"),
    ],
    demo_applications: [
        demo_application(Approve, "María Hernández Ríos", (80_000, 24_000, 36), Approved),
        demo_application(LowScore, "Guadalupe Navarro Téllez", (60_000, 20_000, 36), Rejected),
        demo_application(ThinFile, "Ximena Cárdenas Luna", (40_000, 18_000, 24), UnderReview),
        demo_application(Suspended, "Fernanda Rosales Vega", (30_000, 20_000, 36), Approved),
        demo_application(Defaults, "Alejandra Ibarra Solís", (50_000, 22_000, 36), UnderReview),
        // The instalment is above 30 % of the monthly income.
        demo_application(Approve, "María Hernández Ríos", (200_000, 18_000, 36), Rejected),
        demo_application(NoObligations, "Daniela Zamora Peña", (45_000, 21_000, 36), Approved),
        // The income is below 5,000 pesos a month.
        demo_application(Approve, "María Hernández Ríos", (9_000, 4_800, 36), Rejected),
        demo_application(NoScore, "Teresa Olvera Campos", (35_000, 19_000, 36), UnderReview),
        // The amount is more than three times the annual income.
        demo_application(Approve, "María Hernández Ríos", (900_000, 20_000, 84), Rejected),
    ],
};

struct Format;

/// `INTL14`, a reference of 25 characters, product `001`, country `MX`.
const REQUEST_HEADER_LEN: usize = 36;
/// The end segment: `ES`, its length, five digits of message length, and the end mark.
const END_LEN: usize = 15;

impl WireFormat for Format {
    fn path(&self) -> &'static str {
        "/intl/consulta"
    }

    fn content_type(&self) -> &'static str {
        "text/plain; charset=us-ascii"
    }

    fn read_document(&self, body: &[u8]) -> Option<String> {
        let request = std::str::from_utf8(body).ok().filter(|text| text.is_ascii())?;
        let end = format!("ES05{:05}0002**", request.len());
        let (header, mut fields) = request.strip_suffix(&end)?.split_at_checked(REQUEST_HEADER_LEN)?;
        if !header.starts_with("INTL14") || !header.ends_with("001MX") {
            return None;
        }
        let mut document = None;
        while !fields.is_empty() {
            let (tag, rest) = fields.split_at_checked(2)?;
            let (length, rest) = rest.split_at_checked(2)?;
            let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
            if tag == "08" {
                document = Some(value.to_owned());
            }
            fields = rest;
        }
        document
    }

    fn write_report(&self, record: &BureauRecord) -> String {
        let account_status = record.account_status.map(|status| match status {
            AccountStatus::Active => "AC",
            AccountStatus::Inactive => "IN",
            AccountStatus::Suspended => "SU",
            AccountStatus::Closed => "CE",
            AccountStatus::Unknown => "ND",
        });
        // -008: too little information for a score.
        let score = record.credit_score.map_or("-008".to_owned(), |score| format!("{:04}", score.get()));
        let fields = [
            field("RS", Some("01".to_owned())),
            field("00", record.accounts.map(|accounts| format!("{accounts:04}"))),
            field("01", record.total_debt.map(centavos)),
            field("02", record.monthly_obligations.map(centavos)),
            field("03", account_status.map(str::to_owned)),
            field("04", record.has_defaults.map(|defaults| if defaults { "S" } else { "N" }.to_owned())),
            field("SC", Some("BC SCORE".to_owned())),
            field("00", Some("007".to_owned())),
            field("01", Some(score)),
        ];
        with_end(format!("INTL14{:<25}MXMXN{}", record.reference, fields.concat()))
    }

    fn write_error(&self, code: &str) -> String {
        with_end(format!("ERRR{:<25}{}", "", field("UR", Some(code.to_owned()))))
    }
}

fn field(tag: &str, value: Option<String>) -> String {
    value.map(|value| format!("{tag}{:02}{value}", value.len())).unwrap_or_default()
}

fn centavos(money: Money) -> String {
    format!("{:012}", (money.amount() * Decimal::ONE_HUNDRED).to_u64().unwrap_or_default())
}

fn with_end(message: String) -> String {
    format!("{message}ES05{:05}0002**", message.len() + END_LEN)
}
