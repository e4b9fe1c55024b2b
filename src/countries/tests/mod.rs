//! Tests of all countries: the registry, and properties of documents and decisions.

mod decisions;
mod documents;
mod registry;
