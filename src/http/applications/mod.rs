//! Endpoints for applications: creation, retrieval and changes by users.

pub mod audit;
pub mod bulk_status;
pub mod change;
mod copy;
mod country_data;
pub mod create;
pub mod decision;
pub mod delete;
pub mod export;
pub mod filter;
pub mod get;
pub mod list;
pub mod search;
pub mod status;
pub mod view;
