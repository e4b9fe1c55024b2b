//! The messages as types: the members that Aval writes and reads, in the order of the schemas.

use serde::{Deserialize, Serialize};

use crate::rails::{Payment, compact_key};

const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09";
const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
/// The name of the payer. Aval has one account per currency at the bank.
const DEBTOR: &str = "Aval";
/// The longest name in the SEPA schemes.
const MAX_NAME_CHARS: usize = 70;

/// `pain.001.001.09`.
#[derive(Serialize)]
#[serde(rename = "Document")]
pub(super) struct CreditTransfer {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    #[serde(rename = "CstmrCdtTrfInitn")]
    initiation: Initiation,
}

#[derive(Serialize)]
struct Initiation {
    #[serde(rename = "GrpHdr")]
    header: Header,
    #[serde(rename = "PmtInf")]
    information: Information,
}

#[derive(Serialize)]
struct Header {
    #[serde(rename = "MsgId")]
    id: String,
    #[serde(rename = "CreDtTm")]
    created_at: String,
    #[serde(rename = "NbOfTxs")]
    count: u8,
    #[serde(rename = "CtrlSum")]
    sum: String,
    #[serde(rename = "InitgPty")]
    initiator: Party,
}

#[derive(Serialize)]
struct Information {
    #[serde(rename = "PmtInfId")]
    id: String,
    #[serde(rename = "PmtMtd")]
    method: &'static str,
    #[serde(rename = "PmtTpInf")]
    kind: PaymentType,
    #[serde(rename = "ReqdExctnDt")]
    execute_on: ExecutionDate,
    #[serde(rename = "Dbtr")]
    debtor: Party,
    #[serde(rename = "ChrgBr")]
    charges: &'static str,
    #[serde(rename = "CdtTrfTxInf")]
    transaction: Transaction,
}

#[derive(Serialize)]
struct PaymentType {
    #[serde(rename = "SvcLvl")]
    level: Code,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Code {
    #[serde(rename = "Cd")]
    pub(super) code: String,
}

#[derive(Serialize)]
struct ExecutionDate {
    #[serde(rename = "Dt")]
    date: String,
}

#[derive(Serialize)]
struct Party {
    #[serde(rename = "Nm")]
    name: String,
}

#[derive(Serialize)]
struct Transaction {
    #[serde(rename = "PmtId")]
    id: PaymentId,
    #[serde(rename = "Amt")]
    amount: Amount,
    #[serde(rename = "Cdtr")]
    creditor: Party,
    #[serde(rename = "CdtrAcct")]
    account: Account,
}

#[derive(Serialize)]
struct PaymentId {
    #[serde(rename = "InstrId")]
    instruction: String,
    #[serde(rename = "EndToEndId")]
    end_to_end: String,
}

#[derive(Serialize)]
struct Amount {
    #[serde(rename = "InstdAmt")]
    instructed: Instructed,
}

#[derive(Serialize)]
struct Instructed {
    #[serde(rename = "@Ccy")]
    currency: &'static str,
    #[serde(rename = "$text")]
    amount: String,
}

#[derive(Serialize)]
struct Account {
    #[serde(rename = "Id")]
    id: AccountId,
}

#[derive(Serialize)]
struct AccountId {
    #[serde(rename = "IBAN")]
    iban: String,
}

impl CreditTransfer {
    pub(super) fn of(payment: &Payment) -> Self {
        let (key, amount) = (compact_key(payment.key), payment.amount.to_string());
        let name = payment.destination.reveal_holder().chars().take(MAX_NAME_CHARS).collect();
        let header = Header {
            id: key.clone(),
            created_at: payment.started_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            count: 1,
            sum: amount.clone(),
            initiator: Party { name: DEBTOR.to_owned() },
        };
        let transaction = Transaction {
            id: PaymentId { instruction: key.clone(), end_to_end: key.clone() },
            amount: Amount { instructed: Instructed { currency: payment.currency, amount } },
            creditor: Party { name },
            account: Account { id: AccountId { iban: payment.destination.reveal().to_owned() } },
        };
        let information = Information {
            id: key,
            method: "TRF",
            kind: PaymentType { level: Code { code: "SEPA".to_owned() } },
            execute_on: ExecutionDate { date: payment.started_at.format("%Y-%m-%d").to_string() },
            debtor: Party { name: DEBTOR.to_owned() },
            charges: "SLEV",
            transaction,
        };
        Self { namespace: NAMESPACE, initiation: Initiation { header, information } }
    }

    /// The message. Serializing these types cannot fail.
    pub(super) fn to_xml(&self) -> String {
        let root = quick_xml::se::to_string(self).unwrap_or_default();
        format!("{DECLARATION}{root}")
    }
}

/// `pain.002.001.10`, as far as Aval reads it.
#[derive(Deserialize)]
pub(super) struct StatusReport {
    #[serde(rename = "CstmrPmtStsRpt")]
    report: Report,
}

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "OrgnlPmtInfAndSts")]
    payment: OriginalPayment,
}

#[derive(Deserialize)]
struct OriginalPayment {
    #[serde(rename = "TxInfAndSts")]
    transaction: TransactionStatus,
}

/// The status of the transaction.
#[derive(Deserialize)]
pub(super) struct TransactionStatus {
    #[serde(rename = "OrgnlEndToEndId")]
    pub(super) end_to_end: String,
    #[serde(rename = "TxSts")]
    pub(super) status: String,
    #[serde(rename = "StsRsnInf", default)]
    pub(super) reason: Option<StatusReason>,
    #[serde(rename = "AcctSvcrRef", default)]
    pub(super) reference: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct StatusReason {
    #[serde(rename = "Rsn")]
    pub(super) reason: Code,
}

impl StatusReport {
    pub(super) fn transaction(&self) -> &TransactionStatus {
        &self.report.payment.transaction
    }
}
