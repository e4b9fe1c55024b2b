//! Who asks: the seam where accounts and tokens will go.
//!
//! Handlers ask a [`Principal`] what its account may see and do, and never look further. For now there are no
//! accounts: the server listens on loopback alone, and every caller is the operator of the machine.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::problem::Rejection;
use crate::domain::status::Mover;
use crate::storage::applications::Visibility;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Make applications and see its own.
    User,
    /// See all, review, and operate.
    Staff,
}

/// The account that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account's name, as it stands in rows and audit entries.
    pub account: String,
    /// What it may do.
    pub role: Role,
}

impl Principal {
    /// Whose applications it may see.
    pub fn visibility(&self) -> Visibility {
        match self.role {
            Role::User => Visibility::OwnedBy(self.account.clone()),
            Role::Staff => Visibility::All,
        }
    }

    /// As whom it asks for status changes.
    pub fn mover(&self) -> Mover {
        match self.role {
            Role::User => Mover::Owner,
            Role::Staff => Mover::Staff,
        }
    }
}

impl FromRequest for Principal {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self { account: "local".to_owned(), role: Role::Staff }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_and_moves_its_own_and_staff_everything() {
        let user = Principal { account: "ana".to_owned(), role: Role::User };
        assert_eq!(user.visibility(), Visibility::OwnedBy("ana".to_owned()));
        assert_eq!(user.mover(), Mover::Owner);
        let staff = Principal { role: Role::Staff, ..user };
        assert_eq!((staff.visibility(), staff.mover()), (Visibility::All, Mover::Staff));
    }
}
