//! API keys of machine clients, for admins.

pub mod create;
pub mod get;
pub mod list;
pub mod revoke;
pub mod view;
