//! The `webhook.*` events, which triggers write in the transaction of the change.

use serde_json::json;
use utoipa::openapi::Schema;

use crate::domain::delivery::{Algorithm, DisabledReason};
use crate::events::registry::{Audience, EventType, id, nullable, object, one_of};

const ENDPOINT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const OWNER: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

/// The event types of webhook endpoints.
pub const TYPES: &[EventType] = &[
    EventType {
        name: "webhook.endpoint_created.v1",
        description: "A webhook endpoint was created.",
        audience: Audience::Operations,
        schema: || object(endpoint()),
        example: || json!({"endpoint_id": ENDPOINT, "owner_id": OWNER}),
    },
    EventType {
        name: "webhook.endpoint_changed.v1",
        description: "The URL, filters, order or description of a webhook endpoint changed.",
        audience: Audience::Operations,
        schema: || object(endpoint()),
        example: || json!({"endpoint_id": ENDPOINT, "owner_id": OWNER}),
    },
    EventType {
        name: "webhook.endpoint_disabled.v1",
        description: "A webhook endpoint was disabled: by an account, because it answered with 410, or because every attempt failed for days.",
        audience: Audience::Operations,
        schema: || {
            let [endpoint, owner] = endpoint();
            object([endpoint, owner, ("reason", one_of(DisabledReason::ALL, "Why it was disabled"))])
        },
        example: || json!({"endpoint_id": ENDPOINT, "owner_id": OWNER, "reason": "failing"}),
    },
    EventType {
        name: "webhook.endpoint_enabled.v1",
        description: "A disabled webhook endpoint was enabled.",
        audience: Audience::Operations,
        schema: || object(endpoint()),
        example: || json!({"endpoint_id": ENDPOINT, "owner_id": OWNER}),
    },
    EventType {
        name: "webhook.endpoint_deleted.v1",
        description: "A webhook endpoint was deleted.",
        audience: Audience::Operations,
        schema: || object(endpoint()),
        example: || json!({"endpoint_id": ENDPOINT, "owner_id": null}),
    },
    EventType {
        name: "webhook.secret_rotated.v1",
        description: "A webhook endpoint got a new secret. The previous one stays valid for a while.",
        audience: Audience::Operations,
        schema: || {
            let [endpoint, owner] = endpoint();
            let algorithm = one_of(Algorithm::ALL, "The version of the signatures that the new secret makes");
            object([endpoint, owner, ("algorithm", algorithm)])
        },
        example: || json!({"endpoint_id": ENDPOINT, "owner_id": OWNER, "algorithm": "v1"}),
    },
];

fn endpoint() -> [(&'static str, Schema); 2] {
    [
        ("endpoint_id", id("The endpoint")),
        ("owner_id", nullable(id("The user account or API key that created the endpoint, if one did"))),
    ]
}
