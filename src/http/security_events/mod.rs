//! Security events: account and API key changes, sign-ins and failed sign-ins.

pub mod list;
