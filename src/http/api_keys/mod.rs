//! Management of API keys for machine clients (admins only).

pub mod create;
pub mod get;
pub mod list;
pub mod revoke;
pub mod view;
