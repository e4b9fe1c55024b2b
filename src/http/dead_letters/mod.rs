//! Dead letters: jobs that failed permanently, and their handling by operators (admins only).

pub mod list;
pub mod retry_all;
pub mod view;
pub mod work;
