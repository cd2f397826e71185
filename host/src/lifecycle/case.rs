//! One person: what a decision is made on, and what stands.

use rolecall_scim::resource::Document;

use super::{Former, Standing};
use crate::evaluation::Subject;
use crate::model::{Account, AccountId, AccountState, ConnectionId, Grant, GroupMembership, Instant, Note, ResourceId, Ruling};
use crate::store::{Departed, Person};

/// `as_of` is cut to this many seconds: coarse enough that people of one minute can share answers.
const AS_OF_SECONDS: i64 = 60;

/// A person with the inputs that a decision is to be made on, and what stands.
#[derive(Clone, Debug)]
pub struct Case {
    /// The inputs after the change.
    pub subject: Subject,
    /// The account that stands; a new one for a new person.
    pub account: Account,
    /// Whether the account is new, or revived, with this change.
    pub fresh: bool,
    /// The grants that stand.
    pub grants: Vec<Grant>,
    /// What people and the guard have said that counts still.
    pub rulings: Vec<Ruling>,
    /// The grants that are left of somebody who comes back.
    pub former: Vec<Grant>,
    /// What was said of their departure, by id.
    pub former_rulings: Vec<String>,
    /// Consecutive infrastructure faults so far.
    pub attempts: i64,
    /// The `input_version` that was read; 0 for a new person.
    pub input_version: i64,
    /// The date that the last evaluation named.
    pub due: Option<Instant>,
    /// Until when a client's test person waits.
    pub parked: Option<Instant>,
}

fn is_probe(person: &Person) -> bool {
    person.account.note.as_ref().is_some_and(|note| note.code == Note::PROBE)
}

impl Case {
    /// The case of a stored person with other inputs.
    #[must_use]
    pub fn of(person: Person, document: Document, groups: Vec<GroupMembership>) -> Self {
        let excepted = super::excepted(&person.rulings, &person.grants);
        let parked = Self::parked_until(&person);
        let fresh = is_probe(&person) || person.account.user_name.is_none() && person.evaluation.evaluated_version.is_none();
        Self {
            subject: Subject { user: person.resource.id, connection: person.connection, document, groups, collision: None, excepted },
            account: person.account,
            fresh,
            grants: person.grants,
            rulings: person.rulings,
            former: Vec::new(),
            former_rulings: Vec::new(),
            attempts: person.evaluation.attempts,
            input_version: person.evaluation.input_version,
            due: person.evaluation.next_evaluation_at,
            parked,
        }
    }

    /// Until when a stored person waits as a client's test; `None` for everybody else.
    #[must_use]
    pub fn parked_until(person: &Person) -> Option<Instant> {
        person.evaluation.next_evaluation_at.filter(|_| is_probe(person))
    }

    /// The case of a stored person as they are.
    #[must_use]
    pub fn unchanged(person: Person) -> Self {
        let (document, groups) = (person.resource.document.clone(), person.groups.clone());
        Self::of(person, document, groups)
    }

    /// The case of a new person in no group; `account` is a new one's id, and `revived` what is left of the deleted user whom the external id
    /// names.
    #[must_use]
    pub fn new(
        user: ResourceId,
        connection: ConnectionId,
        document: Document,
        account: AccountId,
        revived: Option<Departed>,
        now: Instant,
    ) -> Self {
        let (revived, former, said) = match revived {
            Some(Departed { account, grants, rulings, .. }) => (Some(account), grants, rulings),
            None => (None, Vec::new(), Vec::new()),
        };
        // Exceptions are of the account, and go on; what was said of roles and of the departure is over.
        let (rulings, over): (Vec<Ruling>, Vec<Ruling>) = said.into_iter().partition(|ruling| ruling.kind.is_said_unasked());
        let excepted = super::excepted(&rulings, &[]);
        let account = revived.unwrap_or_else(|| Account {
            id: account,
            state: AccountState::Active,
            user_name: None,
            holds_name: false,
            profile: serde_json::Value::Null,
            provenance: serde_json::Value::Null,
            note: None,
            created: now,
            modified: now,
        });
        Self {
            subject: Subject { user, connection, document, groups: Vec::new(), collision: None, excepted },
            account,
            fresh: true,
            grants: Vec::new(),
            rulings,
            former,
            former_rulings: over.into_iter().map(|ruling| ruling.id).collect(),
            attempts: 0,
            input_version: 0,
            due: None,
            parked: None,
        }
    }

    /// Until when the person waits, as a client's test.
    #[must_use]
    pub fn waits_at(&self, now: Instant) -> Option<Instant> {
        self.parked.filter(|until| now < *until)
    }

    /// What stands.
    #[must_use]
    pub fn standing(&self) -> Standing<'_> {
        Standing {
            account: &self.account,
            fresh: self.fresh,
            grants: &self.grants,
            rulings: &self.rulings,
            former: Former { grants: &self.former, rulings: &self.former_rulings },
            attempts: self.attempts,
            user: Some(&self.subject.document),
        }
    }
}

/// The instant that an evaluation at `now` is given: whole minutes, but never before a date that made it due.
#[must_use]
pub fn as_of(now: Instant, due: Option<Instant>) -> Instant {
    let unit = AS_OF_SECONDS * 1_000_000;
    let cut = Instant(now.0 - now.0.rem_euclid(unit));
    due.filter(|due| *due <= now).map_or(cut, |due| cut.max(due))
}
