//! Deliveries to webhook endpoints and their attempts (admins only).

pub mod attempts;
pub mod get;
pub mod list;
pub mod resend;
pub mod view;
