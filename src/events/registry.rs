//! The event types: their names, audiences and data.
//!
//! A module that owns a family of events declares its types ([`EventType`]), and [`EventRegistry`] combines the
//! families. Tests compare the rows of the outbox and the table in `docs/events.md` with the registry.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::schema::{SchemaFormat, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, KnownFormat, ObjectBuilder, RefOr, Schema};

/// The recipients of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The account that owns the subject, analysts and admins.
    Owner,
    /// Analysts and admins, over the channel `reviews`.
    Staff,
    /// Admins, over the channel `operations`.
    Operations,
}

impl Audience {
    /// The name in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner and staff",
            Self::Staff => "staff",
            Self::Operations => "admins",
        }
    }
}

/// An event type.
#[derive(Debug, Clone, Copy)]
pub struct EventType {
    /// The name with its version: `<family>.<past tense>.v<number>`. Within a version, changes to the data are
    /// compatible: members may be added, but not removed or redefined.
    pub name: &'static str,
    /// When the event is written, in one sentence.
    pub description: &'static str,
    pub audience: Audience,
    /// The JSON Schema of the data.
    pub schema: fn() -> Schema,
    /// An example that matches the schema.
    pub example: fn() -> Value,
}

/// All event types of the application.
#[derive(Debug, Clone, Default)]
pub struct EventRegistry {
    types: BTreeMap<&'static str, EventType>,
}

impl EventRegistry {
    /// A registry of these families. If two types have the same name, the last one is used.
    pub fn new(families: &[&[EventType]]) -> Self {
        let types = families.iter().copied().flatten();
        Self { types: types.map(|event_type| (event_type.name, *event_type)).collect() }
    }

    pub fn find(&self, name: &str) -> Option<&EventType> {
        self.types.get(name)
    }

    /// All types, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &EventType> {
        self.types.values()
    }
}

/// The schema of an object in which all members are required. Later versions of Aval may add members.
pub fn object<const N: usize>(members: [(&str, Schema); N]) -> Schema {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let add =
        |object: ObjectBuilder, (name, member): (&str, Schema)| object.property(name, member).required(name);
    members.into_iter().fold(object, add).into()
}

pub fn text(description: &str) -> Schema {
    of_type(Type::String, description).into()
}

/// A string that is one of `words`.
pub fn one_of<T: serde::Serialize>(words: &[T], description: &str) -> Schema {
    let words = words.iter().filter_map(|word| serde_json::to_value(word).ok());
    of_type(Type::String, description).enum_values(Some(words)).into()
}

pub fn id(description: &str) -> Schema {
    of_type(Type::String, description).format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))).into()
}

/// A time: RFC 3339 in UTC with six decimals.
pub fn timestamp(description: &str) -> Schema {
    of_type(Type::String, description).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
}

pub fn integer(description: &str) -> Schema {
    of_type(Type::Integer, description).into()
}

pub fn boolean(description: &str) -> Schema {
    of_type(Type::Boolean, description).into()
}

pub fn list(items: Schema, description: &str) -> Schema {
    ArrayBuilder::new().items(RefOr::from(items)).description(Some(description)).into()
}

/// The same schema, which also accepts `null`.
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
