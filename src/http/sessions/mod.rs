//! Sessions: login, token refresh, logout, sessions of the console, password changes and the current account.

pub mod browser;
pub mod login;
pub mod logout;
pub mod me;
pub mod password;
pub mod refresh;
pub mod tokens;

pub(super) use self::tokens::new_password;
