//! The `account.*` events, which triggers write in the transaction of the change.

use serde_json::json;
use utoipa::openapi::Schema;

use crate::domain::account::{Role, Scope};
use crate::events::registry::{Audience, EventType, boolean, id, list, nullable, object, one_of, timestamp};

/// The event types of accounts and API keys.
pub const TYPES: &[EventType] = &[
    EventType {
        name: "account.created.v1",
        description: "A user account was created.",
        audience: Audience::Operations,
        schema: account,
        example: || json!({"account_id": ACCOUNT, "role": "analyst"}),
    },
    EventType {
        name: "account.deleted.v1",
        description: "A user account was deleted. This is only possible with SQL.",
        audience: Audience::Operations,
        schema: account,
        example: || json!({"account_id": ACCOUNT, "role": "analyst"}),
    },
    EventType {
        name: "account.disabled.v1",
        description: "A user account was disabled. It can no longer sign in, and its sessions have ended.",
        audience: Audience::Operations,
        schema: account,
        example: || json!({"account_id": ACCOUNT, "role": "analyst"}),
    },
    EventType {
        name: "account.enabled.v1",
        description: "A disabled user account was enabled.",
        audience: Audience::Operations,
        schema: account,
        example: || json!({"account_id": ACCOUNT, "role": "analyst"}),
    },
    EventType {
        name: "account.role_changed.v1",
        description: "The role of a user account changed.",
        audience: Audience::Operations,
        schema: || {
            object([
                ("account_id", id("The account")),
                ("role", one_of(&Role::ALL, "The role after the change")),
                ("previous_role", one_of(&Role::ALL, "The role before")),
            ])
        },
        example: || json!({"account_id": ACCOUNT, "role": "admin", "previous_role": "analyst"}),
    },
    EventType {
        name: "account.password_reset.v1",
        description: "The password of a user account changed.",
        audience: Audience::Operations,
        schema: || {
            object([
                ("account_id", id("The account")),
                ("by_owner", boolean("Whether the user changed the password, rather than an admin or SQL")),
            ])
        },
        example: || json!({"account_id": ACCOUNT, "by_owner": false}),
    },
    EventType {
        name: "account.key_created.v1",
        description: "An API key was created.",
        audience: Audience::Operations,
        schema: key,
        example: || json!({"key_id": ACCOUNT, "role": "user", "scopes": ["applications:read"], "expires_at": null}),
    },
    EventType {
        name: "account.key_changed.v1",
        description: "The secret, role, scopes or expiry of an API key changed, or a revoked key became valid again. This is only possible with SQL.",
        audience: Audience::Operations,
        schema: key,
        example: || json!({"key_id": ACCOUNT, "role": "user", "scopes": ["applications:read"], "expires_at": null}),
    },
    EventType {
        name: "account.key_revoked.v1",
        description: "An API key was revoked, individually or with the account or key that created it.",
        audience: Audience::Operations,
        schema: key,
        example: || json!({"key_id": ACCOUNT, "role": "user", "scopes": ["applications:read"], "expires_at": null}),
    },
    EventType {
        name: "account.key_deleted.v1",
        description: "An API key was deleted. This is only possible with SQL.",
        audience: Audience::Operations,
        schema: key,
        example: || json!({"key_id": ACCOUNT, "role": "user", "scopes": ["applications:read"], "expires_at": null}),
    },
];

const ACCOUNT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn account() -> Schema {
    object([("account_id", id("The account")), ("role", one_of(&Role::ALL, "Its role"))])
}

fn key() -> Schema {
    object([
        ("key_id", id("The API key")),
        ("role", one_of(&Role::ALL, "Its role")),
        ("scopes", list(one_of(&Scope::ALL, "A scope"), "Its scopes")),
        ("expires_at", nullable(timestamp("When the key expires; null if it does not"))),
    ])
}
