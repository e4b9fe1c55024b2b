//! Sessions: how people log in, stay and leave, and who somebody is.

pub mod login;
pub mod logout;
pub mod me;
pub mod password;
pub mod refresh;
pub mod tokens;

pub(super) use self::tokens::new_password;
