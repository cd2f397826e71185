//! People who have moved from one connection to another: what the one that they left still says of them decides nothing, and who of them
//! can go back. Pure.
//!
//! Their account goes with them. What stands in its place at the old connection has no name, no role and no events; it says that they have
//! moved, and goes on saying so when the old user is deleted: whoever is made there again under the same external id has still moved.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Settled, Standing};
use crate::model::{Account, AccountId, AccountState, ConnectionId, Note, ResourceId, Return, RoleId};
use crate::store::{AccountWrite, Effect, MovedPerson};

/// Whether an account is what stands for somebody at a connection that they have moved away from.
#[must_use]
pub fn has_moved(account: &Account) -> bool {
    account.note.as_ref().is_some_and(|note| note.code == Note::MOVED)
}

/// Whatever the old connection says of somebody who has moved: nothing comes of it.
#[must_use]
pub(super) fn stays(standing: &Standing<'_>) -> Settled {
    nothing(standing, AccountState::OutOfScope)
}

/// The old connection deletes somebody who has moved: what stands for them there goes, and nobody loses anything.
#[must_use]
pub(super) fn removed(standing: &Standing<'_>) -> Settled {
    nothing(standing, AccountState::Removed)
}

fn nothing(standing: &Standing<'_>, state: AccountState) -> Settled {
    let before = standing.account;
    // Somebody who is made there again needs the account written, whatever it is.
    let is_written = standing.fresh || before.state != state;
    let account = is_written.then(|| AccountWrite {
        id: before.id.clone(),
        state,
        user_name: None,
        name_key: None,
        wanted_key: None,
        profile: before.profile.clone(),
        provenance: before.provenance.clone(),
        note: before.note.clone(),
    });
    Settled { effect: Effect { account, ..Effect::default() }, guarded: None, still_pending: None, attempts: 0 }
}

/// Whether somebody can go back: only while everything is as the move left it, and never where that would undo an off-boarding or begin one.
#[must_use]
pub fn way_back(moved: &MovedPerson) -> Return {
    let Some(has) = &moved.has else { return Return::Deleted };
    let Some(has_there) = &moved.has_there else { return Return::DeletedThere };
    if *has != moved.account || *has_there != moved.placeholder {
        return Return::Elsewhere;
    }
    match moved.state {
        AccountState::Removed => Return::Left,
        // Whoever is away for a time has not left.
        AccountState::Suspended if !moved.is_absent => Return::Left,
        _ if moved.inactive_there => Return::InactiveThere,
        AccountState::Active | AccountState::Suspended | AccountState::Held | AccountState::OutOfScope | AccountState::Scheduled => {
            Return::Goes
        }
    }
}

/// Somebody who has moved, as the way back shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WayBack {
    /// The SCIM user at the connection that they moved to.
    pub user: ResourceId,
    /// The connection that they came from.
    pub from: ConnectionId,
    /// The SCIM user there.
    pub from_user: ResourceId,
    /// Their account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// Whether they can go back.
    pub way: Return,
    /// Roles that they gain by going back, as the connection that they came from stands now.
    pub gained: Vec<RoleId>,
    /// Roles that they lose by it. The guard may hold that.
    pub lost: Vec<RoleId>,
}

impl WayBack {
    /// The line of somebody.
    #[must_use]
    pub fn of(moved: &MovedPerson) -> Self {
        let MovedPerson { user, from, from_user, account, user_name, .. } = moved.clone();
        Self { user, from, from_user, account, user_name, way: way_back(moved), gained: Vec::new(), lost: Vec::new() }
    }
}

/// A way back in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WayBackTotals {
    /// People who have moved to the connection.
    pub moved: i64,
    /// How many of them go back, and how many do not for which reason.
    pub ways: BTreeMap<Return, i64>,
}

impl WayBackTotals {
    /// Counts somebody.
    pub fn add(&mut self, way: Return) {
        self.moved += 1;
        *self.ways.entry(way).or_default() += 1;
    }

    /// What was seen, as a text: two are equal where the same numbers go back and stay for the same reasons.
    #[must_use]
    pub fn digest(&self) -> String {
        let ways: Vec<String> = self.ways.iter().map(|(way, people)| format!("{way}.{people}")).collect();
        if ways.is_empty() { "none".into() } else { ways.join("-") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved() -> MovedPerson {
        MovedPerson {
            user: "new".into(),
            from: ConnectionId("old".into()),
            from_user: "there".into(),
            account: "a".into(),
            placeholder: "p".into(),
            has: Some("a".into()),
            has_there: Some("p".into()),
            state: AccountState::Active,
            user_name: Some("ada".into()),
            is_absent: false,
            inactive_there: false,
        }
    }

    #[test]
    fn who_can_go_back() {
        type Change = fn(&mut MovedPerson);
        let cases: [(&str, Change, Return); 13] = [
            ("as the move left them", |_| (), Return::Goes),
            ("turned away here since", |moved| moved.state = AccountState::OutOfScope, Return::Goes),
            ("held here since", |moved| moved.state = AccountState::Held, Return::Goes),
            ("before their first day", |moved| moved.state = AccountState::Scheduled, Return::Goes),
            ("off-boarded here", |moved| moved.state = AccountState::Suspended, Return::Left),
            ("deleted here", |moved| moved.has = None, Return::Deleted),
            ("deleted here and made again", |moved| moved.state = AccountState::Removed, Return::Left),
            ("deleted there", |moved| moved.has_there = None, Return::DeletedThere),
            ("inactive there", |moved| moved.inactive_there = true, Return::InactiveThere),
            ("on leave", |moved| (moved.state, moved.is_absent) = (AccountState::Suspended, true), Return::Goes),
            (
                "off-boarded here, inactive there",
                |moved| (moved.state, moved.inactive_there) = (AccountState::Suspended, true),
                Return::Left,
            ),
            ("moved on", |moved| moved.has = Some("another".into()), Return::Elsewhere),
            ("another account there", |moved| moved.has_there = Some("another".into()), Return::Elsewhere),
        ];
        for (what, change, wanted) in cases {
            let mut moved = moved();
            change(&mut moved);
            assert_eq!(way_back(&moved), wanted, "{what}");
        }
    }

    #[test]
    fn a_digest_tells_how_many_go_and_stay() {
        let mut totals = WayBackTotals::default();
        assert_eq!(totals.digest(), "none");
        [Return::Goes, Return::Left, Return::Goes].into_iter().for_each(|way| totals.add(way));
        assert_eq!((totals.moved, totals.digest().as_str()), (3, "goes.2-left.1"));
    }
}
