//! Webhook endpoints of other systems: the URLs that Aval sends events to (admins only).

pub mod change;
pub mod create;
pub mod delete;
mod fields;
pub mod get;
pub mod list;
pub mod recover;
pub mod rotate;
pub mod test;
pub mod view;
