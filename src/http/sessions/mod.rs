//! Sessions: sign-in, token refresh, sign-out, sessions of the console, open sessions, password changes, and the current account
//! with its settings.

pub mod browser;
pub mod login;
pub mod logout;
pub mod me;
pub mod open;
pub mod password;
pub mod refresh;
pub mod settings;
pub mod tokens;

pub(super) use self::tokens::new_password;
