//! Who asks, and what it may do.
//!
//! [`Access`] says who may use a route; `middleware::authorize` finds out who asks, holds it against the route's access
//! and leaves a [`Principal`] for the handler, which asks it what its account may see and never looks further.

mod access;

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};

pub use self::access::{Access, Scope};
use super::problem::Rejection;
use crate::domain::account::Role;
use crate::domain::status::Mover;
use crate::error::Error;
use crate::storage::applications::Visibility;

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
            Role::Analyst | Role::Admin => Visibility::All,
        }
    }

    /// As whom it asks for status changes.
    pub fn mover(&self) -> Mover {
        match self.role {
            Role::User => Mover::Owner,
            Role::Analyst | Role::Admin => Mover::Staff,
        }
    }
}

impl FromRequest for Principal {
    type Error = Rejection;
    type Future = Ready<Result<Self, Rejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Self>().cloned();
        ready(principal.ok_or_else(|| Error::internal("a handler of a public route asks who asks").into()))
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
        for role in [Role::Analyst, Role::Admin] {
            let staff = Principal { role, ..user.clone() };
            assert_eq!((staff.visibility(), staff.mover()), (Visibility::All, Mover::Staff));
        }
    }
}
