//! The `dead_letter.*` events, which triggers and statements write in the transaction of the change.
//!
//! A dead letter about an event of this family has no event itself. Otherwise a consumer or a webhook endpoint that always
//! fails would produce events without end.

use serde_json::{Value, json};
use utoipa::openapi::Schema;

use super::registry::{Audience, EventType, id, integer, nullable, object, one_of, text};

/// The event types of dead letters.
pub const TYPES: &[EventType] = &[
    EventType {
        name: "dead_letter.created.v1",
        description: "A job used up its attempts, or a consumer could not handle an event.",
        audience: Audience::Operations,
        schema: dead_letter,
        example: job,
    },
    EventType {
        name: "dead_letter.reviewed.v1",
        description: "An operator marked the dead letter of a job as reviewed.",
        audience: Audience::Operations,
        schema: dead_letter,
        example: job,
    },
    EventType {
        name: "dead_letter.reprocessed.v1",
        description: "The job of a dead letter was queued again.",
        audience: Audience::Operations,
        schema: dead_letter,
        example: job,
    },
    EventType {
        name: "dead_letter.ignored.v1",
        description: "An operator marked the dead letter of a job as ignored.",
        audience: Audience::Operations,
        schema: dead_letter,
        example: job,
    },
    EventType {
        name: "dead_letter.replayed.v1",
        description: "The consumer handles the event of a dead letter again.",
        audience: Audience::Operations,
        schema: dead_letter,
        example: event,
    },
    EventType {
        name: "dead_letter.skipped.v1",
        description: "The dead letter of a consumer was removed as if the event had been handled.",
        audience: Audience::Operations,
        schema: dead_letter,
        example: event,
    },
];

fn dead_letter() -> Schema {
    object([
        ("dead_letter_id", id("The dead letter")),
        ("kind", one_of(&["job", "event"], "Whether it is a job or an event of a consumer")),
        ("name", text("The task of the job, or the consumer")),
        (
            "event_type",
            nullable(text("The type of the event, or of the event that a webhook delivery sends")),
        ),
        ("error_type", text("The code of the last error")),
        ("attempts", integer("The number of attempts")),
    ])
}

fn job() -> Value {
    json!({"dead_letter_id": "01890a5d-ac96-774b-bcce-b302099a8057", "kind": "job", "name": "process_credit_application",
        "event_type": null, "error_type": "internal_error", "attempts": 5})
}

fn event() -> Value {
    // Not a literal, because a literal would count as the declaration of the type.
    let event_type = ["application", "created", "v1"].join(".");
    json!({"dead_letter_id": "01890a5d-ac96-774b-bcce-b302099a8057", "kind": "event", "name": "webhook_deliveries",
        "event_type": event_type, "error_type": "timeout", "attempts": 5})
}
