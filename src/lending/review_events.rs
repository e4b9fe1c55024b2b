//! The `review.*` events, which a trigger writes in the transaction of the change.

use serde_json::json;

use crate::domain::application::Country;
use crate::events::registry::{Audience, EventType, id, object, one_of, timestamp};

/// The event types of assignments.
pub const TYPES: &[EventType] = &[
    EventType {
        name: "review.assigned.v1",
        description: "An application under review was assigned to a user account, or its assignment was extended.",
        audience: Audience::Staff,
        schema: || {
            object([
                ("application_id", id("The application")),
                ("country", one_of(&Country::ALL, "Its country")),
                ("assigned_to", id("The user account")),
                ("expires_at", timestamp("When the assignment expires")),
            ])
        },
        example: || {
            json!({
                "application_id": APPLICATION, "country": "ES", "assigned_to": ACCOUNT,
                "expires_at": "2026-01-31T12:15:00.000000Z",
            })
        },
    },
    EventType {
        name: "review.released.v1",
        description: "An assignment ended before it expired: it was released, or the review ended.",
        audience: Audience::Staff,
        schema: || {
            object([
                ("application_id", id("The application")),
                ("country", one_of(&Country::ALL, "Its country")),
                ("assigned_to", id("The user account that it was assigned to")),
            ])
        },
        example: || json!({"application_id": APPLICATION, "country": "ES", "assigned_to": ACCOUNT}),
    },
];

const APPLICATION: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const ACCOUNT: &str = "01890a5d-ac96-774b-bcce-b302099a8058";
