//! Whose an account is that is there already, and what a connection changes by going live: pure. One rule for what is shown and for what is
//! done, of accounts that were imported and of those of a connection that is taken over.
//!
//! A login name or an external id that one account has, and nobody else of the connection, is certain. An address alone is a doubt: people
//! share them. So is an account out of use whose person is active here: somebody said that they are gone. A protected account is nobody's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{AccountId, AccountState, Fate, Note, ResourceId, RoleId};
use crate::store::{AdoptionCandidate, AdoptionChoice, Staged, Unadopted};

/// An account that may be somebody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// What the person has in common with it: `user_name`, `external_id`, `email`.
    pub by: Vec<&'static str>,
    /// The SCIM user whose it is at the connection that is taken over; `null` for an imported one.
    pub from: Option<ResourceId>,
}

/// One line of a difference: somebody of the connection, or an account that is nobody's here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// The SCIM user; `null` for an account that is nobody's here.
    pub user: Option<ResourceId>,
    /// The login name.
    pub user_name: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// The account that they have then: the one that they adopt or take over, or the one that was made for them.
    pub account: AccountId,
    /// The accounts between which a person decides.
    pub candidates: Vec<Candidate>,
    /// The account that has the name, of a collision.
    pub holder: Option<AccountId>,
    /// Roles that the policies give and the account does not have today. One that needs an approval waits for that.
    pub gained: Vec<RoleId>,
    /// Roles that the account has today and no policy gives.
    pub lost: Vec<RoleId>,
    /// Why somebody is refused.
    pub note: Option<Note>,
}

/// A difference in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// People of the connection.
    pub people: i64,
    /// Those who get a new account.
    pub new: i64,
    /// Those who adopt an imported one.
    pub adopted: i64,
    /// Those who take over the account that they have through the connection that is taken over.
    pub moved: i64,
    /// Those who have an account in use through this connection already.
    pub in_use: i64,
    /// Those about whom a person has to decide.
    pub doubts: i64,
    /// Those whose name is another account's.
    pub collisions: i64,
    /// Those whom the mapping refuses, or fails on.
    pub refused: i64,
    /// Those who are none of the tenant's.
    pub out_of_scope: i64,
    /// Those who are inactive and have no account to lose.
    pub inactive: i64,
    /// Those who have not been decided yet.
    pub undecided: i64,
    /// Imported accounts that are nobody's.
    pub leftovers: i64,
    /// Imported accounts that are protected, and left alone.
    pub protected: i64,
    /// Accounts of the connection that is taken over which are nobody's here, and stay with it.
    pub stays: i64,
    /// How many people gain each role.
    pub gained: BTreeMap<RoleId, i64>,
    /// How many people lose each role.
    pub lost: BTreeMap<RoleId, i64>,
}

impl Totals {
    /// Counts a line.
    pub fn add(&mut self, line: &Line) {
        self.people += i64::from(line.user.is_some());
        *match line.fate {
            Fate::New => &mut self.new,
            Fate::Adopted => &mut self.adopted,
            Fate::Moved => &mut self.moved,
            Fate::InUse => &mut self.in_use,
            Fate::Doubt => &mut self.doubts,
            Fate::Collision => &mut self.collisions,
            Fate::Refused => &mut self.refused,
            Fate::OutOfScope => &mut self.out_of_scope,
            Fate::Inactive => &mut self.inactive,
            Fate::Undecided => &mut self.undecided,
            Fate::Leftover => &mut self.leftovers,
            Fate::Protected => &mut self.protected,
            Fate::Stays => &mut self.stays,
        } += 1;
        for role in &line.gained {
            *self.gained.entry(role.clone()).or_default() += 1;
        }
        for role in &line.lost {
            *self.lost.entry(role.clone()).or_default() += 1;
        }
    }
}

/// Whose account somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match<'a> {
    New,
    Adopts(&'a AdoptionCandidate),
    Doubt(Vec<&'a AdoptionCandidate>),
    Collision(&'a AccountId),
}

/// The match itself: what somebody has in common with accounts that are there, and what a person has said.
fn matched(staged: &Staged) -> Match<'_> {
    let open: Vec<&AdoptionCandidate> = staged.candidates.iter().filter(|candidate| !candidate.protected).collect();
    let certain: Vec<&AdoptionCandidate> = open.iter().copied().filter(|candidate| candidate.by.name || candidate.by.external_id).collect();
    // A name that another account has is no way in, whatever else speaks for it.
    let taken = |by: &AccountId| staged.holder.as_ref().filter(|holder| *holder != by);
    let adopts = |candidate: &'_ AdoptionCandidate| taken(&candidate.account).is_none();
    match &staged.choice {
        Some(AdoptionChoice::Adopt(account)) => match open.iter().copied().find(|candidate| candidate.account == *account) {
            Some(candidate) if adopts(candidate) => return Match::Adopts(candidate),
            // What was chosen can't be adopted any more: decided again.
            Some(_) | None => {}
        },
        Some(AdoptionChoice::New) => return staged.holder.as_ref().map_or(Match::New, Match::Collision),
        None => {}
    }
    match certain.as_slice() {
        [one] if !adopts(one) => staged.holder.as_ref().map_or(Match::New, Match::Collision),
        [one] if !(one.rivals || one.gone && staged.state != AccountState::Suspended) => Match::Adopts(one),
        [] => match (&staged.holder, open.is_empty()) {
            (Some(holder), _) => Match::Collision(holder),
            (None, true) => Match::New,
            (None, false) => Match::Doubt(open),
        },
        _ => Match::Doubt(certain),
    }
}

/// What becomes of somebody.
#[must_use]
pub fn line(staged: &Staged) -> Line {
    let mut line = Line {
        user: Some(staged.user.clone()),
        user_name: staged.user_name.clone(),
        fate: Fate::New,
        account: staged.account.clone(),
        candidates: Vec::new(),
        holder: None,
        gained: Vec::new(),
        lost: Vec::new(),
        note: None,
    };
    // Whoever is gone at the identity provider has no account in use to come, and an imported one goes with them all the same.
    let gone = staged.state == AccountState::Suspended;
    let waits = |note: &Note| [Note::STAGING, Note::ADOPTION, Note::COLLISION].contains(&note.code.as_str());
    match staged.state {
        _ if staged.undecided => line.fate = Fate::Undecided,
        AccountState::OutOfScope => line.fate = Fate::OutOfScope,
        // The connection was live before, and went back: whoever could not go back has their account here.
        AccountState::Active | AccountState::Scheduled => line.fate = Fate::InUse,
        AccountState::Held if !staged.note.as_ref().is_some_and(waits) => line.fate = Fate::Refused,
        _ => settle_match(&mut line, matched(staged), staged, gone),
    }
    if matches!(line.fate, Fate::Refused | Fate::OutOfScope) {
        line.note.clone_from(&staged.note);
    }
    line
}

fn settle_match(line: &mut Line, matched: Match<'_>, staged: &Staged, gone: bool) {
    let has_no_account_to_come = match matched {
        Match::Adopts(_) => false,
        // Who has left while somebody was asked may have an account that is in use.
        Match::Doubt(_) => gone && !staged.asked,
        Match::New | Match::Collision(_) => gone,
    };
    if has_no_account_to_come {
        line.fate = Fate::Inactive;
        return;
    }
    match matched {
        Match::Adopts(candidate) => {
            line.fate = if candidate.from.is_some() { Fate::Moved } else { Fate::Adopted };
            line.account = candidate.account.clone();
            line.candidates = vec![shown(candidate)];
            let given: &[RoleId] = if gone { &[] } else { &staged.roles };
            line.gained = given.iter().filter(|role| !candidate.roles.contains(role)).cloned().collect();
            let stays = |role: &RoleId| given.contains(role) || !gone && candidate.excepted.contains(role);
            line.lost = candidate.roles.iter().filter(|role| !stays(role)).cloned().collect();
        }
        Match::Doubt(candidates) => {
            line.fate = Fate::Doubt;
            line.candidates = candidates.into_iter().map(shown).collect();
        }
        Match::Collision(holder) => {
            line.fate = Fate::Collision;
            line.holder = Some(holder.clone());
        }
        Match::New => match &staged.before {
            Some(before) => {
                line.fate = Fate::Collision;
                line.holder = Some(before.clone());
            }
            None => line.gained.clone_from(&staged.roles),
        },
    }
}

fn shown(candidate: &AdoptionCandidate) -> Candidate {
    let by = [(candidate.by.name, "user_name"), (candidate.by.external_id, "external_id"), (candidate.by.email, "email")];
    let by = by.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word).collect();
    Candidate { account: candidate.account.clone(), user_name: candidate.user_name.clone(), by, from: candidate.from.clone() }
}

/// An account that is nobody's here, unless one of the people who have something in common with it adopts it, or may.
#[must_use]
pub fn left(account: &Unadopted, alike: &[Line]) -> Option<Line> {
    let is_it = |candidate: &Candidate| candidate.account == account.account;
    if !account.protected && alike.iter().any(|line| line.candidates.iter().any(is_it)) {
        return None;
    }
    Some(Line {
        user: None,
        user_name: account.user_name.clone(),
        fate: match &account.from {
            Some(_) => Fate::Stays,
            None if account.protected => Fate::Protected,
            None => Fate::Leftover,
        },
        account: account.account.clone(),
        candidates: Vec::new(),
        holder: None,
        gained: Vec::new(),
        lost: Vec::new(),
        note: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Likeness;

    const NAME: Likeness = Likeness { name: true, external_id: false, email: false };
    const ID: Likeness = Likeness { name: false, external_id: true, email: false };
    const EMAIL: Likeness = Likeness { name: false, external_id: false, email: true };

    fn candidate(account: &str, by: Likeness) -> AdoptionCandidate {
        let roles = vec![RoleId("reader".into()), RoleId("old".into())];
        let (account, excepted) = (account.into(), Vec::new());
        AdoptionCandidate { account, user_name: None, by, protected: false, rivals: false, from: None, gone: false, roles, excepted }
    }

    /// The same of the connection that is taken over.
    fn there(account: &str, by: Likeness) -> AdoptionCandidate {
        AdoptionCandidate { from: Some("there".into()), ..candidate(account, by) }
    }

    fn gone(account: &str, by: Likeness) -> AdoptionCandidate {
        AdoptionCandidate { gone: true, ..there(account, by) }
    }

    fn staged(candidates: Vec<AdoptionCandidate>) -> Staged {
        let holder = candidates.iter().find(|candidate| candidate.by.name).map(|candidate| candidate.account.clone());
        Staged {
            user: "u".into(),
            account: "made".into(),
            state: AccountState::Held,
            note: Some(Note { code: Note::STAGING.into(), path: None, message: String::new() }),
            undecided: false,
            user_name: Some("ada".into()),
            roles: vec![RoleId("reader".into()), RoleId("writer".into())],
            candidates,
            holder,
            before: None,
            choice: None,
            asked: false,
        }
    }

    /// What becomes of somebody, and the account that it is about.
    fn fate(staged: &Staged) -> (Fate, String) {
        let line = line(staged);
        let about = line.holder.clone().unwrap_or_else(|| line.account.clone());
        (line.fate, about.0)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of all that may be")]
    fn whose_an_account_is() {
        let chosen = |choice| move |staged: &mut Staged| staged.choice = Some(choice);
        let adopt = |account: &str| chosen(AdoptionChoice::Adopt(account.into()));
        type Change<'a> = Box<dyn FnOnce(&mut Staged) + 'a>;
        let as_it_is = || -> Change<'_> { Box::new(|_| ()) };
        let cases: Vec<(&str, Vec<AdoptionCandidate>, Change<'_>, Fate, &str)> = vec![
            ("nothing in common", vec![], as_it_is(), Fate::New, "made"),
            ("the name", vec![candidate("a", NAME)], as_it_is(), Fate::Adopted, "a"),
            ("the external id", vec![candidate("a", ID)], as_it_is(), Fate::Adopted, "a"),
            ("an address alone", vec![candidate("a", EMAIL)], as_it_is(), Fate::Doubt, "made"),
            ("an address beside the name", vec![candidate("a", NAME), candidate("b", EMAIL)], as_it_is(), Fate::Adopted, "a"),
            ("the name of one, the id of another", vec![candidate("a", NAME), candidate("b", ID)], as_it_is(), Fate::Doubt, "made"),
            (
                "somebody else has as much in common",
                vec![AdoptionCandidate { rivals: true, ..candidate("a", NAME) }],
                as_it_is(),
                Fate::Doubt,
                "made",
            ),
            (
                "the id of one, the name of an account in use",
                vec![candidate("a", ID)],
                Box::new(|staged| staged.holder = Some("other".into())),
                Fate::Collision,
                "other",
            ),
            (
                "an address, the name of an account in use",
                vec![candidate("a", EMAIL)],
                Box::new(|staged| staged.holder = Some("other".into())),
                Fate::Collision,
                "other",
            ),
            (
                "the name of a protected one",
                vec![AdoptionCandidate { protected: true, ..candidate("root", NAME) }],
                as_it_is(),
                Fate::Collision,
                "root",
            ),
            (
                "the id of a protected one",
                vec![AdoptionCandidate { protected: true, ..candidate("root", ID) }],
                as_it_is(),
                Fate::New,
                "made",
            ),
            ("chosen of two", vec![candidate("a", NAME), candidate("b", ID)], Box::new(adopt("a")), Fate::Adopted, "a"),
            ("chosen by address", vec![candidate("a", EMAIL), candidate("b", EMAIL)], Box::new(adopt("b")), Fate::Adopted, "b"),
            (
                "chosen, and the name is another's",
                vec![candidate("a", NAME), candidate("b", ID)],
                Box::new(adopt("b")),
                Fate::Doubt,
                "made",
            ),
            ("chosen, and gone since", vec![candidate("a", EMAIL)], Box::new(adopt("gone")), Fate::Doubt, "made"),
            (
                "chosen, and protected since",
                vec![AdoptionCandidate { protected: true, ..candidate("a", NAME) }],
                Box::new(adopt("a")),
                Fate::Collision,
                "a",
            ),
            ("a new one", vec![candidate("a", EMAIL)], Box::new(chosen(AdoptionChoice::New)), Fate::New, "made"),
            ("a new one, and the name is taken", vec![candidate("a", NAME)], Box::new(chosen(AdoptionChoice::New)), Fate::Collision, "a"),
            ("not the first who wants a name", vec![], Box::new(|staged| staged.before = Some("first".into())), Fate::Collision, "first"),
            ("the name of one that is taken over", vec![there("a", NAME)], as_it_is(), Fate::Moved, "a"),
            ("the external id of one that is taken over", vec![there("a", ID)], as_it_is(), Fate::Moved, "a"),
            ("the address of one that is taken over", vec![there("a", EMAIL)], as_it_is(), Fate::Doubt, "made"),
            ("chosen there by address", vec![there("a", EMAIL)], Box::new(adopt("a")), Fate::Moved, "a"),
            ("one there and an imported one", vec![there("a", NAME), candidate("b", ID)], as_it_is(), Fate::Doubt, "made"),
            ("gone there, and active here", vec![gone("a", NAME)], as_it_is(), Fate::Doubt, "made"),
            ("gone there, and chosen", vec![gone("a", NAME)], Box::new(adopt("a")), Fate::Moved, "a"),
            ("gone here and there", vec![gone("a", NAME)], Box::new(|staged| staged.state = AccountState::Suspended), Fate::Moved, "a"),
            ("in use already", vec![], Box::new(|staged| staged.state = AccountState::Active), Fate::InUse, "made"),
            ("refused", vec![candidate("a", NAME)], Box::new(|staged| staged.note = None), Fate::Refused, "made"),
            (
                "none of the tenant's",
                vec![candidate("a", NAME)],
                Box::new(|s| s.state = AccountState::OutOfScope),
                Fate::OutOfScope,
                "made",
            ),
            ("not decided", vec![candidate("a", NAME)], Box::new(|s| s.undecided = true), Fate::Undecided, "made"),
            ("gone, and known", vec![candidate("a", ID)], Box::new(|s| s.state = AccountState::Suspended), Fate::Adopted, "a"),
            (
                "gone, and perhaps known",
                vec![candidate("a", EMAIL)],
                Box::new(|s| s.state = AccountState::Suspended),
                Fate::Inactive,
                "made",
            ),
        ];
        for (what, candidates, change, wanted, about) in cases {
            let mut staged = staged(candidates);
            change(&mut staged);
            assert_eq!(fate(&staged), (wanted, about.to_owned()), "{what}");
        }
    }

    #[test]
    fn a_difference_is_between_what_the_account_has_and_what_policies_give() {
        let roles = |line: &Line| {
            let words = |roles: &[RoleId]| roles.iter().map(|role| role.0.clone()).collect::<Vec<_>>().join(" ");
            (words(&line.gained), words(&line.lost))
        };
        let new = line(&staged(vec![]));
        let adopted = line(&staged(vec![candidate("a", NAME)]));
        let gone = line(&Staged { state: AccountState::Suspended, ..staged(vec![candidate("a", NAME)]) });
        let doubt = line(&staged(vec![candidate("a", EMAIL)]));
        for (asked, fate) in [(false, Fate::Inactive), (true, Fate::Doubt)] {
            let left = Staged { state: AccountState::Suspended, asked, ..staged(vec![candidate("a", EMAIL)]) };
            assert_eq!(line(&left).fate, fate, "asked: {asked}");
        }
        assert_eq!(roles(&new), ("reader writer".into(), String::new()));
        assert_eq!(roles(&adopted), ("writer".into(), "old".into()));
        assert_eq!(roles(&gone), (String::new(), "reader old".into()));
        assert_eq!(roles(&doubt), (String::new(), String::new()));
        let excepted = || vec![AdoptionCandidate { excepted: vec![RoleId("old".into())], ..there("a", NAME) }];
        assert_eq!(roles(&line(&staged(excepted()))), ("writer".into(), String::new()), "an exception goes with the account");
        let gone_there = Staged { state: AccountState::Suspended, ..staged(excepted()) };
        assert_eq!(roles(&line(&gone_there)), (String::new(), "reader old".into()), "and ends with who has left");
        let unadopted = |account: &str, protected| Unadopted {
            account: account.into(),
            user_name: None,
            protected,
            roles: Vec::new(),
            from: None,
            alike: Vec::new(),
        };
        let alike = [adopted.clone(), doubt.clone()];
        assert_eq!(left(&unadopted("a", false), &alike), None);
        assert_eq!(left(&unadopted("b", false), &alike).unwrap().fate, Fate::Leftover);
        let stays = Unadopted { from: Some("there".into()), ..unadopted("b", false) };
        assert_eq!(left(&stays, &alike).unwrap().fate, Fate::Stays);
        let kept = left(&unadopted("a", true), &alike).unwrap();
        let mut totals = Totals::default();
        [new, adopted, gone, doubt, kept].iter().for_each(|line| totals.add(line));
        assert_eq!((totals.people, totals.new, totals.adopted, totals.doubts, totals.protected), (4, 1, 2, 1, 1));
        assert_eq!(totals.gained, BTreeMap::from([(RoleId("reader".into()), 1), (RoleId("writer".into()), 2)]));
        assert_eq!(totals.lost, BTreeMap::from([(RoleId("old".into()), 2), (RoleId("reader".into()), 1)]));
    }
}
