//! Refinements that apply to every schema of the document.
//!
//! The schemas are derived from the request and response types. The derivation has three gaps: `Option` stands for both
//! an absent member and `null`, so it cannot tell which members of a response are always present; it declares optional
//! headers and parameters as nullable; and it does not state whether an object may have additional members. Generated
//! clients need all three.

use std::collections::BTreeSet;

use actix_web::http::Method;
use serde_json::Value;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Object, SchemaType, Type};
use utoipa::openapi::{OpenApi as Document, Ref, RefOr, Schema};

/// The members of responses that may be absent, by schema. They are never `null`. All other members are always present,
/// but may be `null`.
const MAY_BE_ABSENT: [(&str, &[&str]); 9] = [
    ("ApplicationPage", &["total", "total_is_exact", "page"]),
    ("ApplicationView", &["processing_errors"]),
    ("AuditEntryView", &["internal_note", "changes"]),
    ("CreatedApiKey", &["key"]),
    ("Me", &["scopes"]),
    (
        "Problem",
        &[
            "request_id",
            "errors",
            "from",
            "to",
            "allowed",
            "application_id",
            "open_until",
            "assigned_to_name",
            "expires_at",
            "matched",
        ],
    ),
    ("WebhookEndpointSecret", &["secret"]),
    ("PaymentReportReceipt", &["applied", "disbursement_id", "status"]),
    ("WebhookReceipt", &["applied", "event_id", "status"]),
];

/// Members whose types in lower layers are plain text, and the schemas of their closed sets of values.
const ENUMERATIONS: [(&str, &str, &str); 5] = [
    ("CountryDescription", "code", "CountryCode"),
    ("CountryDescription", "currency", "CurrencyCode"),
    ("MemberDescription", "kind", "DataMemberKind"),
    ("RuleDescription", "code", "RuleCode"),
    ("RuleDescription", "kind", "RuleKindName"),
];

/// Refines all schemas of the document.
pub(super) fn refine(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    for (name, schema) in &mut components.schemas {
        reference_enumerations(name, schema);
    }
    let (requests, used) = (schemas_of_requests(document), schemas_of(document, |operation| Some(operation)));
    let components = document.components.get_or_insert_default();
    components.schemas.retain(|name, _| used.contains(name));
    for (name, schema) in &mut components.schemas {
        each_object(schema, &mut |object| {
            if requests.contains(name) {
                forbid_other_members(object);
            } else {
                require_members(name, object);
            }
            allow_any_members(object);
        });
    }
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            refine_operation(operation);
        }
    }
}

/// The operations of a path, with their methods.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let operations = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn refine_operation(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(schema) = &mut parameter.schema
        {
            without_null(schema);
        }
    }
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        for content in response.content.values_mut() {
            if let RefOr::T(content) = content
                && let Some(schema) = &mut content.schema
            {
                each_object(schema, &mut allow_any_members);
            }
        }
    }
}

/// The names of the schemas used in request bodies.
fn schemas_of_requests(document: &Document) -> BTreeSet<String> {
    schemas_of(document, |operation| operation.get("requestBody"))
}

/// The names of the schemas used in `part` of each operation.
fn schemas_of(document: &Document, part: impl Fn(&Value) -> Option<&Value>) -> BTreeSet<String> {
    let paths = serde_json::to_value(&document.paths).unwrap_or_default();
    let components = serde_json::to_value(&document.components).unwrap_or_default();
    let items = paths.as_object().into_iter().flatten();
    let operations = items.filter_map(|(_, item)| item.as_object()).flatten();
    let mut left: Vec<&Value> = operations.filter_map(|(_, operation)| part(operation)).collect();
    let mut names = BTreeSet::new();
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(members) => {
                let reference = members.get("$ref").and_then(Value::as_str);
                if let Some(name) = reference.and_then(|path| path.strip_prefix("#/components/schemas/"))
                    && names.insert(name.to_owned())
                {
                    left.extend(components.pointer(&format!("/schemas/{name}")));
                }
                left.extend(members.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    names
}

/// Applies `act` to every object in a schema, without following references.
fn each_object(schema: &mut RefOr<Schema>, act: &mut dyn FnMut(&mut Object)) {
    let RefOr::T(schema) = schema else { return };
    let items = match schema {
        Schema::Object(object) => {
            act(object);
            if let Some(AdditionalProperties::RefOr(inner)) = object.additional_properties.as_deref_mut() {
                each_object(inner, act);
            }
            object.properties.values_mut().for_each(|member| each_object(member, act));
            return;
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                each_object(items, act);
            }
            return;
        }
        Schema::OneOf(one) => &mut one.items,
        Schema::AllOf(all) => &mut all.items,
        Schema::AnyOf(any) => &mut any.items,
        _ => return,
    };
    items.iter_mut().for_each(|item| each_object(item, act));
}

/// Forbids additional members in a request object.
fn forbid_other_members(object: &mut Object) {
    if !object.properties.is_empty() && object.additional_properties.is_none() {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

/// Requires all members of a response object, except those that may be absent.
fn require_members(schema: &str, object: &mut Object) {
    let absent = MAY_BE_ABSENT.iter().find(|(name, _)| *name == schema).map_or(&[][..], |(_, names)| names);
    for (name, member) in &mut object.properties {
        if absent.contains(&name.as_str()) {
            object.required.retain(|required| required != name);
            without_null(member);
        } else if !object.required.contains(name) {
            object.required.push(name.clone());
        }
    }
}

/// Allows any members in an object without declared members.
fn allow_any_members(object: &mut Object) {
    let is_object = match &object.schema_type {
        SchemaType::Type(kind) => *kind == Type::Object,
        SchemaType::Array(kinds) => kinds.contains(&Type::Object),
        SchemaType::AnyValue => false,
    };
    if is_object && object.properties.is_empty() && object.additional_properties.is_none() {
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
    }
}

/// Removes `null` from the types of a schema: an omitted header or parameter is absent, not `null`.
fn without_null(schema: &mut RefOr<Schema>) {
    let not_null = |kind: &mut SchemaType| {
        if let SchemaType::Array(kinds) = kind {
            kinds.retain(|kind| *kind != Type::Null);
            if let [only] = kinds.as_slice() {
                *kind = SchemaType::Type(only.clone());
            }
        }
    };
    match schema {
        RefOr::T(Schema::Object(object)) => not_null(&mut object.schema_type),
        RefOr::T(Schema::Array(array)) => not_null(&mut array.schema_type),
        RefOr::T(Schema::OneOf(one)) => {
            one.items.retain(|item| !is_null(item));
            if let [only] = one.items.as_slice() {
                *schema = only.clone();
            }
        }
        _ => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

fn reference_enumerations(schema: &str, content: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = content else { return };
    for (_, member, enumeration) in ENUMERATIONS.iter().filter(|(name, ..)| *name == schema) {
        if let Some(member) = object.properties.get_mut(*member) {
            *member = RefOr::Ref(Ref::from_schema_name(*enumeration));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    fn schemas() -> Value {
        serde_json::to_value(document(true)).unwrap()["components"]["schemas"].clone()
    }

    fn is_nullable(schema: &Value) -> bool {
        let kinds = schema["type"].as_array().into_iter().flatten();
        let items = schema["oneOf"].as_array().into_iter().flatten();
        kinds.chain(items.map(|item| &item["type"])).any(|kind| kind == "null")
    }

    #[test]
    fn the_members_of_responses_are_required_unless_they_may_be_absent() {
        let schemas = schemas();
        let requests = schemas_of_requests(&document(true));
        assert!(requests.contains("ReportRequest") && !requests.contains("ApplicationView"));
        for (name, schema) in schemas.as_object().unwrap() {
            let absent: &[&str] =
                MAY_BE_ABSENT.iter().find(|(known, _)| known == name).map_or(&[], |(_, m)| m);
            for part in schema["allOf"].as_array().unwrap_or(&vec![schema.clone()]) {
                for (member, content) in part["properties"].as_object().into_iter().flatten() {
                    let is_required = part["required"].as_array().into_iter().flatten().any(|r| r == member);
                    let may_lack = requests.contains(name) || absent.contains(&member.as_str());
                    assert!(is_required || may_lack, "{name}.{member}");
                    assert!(requests.contains(name) || !may_lack || !is_nullable(content), "{name}.{member}");
                }
            }
        }
        for (name, members) in MAY_BE_ABSENT {
            for member in members {
                let text = schemas[name].to_string();
                assert!(text.contains(&format!("\"{member}\":")), "{name}.{member} is gone");
            }
        }
    }

    #[test]
    fn every_object_declares_whether_it_may_have_other_members() {
        let document = serde_json::to_value(document(true)).unwrap();
        let requests = schemas_of_requests(&super::super::document(true));
        for name in &requests {
            let schema = &document["components"]["schemas"][name];
            let is_object = schema["properties"].is_object();
            assert!(!is_object || schema["additionalProperties"] == false, "{name} is not closed");
        }
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            match value {
                Value::Array(items) => left.extend(items),
                Value::Object(members) => {
                    let kind = members.get("type").map(Value::to_string).unwrap_or_default();
                    let is_schema = kind.contains("\"object\"") && !members.contains_key("allOf");
                    let is_declared =
                        members.contains_key("properties") || members.contains_key("additionalProperties");
                    assert!(!is_schema || is_declared, "{value}");
                    left.extend(members.values());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_header_or_parameter_is_null() {
        let document = serde_json::to_value(document(true)).unwrap();
        let mut seen = 0;
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    seen += 1;
                    assert!(!is_nullable(&parameter["schema"]), "{parameter}");
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn no_member_with_a_closed_set_of_values_is_plain_text() {
        let schemas = schemas();
        for (schema, member, enumeration) in ENUMERATIONS {
            let reference = &schemas[schema]["properties"][member]["$ref"];
            assert_eq!(reference, &format!("#/components/schemas/{enumeration}"), "{schema}.{member}");
        }
        for (name, schema) in schemas.as_object().unwrap() {
            for part in schema["allOf"].as_array().unwrap_or(&vec![schema.clone()]) {
                for (member, content) in part["properties"].as_object().into_iter().flatten() {
                    let prose = content["description"].as_str().unwrap_or_default();
                    let listed = prose.split('`').skip(1).step_by(2).filter(|word| {
                        *word != "null" && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    });
                    let is_text =
                        content["type"].to_string().contains("\"string\"") && content["enum"].is_null();
                    // Bureaus may report any status, accounts have free names, and new versions add event types.
                    let is_open = ["account_status", "changed_by"].contains(&member.as_str())
                        || name == "SecurityEventEntry"
                        || content["format"].is_string();
                    assert!(!is_text || is_open || listed.count() < 2, "{name}.{member}: {prose}");
                }
            }
        }
    }
}
