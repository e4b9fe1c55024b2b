//! What holds for all countries alike: the registry, and the properties of documents and decisions.

mod decisions;
mod documents;
mod registry;
