//! A revision that was activated a while ago: whom it turns away and the one before did not is counted, and when they are too many
//! the one before is activated again. A mapping that calls everybody *out of scope* is a success to the sandbox; this is what sees it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::evaluation::{self, Evaluation, Fault, Outcome, Subject};
use crate::model::{AccountId, Instant, Note, RevisionHash, TurnedAway, Watch};
use crate::revision::Revision;

/// A fresh revision under watch.
pub struct Fresh {
    /// The activation's number.
    pub activation: i64,
    /// The fresh revision.
    pub revision: RevisionHash,
    /// What is activated again.
    pub previous: Arc<Revision>,
    watch: Watch,
    seen: Mutex<Seen>,
    returning: AtomicBool,
}

#[derive(Default)]
struct Seen {
    /// Whom it turned away in this process: no more than the limit.
    people: HashSet<AccountId>,
    /// What is not in the database yet.
    unsaved: TurnedAway,
    /// How many it turned away in other processes, and before this one started.
    elsewhere: i64,
}

/// What to do with a decision that turns somebody away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts and stands.
    Within,
    /// It is one too many: it is not to be committed, and the revision before is to be activated again.
    Past,
}

impl Fresh {
    /// Nothing seen yet, but what the activation says.
    #[must_use]
    pub fn new(activation: i64, revision: RevisionHash, previous: Arc<Revision>, watch: Watch, so_far: TurnedAway) -> Self {
        let seen = Mutex::new(Seen { elsewhere: so_far.people(), ..Seen::default() });
        Self { activation, revision, previous, watch, seen, returning: AtomicBool::new(false) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is still watched.
    #[must_use]
    pub fn is_watched(&self, now: Instant) -> bool {
        now < self.watch.until
    }

    /// Whether the fresh revision turns somebody away whom the one before would not. Runs tenant code.
    #[must_use]
    pub fn turns_away(&self, subject: &Subject, at: Instant, evaluation: &Evaluation) -> bool {
        let away = match &evaluation.outcome {
            Outcome::Fault(fault) => !fault.infrastructure,
            Outcome::Refused(_) | Outcome::OutOfScope(_) | Outcome::Ended => true,
            Outcome::Inactive | Outcome::Account(_) | Outcome::Collision(..) => false,
        };
        away && matches!(evaluation::evaluate(&self.previous, subject, at).outcome, Outcome::Account(_) | Outcome::Collision(..))
    }

    /// Counts somebody who is turned away; the same person once.
    #[must_use]
    pub fn count(&self, account: &AccountId, outcome: &Outcome) -> Verdict {
        let mut seen = self.seen();
        if seen.people.contains(account) {
            return Verdict::Within;
        }
        if i64::try_from(seen.people.len()).unwrap_or(i64::MAX).saturating_add(seen.elsewhere) >= self.watch.limit {
            return Verdict::Past;
        }
        seen.people.insert(account.clone());
        match outcome {
            Outcome::Refused(_) => seen.unsaved.refused += 1,
            Outcome::OutOfScope(_) | Outcome::Ended => seen.unsaved.out_of_scope += 1,
            _ => seen.unsaved.faults += 1,
        }
        Verdict::Within
    }

    /// What is not in the database yet, taken.
    #[must_use]
    pub fn unsaved(&self) -> TurnedAway {
        std::mem::take(&mut self.seen().unsaved)
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, people: TurnedAway) {
        let unsaved = &mut self.seen().unsaved;
        unsaved.faults += people.faults;
        unsaved.refused += people.refused;
        unsaved.out_of_scope += people.out_of_scope;
    }

    /// What the database counts in all. Whether that is past the limit.
    #[must_use]
    pub fn learn(&self, totals: TurnedAway) -> Verdict {
        let mut seen = self.seen();
        let here = i64::try_from(seen.people.len()).unwrap_or(i64::MAX) - seen.unsaved.people();
        seen.elsewhere = (totals.people() - here).max(0);
        if totals.people() > self.watch.limit { Verdict::Past } else { Verdict::Within }
    }

    /// Why it is taken back.
    #[must_use]
    pub fn reason(&self) -> String {
        format!(
            "it turned away more than {} people whom revision {} gives an account: see the accounts' notes, and try it out with `rolecall \
             tenant simulate`",
            self.watch.limit, self.previous.hash
        )
    }

    /// Whether the caller is the one to take it back: true once, until [`Self::failed`].
    #[must_use]
    pub fn begin_return(&self) -> bool {
        !self.returning.swap(true, Ordering::Relaxed)
    }

    /// Taking it back did not work out: the next one tries again.
    pub fn failed(&self) {
        self.returning.store(false, Ordering::Relaxed);
    }
}

/// The evaluation of somebody whom a revision on its way back turned away: no verdict, to be asked again.
#[must_use]
pub fn parked() -> Evaluation {
    let message = "the revision is being taken back, because it turned too many people away: the one before decides in a moment";
    let note = Note { code: "revision_returned".into(), path: None, message: message.into() };
    Evaluation::fault(Fault { note, code: "revision_returned", infrastructure: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::{Sandbox, SandboxConfig};

    fn fresh(limit: i64, so_far: TurnedAway) -> Fresh {
        let files = [("tenant.toml".to_owned(), b"name = \"T\"\n".to_vec())].into();
        let previous =
            Revision::build(&files, &Sandbox::new(&SandboxConfig::default()).unwrap()).unwrap_or_else(|found| panic!("{found:?}"));
        Fresh::new(1, "r2".into(), Arc::new(previous), Watch { limit, until: Instant(10) }, so_far)
    }

    #[test]
    fn as_many_as_the_limit_are_turned_away_and_nobody_counts_twice() {
        let fresh = fresh(3, TurnedAway { faults: 1, ..TurnedAway::default() });
        let away = Outcome::OutOfScope("none of ours".into());
        for account in ["a", "b", "a", "b"] {
            assert_eq!(fresh.count(&account.into(), &away), Verdict::Within);
        }
        assert_eq!(fresh.count(&"c".into(), &away), Verdict::Past);
        assert_eq!(fresh.unsaved(), TurnedAway { out_of_scope: 2, ..TurnedAway::default() });
        assert_eq!(fresh.unsaved(), TurnedAway::default());
    }

    #[test]
    fn what_other_processes_count_is_added() {
        let fresh = fresh(3, TurnedAway::default());
        let away = Outcome::OutOfScope("none of ours".into());
        assert_eq!(fresh.count(&"a".into(), &away), Verdict::Within);
        let mine = fresh.unsaved();
        assert_eq!(fresh.learn(TurnedAway { faults: 2, ..mine }), Verdict::Within);
        assert_eq!(fresh.count(&"b".into(), &away), Verdict::Past);
        assert_eq!(fresh.learn(TurnedAway { faults: 3, ..mine }), Verdict::Past);
        assert!(fresh.begin_return() && !fresh.begin_return());
        fresh.failed();
        assert!(fresh.begin_return());
        assert!(fresh.is_watched(Instant(9)) && !fresh.is_watched(Instant(10)));
    }

    #[test]
    fn only_whom_the_one_before_would_take_is_turned_away() {
        let fresh = fresh(3, TurnedAway::default());
        let subject = |user: &str| Subject {
            user: "u".into(),
            connection: "c".into(),
            document: rolecall_scim::resource::Document::from_stored(user).unwrap(),
            groups: vec![],
            collision: None,
            excepted: Vec::new(),
        };
        let away = Evaluation::outcome(Outcome::OutOfScope("none of ours".into()));
        assert!(fresh.turns_away(&subject(r#"{"userName":"ada"}"#), Instant(0), &away));
        assert!(!fresh.turns_away(&subject(r#"{"userName":"\u0007"}"#), Instant(0), &away), "refused before as well");
        assert!(!fresh.turns_away(&subject(r#"{"userName":"ada"}"#), Instant(0), &parked()), "no verdict is nobody turned away");
    }
}
