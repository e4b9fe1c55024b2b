//! Disbursements of approved applications, decisions of people about them, and the funding pools.

pub mod act;
pub mod approvals;
pub mod events;
pub mod get;
pub mod list;
pub mod pools;
pub mod report;
pub mod request;
pub mod view;
