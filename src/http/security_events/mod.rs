//! Security events: changes of accounts and API keys, log-ins and their failures.

pub mod list;
