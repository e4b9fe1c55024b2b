//! What integration tests share: a database each, the application, builders.

pub(crate) mod db;
