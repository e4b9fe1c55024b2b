//! The event types: what each is called, whom it is for, and what its data looks like.
//!
//! A module that owns a family of events declares its types ([`EventType`]); [`EventRegistry`] brings the families
//! together. Tests hold the rows of the outbox and the table in `docs/events.md` against it.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::schema::{SchemaFormat, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, KnownFormat, ObjectBuilder, RefOr, Schema};

/// Whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The account that owns the subject, analysts and admins.
    Owner,
    /// Admins: the channel `operations`.
    Operations,
}

impl Audience {
    /// The audience as the documentation names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner and staff",
            Self::Operations => "admins",
        }
    }
}

/// One type of event.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// The name with the version: `<family>.<past tense>.v<number>`. Data changes compatibly within a version: members are
    /// added, and none is removed or gets another meaning.
    pub name: &'static str,
    /// When it is written, in one sentence.
    pub description: &'static str,
    /// Whom it is for.
    pub audience: Audience,
    /// The JSON Schema of the data.
    pub schema: fn() -> Schema,
    /// Data that fits the schema.
    pub example: fn() -> Value,
}

/// Every event type of the application.
#[derive(Debug, Clone, Default)]
pub struct EventRegistry {
    types: BTreeMap<&'static str, EventType>,
}

impl EventRegistry {
    /// The types of these families. Of two types with one name the last counts.
    pub fn new(families: &[&[EventType]]) -> Self {
        let types = families.iter().copied().flatten();
        Self { types: types.map(|event_type| (event_type.name, *event_type)).collect() }
    }

    /// The type of this name.
    pub fn find(&self, name: &str) -> Option<&EventType> {
        self.types.get(name)
    }

    /// Every type, by name.
    pub fn iter(&self) -> impl Iterator<Item = &EventType> {
        self.types.values()
    }
}

/// The schema of an object with these members. Every member is required; later versions of Aval may add others.
pub fn object<const N: usize>(members: [(&str, Schema); N]) -> Schema {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let add =
        |object: ObjectBuilder, (name, member): (&str, Schema)| object.property(name, member).required(name);
    members.into_iter().fold(object, add).into()
}

/// A text.
pub fn text(description: &str) -> Schema {
    of_type(Type::String, description).into()
}

/// One of some words.
pub fn word<T: serde::Serialize>(words: &[T], description: &str) -> Schema {
    let words = words.iter().filter_map(|word| serde_json::to_value(word).ok());
    of_type(Type::String, description).enum_values(Some(words)).into()
}

/// A UUID.
pub fn id(description: &str) -> Schema {
    of_type(Type::String, description).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into()
}

/// A moment: RFC 3339 in UTC with six decimals.
pub fn moment(description: &str) -> Schema {
    of_type(Type::String, description).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
}

/// A whole number.
pub fn integer(description: &str) -> Schema {
    of_type(Type::Integer, description).into()
}

/// True or false.
pub fn boolean(description: &str) -> Schema {
    of_type(Type::Boolean, description).into()
}

/// A list.
pub fn list(items: Schema, description: &str) -> Schema {
    ArrayBuilder::new().items(RefOr::from(items)).description(Some(description)).into()
}

/// The same, or `null`.
pub fn nullable(schema: Schema) -> Schema {
    let Schema::Object(mut object) = schema else { return schema };
    if let SchemaType::Type(one) = object.schema_type {
        object.schema_type = SchemaType::from_iter([one, Type::Null]);
    }
    if let Some(words) = &mut object.enum_values {
        words.push(Value::Null);
    }
    Schema::Object(object)
}

fn of_type(schema_type: Type, description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(schema_type).description(Some(description))
}
