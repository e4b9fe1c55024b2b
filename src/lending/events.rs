//! The `application.*` events, which triggers write in the transaction of the change.

use serde_json::{Value, json};
use utoipa::openapi::Schema;

use crate::domain::application::Country;
use crate::domain::status::Status;
use crate::events::registry::{Audience, EventType, id, integer, nullable, object, one_of, text, timestamp};

/// The event types of applications.
pub const TYPES: &[EventType] = &[
    event_type("application.created.v1", "An application was created."),
    event_type("application.status_changed.v1", "The status of an application changed."),
    event_type(
        "application.evaluated.v1",
        "The bureau report or risk score of an application changed, but not its status.",
    ),
    event_type("application.data_changed.v1", "The country-specific data of an application changed."),
    event_type("application.deleted.v1", "An application was deleted."),
    event_type("application.restored.v1", "A deleted application was restored."),
];

const fn event_type(name: &'static str, description: &'static str) -> EventType {
    EventType { name, description, audience: Audience::Owner, schema, example }
}

fn schema() -> Schema {
    object([
        ("id", id("The application")),
        ("country", one_of(&Country::ALL, "Its country")),
        ("status", one_of(&Status::ALL, "Its status after the change")),
        (
            "previous_status",
            nullable(one_of(&Status::ALL, "Its status before the change; null for the creation")),
        ),
        ("risk_score", nullable(text("The risk score of the last decision, with two decimal places"))),
        ("version", integer("Its version after the change")),
        ("created_by", text("The account that created it")),
        ("updated_at", timestamp("The time of the change")),
    ])
}

fn example() -> Value {
    json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "country": "ES", "status": "APPROVED",
        "previous_status": "VALIDATING", "risk_score": "25.96", "version": 3, "created_by": "ana",
        "updated_at": "2026-01-31T12:00:00.000000Z",
    })
}
