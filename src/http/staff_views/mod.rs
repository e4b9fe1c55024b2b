//! Audit views: records of what staff viewed (admins only).

pub mod list;
