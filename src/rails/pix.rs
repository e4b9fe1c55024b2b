//! PIX (Banco Central do Brasil): JSON with Portuguese names. `idEnvio` is the key of the payment.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Malformed, Message, Payment, RailAdapter, check_key, compact_key, holder, json, read_json};
use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, PaymentStatus, Rail};

pub(super) struct Pix;

#[derive(Serialize)]
struct Consulta<'a> {
    chave: &'a str,
}

#[derive(Deserialize)]
struct Titular {
    #[serde(default)]
    motivo: Option<String>,
    #[serde(default)]
    nome: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envio<'a> {
    id_envio: String,
    valor: String,
    favorecido: Consulta<'a>,
    horario: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Situacao {
    id_envio: String,
    status: String,
    #[serde(default)]
    motivo: Option<String>,
    #[serde(default)]
    end_to_end_id: Option<String>,
}

impl RailAdapter for Pix {
    fn rail(&self) -> Rail {
        Rail::Pix
    }

    fn lookup(&self, destination: &Destination) -> Message {
        json(&Consulta { chave: destination.reveal() })
    }

    fn read_lookup(&self, body: &str) -> Result<DestinationAnswer, Malformed> {
        let read: Titular = read_json(body)?;
        Ok(DestinationAnswer { refused: read.motivo, holder: holder(read.nome) })
    }

    fn submit(&self, payment: &Payment) -> Message {
        json(&Envio {
            id_envio: compact_key(payment.key),
            valor: payment.amount.to_string(),
            favorecido: Consulta { chave: payment.destination.reveal() },
            horario: payment.started_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        })
    }

    fn read_status(&self, key: Uuid, body: &str) -> Result<PaymentAnswer, Malformed> {
        let read: Situacao = read_json(body)?;
        check_key(key, &read.id_envio)?;
        let status = match read.status.as_str() {
            "REALIZADO" => PaymentStatus::Settled,
            "ACEITO" => PaymentStatus::Accepted,
            "NAO_REALIZADO" => PaymentStatus::Rejected,
            "DEVOLVIDO" => PaymentStatus::Returned,
            "EM_PROCESSAMENTO" => PaymentStatus::Unknown,
            _ => return Err(Malformed("an unknown status")),
        };
        Ok(PaymentAnswer { status, reason: read.motivo, reference: read.end_to_end_id })
    }
}
