//! The `disbursement.*` events, which a trigger writes in the transaction of the change.

use serde_json::json;
use utoipa::openapi::Schema;

use crate::domain::application::Country;
use crate::domain::disbursement::workflow::State;
use crate::events::registry::{Audience, EventType, id, nullable, object, one_of, text};

const DISBURSEMENT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const APPLICATION: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

/// The event types of disbursements.
pub const TYPES: &[EventType] = &[
    EventType {
        name: "disbursement.requested.v1",
        description: "The disbursement of an application was requested, or a payment came back and its reversal began.",
        audience: Audience::Operations,
        schema: || object(disbursement()),
        example: || {
            json!({
                "disbursement_id": DISBURSEMENT, "application_id": APPLICATION, "country": "ES", "state": "PENDING",
                "reason": null, "reverses": null,
            })
        },
    },
    EventType {
        name: "disbursement.state_changed.v1",
        description: "The state of a disbursement changed.",
        audience: Audience::Operations,
        schema: || {
            let [a, b, c, d, e, f] = disbursement();
            object([a, b, c, d, e, f, ("previous_state", one_of(State::ALL, "Its state before the change"))])
        },
        example: || {
            json!({
                "disbursement_id": DISBURSEMENT, "application_id": APPLICATION, "country": "ES", "state": "CONFIRMED",
                "reason": null, "reverses": null, "previous_state": "SUBMITTED",
            })
        },
    },
];

fn disbursement() -> [(&'static str, Schema); 6] {
    [
        ("disbursement_id", id("The disbursement")),
        ("application_id", id("The application that is paid out")),
        ("country", one_of(&Country::ALL, "Its country")),
        ("state", one_of(State::ALL, "The state of the disbursement after the change")),
        (
            "reason",
            nullable(text("The last reason code, such as `AC04` of the rail or `insufficient_funds`")),
        ),
        ("reverses", nullable(id("The disbursement whose payment came back, if this is a reversal"))),
    ]
}
