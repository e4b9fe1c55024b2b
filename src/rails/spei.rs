//! SPEI (Banco de México): JSON with Spanish names. The tracking key (`claveRastreo`) is the key of the payment.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Malformed, Message, Payment, RailAdapter, check_key, compact_key, holder, json, read_json};
use crate::domain::disbursement::destination::Destination;
use crate::domain::disbursement::rail::{DestinationAnswer, PaymentAnswer, PaymentStatus, Rail};

/// The account type of a CLABE in SPEI's catalogue.
const CLABE: u8 = 40;

pub(super) struct Spei;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Consulta<'a> {
    cuenta_beneficiario: &'a str,
    tipo_cuenta_beneficiario: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Beneficiario {
    #[serde(default)]
    causa_rechazo: Option<String>,
    #[serde(default)]
    nombre_beneficiario: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Orden<'a> {
    clave_rastreo: String,
    monto: String,
    cuenta_beneficiario: &'a str,
    tipo_cuenta_beneficiario: u8,
    nombre_beneficiario: &'a str,
    concepto_pago: &'static str,
    fecha_operacion: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Estado {
    clave_rastreo: String,
    estado: String,
    #[serde(default)]
    causa: Option<String>,
    #[serde(default)]
    folio: Option<String>,
}

impl RailAdapter for Spei {
    fn rail(&self) -> Rail {
        Rail::Spei
    }

    fn lookup(&self, destination: &Destination) -> Message {
        json(&Consulta { cuenta_beneficiario: destination.reveal(), tipo_cuenta_beneficiario: CLABE })
    }

    fn read_lookup(&self, body: &str) -> Result<DestinationAnswer, Malformed> {
        let read: Beneficiario = read_json(body)?;
        Ok(DestinationAnswer { refused: read.causa_rechazo, holder: holder(read.nombre_beneficiario) })
    }

    fn submit(&self, payment: &Payment) -> Message {
        json(&Orden {
            clave_rastreo: compact_key(payment.key),
            monto: payment.amount.to_string(),
            cuenta_beneficiario: payment.destination.reveal(),
            tipo_cuenta_beneficiario: CLABE,
            nombre_beneficiario: payment.destination.reveal_holder(),
            concepto_pago: "CREDITO AVAL",
            fecha_operacion: payment.started_at.format("%Y%m%d").to_string(),
        })
    }

    fn read_status(&self, key: Uuid, body: &str) -> Result<PaymentAnswer, Malformed> {
        let read: Estado = read_json(body)?;
        check_key(key, &read.clave_rastreo)?;
        let status = match read.estado.as_str() {
            "LIQUIDADA" => PaymentStatus::Settled,
            "ACEPTADA" => PaymentStatus::Accepted,
            "RECHAZADA" => PaymentStatus::Rejected,
            "DEVUELTA" => PaymentStatus::Returned,
            "EN_PROCESO" => PaymentStatus::Unknown,
            _ => return Err(Malformed("an unknown estado")),
        };
        Ok(PaymentAnswer { status, reason: read.causa, reference: read.folio })
    }
}
