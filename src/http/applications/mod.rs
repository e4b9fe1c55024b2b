//! Applications: making them, reading them, and the changes that people make.

pub(super) mod audit;
pub(super) mod change;
mod country_data;
pub(super) mod create;
mod cursor;
pub(super) mod decision;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod list;
pub(super) mod status;
pub(super) mod view;
