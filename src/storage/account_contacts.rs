//! The names and e-mail addresses of people with an account. They are encrypted, and no two accounts have the same e-mail
//! address.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::schema::account_contacts;
use super::seal::{KeyRing, SealedField};
use crate::domain::personal_data::{Email, FullName};
use crate::error::Result;

/// What is known of the person with an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    pub name: Option<FullName>,
    pub email: Option<Email>,
}

type SealedContact = (Uuid, Option<Vec<u8>>, Option<Vec<u8>>);

fn open(keys: &KeyRing, (user_id, name, email): SealedContact) -> Result<(Uuid, Contact)> {
    let open = |field, envelope: Option<Vec<u8>>| {
        envelope.map(|envelope| keys.open(field, user_id.as_bytes(), &envelope)).transpose()
    };
    let name = open(SealedField::AccountName, name)?.map(FullName::from_storage);
    let email = open(SealedField::AccountEmail, email)?.map(Email::from_storage);
    Ok((user_id, Contact { name, email }))
}

/// The contacts of accounts. Accounts without one are missing.
pub async fn of(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    user_ids: &[Uuid],
) -> Result<HashMap<Uuid, Contact>> {
    let sealed: Vec<SealedContact> = account_contacts::table
        .select((account_contacts::user_id, account_contacts::name, account_contacts::email))
        .filter(account_contacts::user_id.eq_any(user_ids))
        .load(connection)
        .await?;
    sealed.into_iter().map(|row| open(keys, row)).collect()
}

/// Replaces the contact of an account, whose row the caller has locked. Returns `false`, and leaves the account without a
/// contact, if another account has the e-mail address.
pub async fn replace(
    connection: &mut AsyncPgConnection,
    keys: &KeyRing,
    user_id: Uuid,
    contact: &Contact,
) -> Result<bool> {
    diesel::delete(account_contacts::table.find(user_id)).execute(connection).await?;
    let Contact { name, email } = contact;
    if name.is_none() && email.is_none() {
        return Ok(true);
    }
    let seal =
        |field, text: Option<&str>| text.map(|text| keys.seal(field, user_id.as_bytes(), text)).transpose();
    let index = email.as_ref().map(|email| keys.email_index(email));
    let inserted = diesel::insert_into(account_contacts::table)
        .values((
            account_contacts::user_id.eq(user_id),
            account_contacts::name.eq(seal(SealedField::AccountName, name.as_ref().map(FullName::reveal))?),
            account_contacts::email.eq(seal(SealedField::AccountEmail, email.as_ref().map(Email::reveal))?),
            account_contacts::email_index.eq(index.as_ref().map(|index| index.as_bytes().to_vec())),
        ))
        .on_conflict(account_contacts::email_index)
        .do_nothing()
        .execute(connection)
        .await?;
    Ok(inserted == 1)
}
