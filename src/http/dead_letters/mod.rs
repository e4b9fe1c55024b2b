//! Dead letters: jobs that failed for good, and what operators do about them. For admins.

pub mod list;
pub mod retry_all;
pub mod view;
pub mod work;
