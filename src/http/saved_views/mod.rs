//! The caller's saved views: filters of the console's lists under a name.

pub mod create;
pub mod delete;
mod filters;
pub mod list;
pub mod view;
