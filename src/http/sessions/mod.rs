//! Sessions: login, token refresh, logout, password changes and the current account.

pub mod login;
pub mod logout;
pub mod me;
pub mod password;
pub mod refresh;
pub mod tokens;

pub(super) use self::tokens::new_password;
