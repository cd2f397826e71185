//! Whether two names are one person's: what a token says that it stands for, what a reviewer is called, and what accounts go by. The one
//! place that compares them, so that nobody is somebody else at another door. Knows nothing of what the answer is needed for.

use std::sync::Arc;

use crate::app::App;
use crate::model::{Account, AccountId, Actor, TenantId, collision_key};
use crate::store::{AccountView, HeldPerson, LineView, StoreError};

/// The names that somebody goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person<'a> {
    pub(super) account: &'a AccountId,
    pub(super) user_name: Option<&'a str>,
    pub(super) email: Option<&'a str>,
}

impl Person<'_> {
    /// Whether they go by a name: the account's id, its login name or its address, in any case of letters.
    pub(super) fn goes_by(&self, name: &str) -> bool {
        [Some(self.account.as_str()), self.user_name, self.email].into_iter().flatten().any(|own| same_name(own, name))
    }
}

impl<'a> From<&'a AccountView> for Person<'a> {
    fn from(view: &'a AccountView) -> Self {
        let account = &view.account;
        Self { account: &account.id, user_name: account.user_name.as_deref(), email: account.profile["email"].as_str() }
    }
}

impl<'a> From<&'a LineView> for Person<'a> {
    fn from(view: &'a LineView) -> Self {
        Self { account: &view.line.account, user_name: view.line.user_name.as_deref(), email: view.email.as_deref() }
    }
}

impl<'a> From<&'a HeldPerson> for Person<'a> {
    fn from(held: &'a HeldPerson) -> Self {
        Self { account: &held.account, user_name: held.user_name.as_deref(), email: held.email.as_deref() }
    }
}

/// Whether two names are the same, as people take them to be.
#[must_use]
pub fn same_name(one: &str, other: &str) -> bool {
    collision_key(one) == collision_key(other)
}

/// Whether two actors are one person: by the same name, or by two names of one account.
pub(super) async fn same_actor(app: &Arc<App>, tenant: &TenantId, one: &Actor, other: &Actor) -> Result<bool, StoreError> {
    if one.kind != other.kind {
        return Ok(false);
    }
    if one.kind != Actor::PERSON {
        return Ok(one.id == other.id);
    }
    if same_name(&one.id, &other.id) {
        return Ok(true);
    }
    // An account is found by its id and its login name; its address is the only other name that it has.
    for (known, asked) in [(one, other), (other, one)] {
        if app.store.account(tenant, &known.id).await?.is_some_and(|view| Person::from(&view).goes_by(&asked.id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an account goes by a name: its id, its login name or its address.
#[must_use]
pub fn is_called(account: &Account, name: &str) -> bool {
    Person { account: &account.id, user_name: account.user_name.as_deref(), email: account.profile["email"].as_str() }.goes_by(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_goes_by_three_names_in_any_case() {
        let account = AccountId::from("a1b2");
        let person = Person { account: &account, user_name: Some("Adá"), email: Some("Lovelace@acme.example") };
        for name in ["a1b2", "A1B2", "ada", " ADA ", "lovelace@ACME.example"] {
            assert!(person.goes_by(name), "{name}");
        }
        for name in ["", "ada@acme.example", "a1b", "lovelace"] {
            assert!(!person.goes_by(name), "{name}");
        }
        assert!(!Person { account: &account, user_name: None, email: None }.goes_by("ada"));
    }
}
