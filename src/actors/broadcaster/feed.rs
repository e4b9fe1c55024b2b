//! Maps events to topics (what a client can subscribe to), viewers and frames.
//!
//! This is the only part of the broadcaster that distinguishes event types. `application.*` events go to the topics of
//! their application. All other events go to the audience that the [registry](crate::events::registry) declares.

use uuid::Uuid;

use super::frame::Frame;
use super::topic::Topic;
use crate::domain::event::ApplicationChanged;
use crate::domain::ids::ApplicationId;
use crate::domain::published::Position;
use crate::events::envelope::Envelope;
use crate::events::registry::{Audience, EventRegistry};

/// An event to deliver to sessions. Its frame is built once.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub(super) offset: i64,
    pub(super) topics: Vec<Topic>,
    pub(super) viewers: Viewers,
    /// Set if a newer update of the same application may replace this one in a long queue. Updates without an application
    /// are never replaced.
    pub(super) application: Option<ApplicationId>,
    pub(super) frame: Frame,
}

/// The audience of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Viewers {
    /// The owner of the application, and staff.
    OwnerAndStaff(String),
    /// Analysts and admins.
    Staff,
    /// Accounts that may see the channel `operations`.
    Operators,
}

impl Update {
    /// Returns `None` if the event must not be delivered, because its type or the form of its data is unknown to this
    /// version.
    pub(super) fn new(types: &EventRegistry, epoch: Uuid, event: &Envelope) -> Option<Self> {
        let offset = event.offset;
        if let Some(changed) = event.data::<ApplicationChanged>() {
            return Some(Self {
                offset,
                topics: vec![Topic::All, Topic::Country(changed.country), Topic::Application(changed.id)],
                viewers: Viewers::OwnerAndStaff(changed.created_by.clone()),
                application: Some(changed.id),
                frame: Frame::application_update(
                    Position { epoch, offset },
                    event.traceparent.as_deref(),
                    changed,
                ),
            });
        }
        match types.find(&event.event_type)?.audience {
            Audience::Owner => None,
            Audience::Staff => Some(Self {
                offset,
                topics: vec![Topic::Reviews],
                viewers: Viewers::Staff,
                application: None,
                frame: Frame::review_update(epoch, event),
            }),
            Audience::Operations => Some(Self {
                offset,
                topics: vec![Topic::Operations],
                viewers: Viewers::Operators,
                application: None,
                frame: Frame::operations_update(epoch, event),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::envelope::tests::envelope;
    use crate::events::registry::{EventType, object};
    use serde_json::{Value, json};

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn types() -> EventRegistry {
        let event_type = |name, audience| EventType {
            name,
            description: "",
            audience,
            schema: || object([]),
            example: || json!({}),
        };
        EventRegistry::new(&[&[
            event_type("application.created.v1", Audience::Owner),
            event_type("review.assigned.v1", Audience::Staff),
            event_type("account.disabled.v1", Audience::Operations),
        ]])
    }

    fn update(event_type: &str, data: &Value) -> Option<Update> {
        Update::new(&types(), Uuid::nil(), &envelope(event_type, 9, data))
    }

    fn changed() -> Value {
        json!({
            "id": ID, "country": "BR", "status": "APPROVED", "previous_status": null, "version": 3,
            "created_by": "ana", "updated_at": "1970-01-01T00:00:00Z",
        })
    }

    #[test]
    fn an_application_event_goes_to_its_topics_and_is_visible_to_owner_and_staff() {
        let update = update("application.created.v1", &changed()).unwrap();
        let id = ID.parse().unwrap();
        let topics =
            [Topic::All, Topic::Country(crate::domain::application::Country::Br), Topic::Application(id)];
        assert_eq!((update.offset, update.application), (9, Some(id)));
        assert_eq!(update.topics, topics);
        assert_eq!(update.viewers, Viewers::OwnerAndStaff("ana".to_owned()));
    }

    #[test]
    fn an_operations_event_goes_to_operators_with_any_data() {
        let update = update("account.disabled.v1", &json!([1])).unwrap();
        assert_eq!(update.topics, [Topic::Operations]);
        assert_eq!((update.viewers, update.application), (Viewers::Operators, None));
    }

    #[test]
    fn a_review_event_goes_to_staff() {
        let update = update("review.assigned.v1", &json!({"application_id": ID})).unwrap();
        assert_eq!(update.topics, [Topic::Reviews]);
        assert_eq!((update.viewers, update.application), (Viewers::Staff, None));
    }

    #[test]
    fn an_event_of_an_unknown_type_or_shape_is_not_delivered() {
        assert!(update("account.disabled.v9", &json!({})).is_none());
        assert!(update("loan.granted.v1", &changed()).is_none());
        assert!(update("application.created.v1", &json!({"id": ID})).is_none());
        assert!(
            update("application.escalated.v9", &changed()).is_some(),
            "all `application.*` events have the same data"
        );
    }
}
