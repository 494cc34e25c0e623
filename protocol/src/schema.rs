//! The JSON Schemas in docs/schema are the types' own: this test keeps them so (INSTA_UPDATE=always writes them).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};

use crate::client_name::ClientName;
use crate::drill::DrillId;
use crate::estate::port_set::PortSet;
use crate::event::{ClientEvent, Receipt};
use crate::report::Report;
use crate::sighting::Sighting;
use crate::storm::{LifeLine, StormReport};
use crate::task::{CheckIn, Orders, Task, TaskReceipt};

/// How moments are written.
pub(crate) struct Instant;

/// How events are told apart.
pub(crate) struct EventId;

macro_rules! text {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text!(Instant, "Instant", { "type": "string", "format": "date-time", "description": "A moment, RFC 3339." });
text!(EventId, "EventId", { "type": "string", "format": "uuid", "description": "A UUID of version 7 (RFC 9562)." });
text!(ClientName, "ClientName", {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$",
    "description": "Whose it is: a host's name, made to fit.",
});
text!(PortSet, "PortSet", {
    "type": "string",
    "pattern": "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$",
    "description": "Ports, sorted, with holes: `3023-3332,3334-4022`; empty for none.",
});
text!(DrillId, "DrillId", {
    "type": "string",
    "pattern": "^[0-9a-f]{32}$",
    "description": "128 random bits that tie both ends' records together.",
});

/// A schema of what is written; readers have to expect more keys.
fn schema<T: JsonSchema>(id: &str) -> String {
    let mut schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), format!("urn:{}", id.replace(['.', '/'], ":")).into());
    // The id of the document is the one thing that never varies.
    if let Some(property) = schema
        .pointer_mut("/properties/schema")
        .and_then(|value| value.as_object_mut())
    {
        property.insert("const".to_owned(), id.into());
    }
    format!("{:#}\n", schema.to_value())
}

#[test]
fn the_published_schemas_are_those_of_what_is_written() {
    for (name, schema) in [
        ("report", schema::<Report>(Report::SCHEMA)),
        ("sighting", schema::<Sighting>(Sighting::SCHEMA)),
        ("event", schema::<ClientEvent>(ClientEvent::SCHEMA)),
        ("receipt", schema::<Receipt>(Receipt::SCHEMA)),
        ("task", schema::<Task>(Task::SCHEMA)),
        ("task-receipt", schema::<TaskReceipt>(TaskReceipt::SCHEMA)),
        ("check-in", schema::<CheckIn>(CheckIn::SCHEMA)),
        ("orders", schema::<Orders>(Orders::SCHEMA)),
        ("storm", schema::<StormReport>(StormReport::SCHEMA)),
        ("life", schema::<LifeLine>(LifeLine::SCHEMA)),
    ] {
        let file = format!("{}/../docs/schema/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(&file, &schema).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == schema,
            "{file} is not up to date: INSTA_UPDATE=always cargo nextest run -p fwdrill-protocol published_schemas"
        );
    }
}
