//! The audit views of staff, for admins.

pub mod list;
