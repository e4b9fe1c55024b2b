//! The rails' formats from the side of the rail.

use serde_json::{Value, json};

use crate::domain::disbursement::rail::{PaymentStatus, Rail};

/// A submitted payment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) key: String,
    pub(super) destination: String,
    pub(super) amount: String,
}

/// The destination that a look-up is about.
pub(super) fn read_lookup(rail: Rail, body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let member = match rail {
        Rail::Sepa => "iban",
        Rail::Spei => "cuentaBeneficiario",
        Rail::Pix => "chave",
        Rail::CoAch => "cuenta",
    };
    text(&body, member)
}

/// The answer to a look-up.
pub(super) fn write_lookup(rail: Rail, reason: Option<&str>, holder: Option<&str>) -> String {
    let body = match rail {
        Rail::Sepa => json!({"reason": reason, "name": holder}),
        Rail::Spei => json!({"causaRechazo": reason, "nombreBeneficiario": holder}),
        Rail::Pix => json!({"motivo": reason, "nome": holder}),
        Rail::CoAch => json!({"codigo": reason, "titular": holder}),
    };
    body.to_string()
}

/// Reads a submission.
pub(super) fn read_submission(rail: Rail, body: &str) -> Option<Submission> {
    match rail {
        Rail::Sepa => {
            let between = |start: &str, end: &str| {
                let (_, rest) = body.split_once(start)?;
                rest.split_once(end).map(|(text, _)| text.to_owned())
            };
            Some(Submission {
                key: between("<EndToEndId>", "<")?,
                destination: between("<IBAN>", "<")?,
                amount: between("<CtrlSum>", "<")?,
            })
        }
        Rail::Spei => {
            let body: Value = serde_json::from_str(body).ok()?;
            Some(Submission {
                key: text(&body, "claveRastreo")?,
                destination: text(&body, "cuentaBeneficiario")?,
                amount: text(&body, "monto")?,
            })
        }
        Rail::Pix => {
            let body: Value = serde_json::from_str(body).ok()?;
            Some(Submission {
                key: text(&body, "idEnvio")?,
                destination: text(body.get("favorecido")?, "chave")?,
                amount: text(&body, "valor")?,
            })
        }
        Rail::CoAch => {
            let (header, rest) = body.split_once('\n')?;
            let entry = rest.split('\n').next()?;
            let column = |from: usize, length: usize| entry.get(from..from + length).map(str::trim);
            let cents: i64 = column(22, 15)?.parse().ok()?;
            Some(Submission {
                key: header.get(1..33)?.to_owned(),
                destination: format!("{}-{}-{}", column(1, 4)?, column(5, 1)?, column(6, 16)?),
                amount: rust_decimal::Decimal::new(cents, 2).to_string(),
            })
        }
    }
}

/// The media type and body of a status.
pub(super) fn write_status(
    rail: Rail,
    key: &str,
    status: PaymentStatus,
    reason: Option<&str>,
) -> (&'static str, String) {
    let [sepa, spei, pix, ach] = names(status);
    let reference = format!("SIM{}", key.get(..12).unwrap_or(key));
    match rail {
        Rail::Sepa => ("application/xml", pain_002(key, sepa, reason, &reference)),
        Rail::Spei => {
            let body = json!({"claveRastreo": key, "estado": spei, "causa": reason, "folio": reference});
            ("application/json", body.to_string())
        }
        Rail::Pix => {
            let body = json!({"idEnvio": key, "status": pix, "motivo": reason, "endToEndId": reference});
            ("application/json", body.to_string())
        }
        Rail::CoAch => ("text/plain", format!("{key};{ach};{};{reference}", reason.unwrap_or_default())),
    }
}

/// The names of a status at SEPA, SPEI, PIX and the Colombian ACH.
const fn names(status: PaymentStatus) -> [&'static str; 4] {
    match status {
        PaymentStatus::Accepted => ["ACCP", "ACEPTADA", "ACEITO", "ACEPTADO"],
        PaymentStatus::Settled => ["ACSC", "LIQUIDADA", "REALIZADO", "PAGADO"],
        PaymentStatus::Rejected => ["RJCT", "RECHAZADA", "NAO_REALIZADO", "RECHAZADO"],
        PaymentStatus::Returned => ["RTRN", "DEVUELTA", "DEVOLVIDO", "DEVUELTO"],
        PaymentStatus::Unknown | PaymentStatus::NotFound => {
            ["PDNG", "EN_PROCESO", "EM_PROCESSAMENTO", "EN PROCESO"]
        }
    }
}

fn pain_002(key: &str, status: &str, reason: Option<&str>, reference: &str) -> String {
    let reason =
        reason.map_or(String::new(), |code| format!("<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>"));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt>\
         <GrpHdr><MsgId>{reference}</MsgId><CreDtTm>2026-01-31T12:00:00Z</CreDtTm></GrpHdr>\
         <OrgnlGrpInfAndSts><OrgnlMsgId>{key}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts>\
         <OrgnlPmtInfAndSts><OrgnlPmtInfId>{key}</OrgnlPmtInfId><TxInfAndSts><OrgnlEndToEndId>{key}</OrgnlEndToEndId>\
         <TxSts>{status}</TxSts>{reason}<AcctSvcrRef>{reference}</AcctSvcrRef></TxInfAndSts></OrgnlPmtInfAndSts>\
         </CstmrPmtStsRpt></Document>"
    )
}

fn text(body: &Value, member: &str) -> Option<String> {
    body.get(member)?.as_str().map(str::to_owned)
}
