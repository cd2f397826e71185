//! What becomes of people who have moved from one connection to another, at either end.

use super::*;
use crate::lifecycle::house::has_moved;

fn noted(account: Account, code: &str) -> Account {
    Account { note: Some(Note { code: code.into(), path: None, message: String::new() }), ..account }
}

fn standing<'a>(account: &'a Account, grants: &'a [Grant], fresh: bool) -> Standing<'a> {
    Standing { account, fresh, grants, rulings: &[], former: Former::default(), attempts: 0, user: None }
}

/// What stands for somebody at the connection that they left.
fn placeholder(state: AccountState) -> Account {
    noted(Account { user_name: None, holds_name: false, ..account(state) }, Note::MOVED)
}

#[test]
fn what_the_old_connection_says_decides_nothing() {
    let moved = placeholder(AccountState::OutOfScope);
    let said = [mapped(&[("root", "eng")]), Evaluation::inactive(), Evaluation::outcome(Outcome::OutOfScope("no".into())), fault(true)];
    for evaluation in &said {
        let settled = settled_with(standing(&moved, &[], false), evaluation, &["eng"], LIVE, NOW);
        assert_eq!((settled.effect, settled.guarded, settled.still_pending), (Effect::default(), None, None), "{evaluation:?}");
    }
    let gone = with_rules(LIVE, |rules| remove(&standing(&moved, &[], false), (rules, &"c".into()), NOW));
    let write = gone.effect.account.clone().unwrap();
    assert_eq!((write.state, write.name_key, gone.effect.events.len(), gone.guarded), (AccountState::Removed, None, 0, None));
    assert!(has_moved(&Account { note: write.note, ..moved }), "whoever is made there again has still moved");
    let again = placeholder(AccountState::Removed);
    let made = settled_with(standing(&again, &[], true), &mapped(&[("root", "eng")]), &["eng"], LIVE, NOW);
    let write = made.effect.account.unwrap();
    assert_eq!(
        (write.state, write.name_key, write.note, made.effect.put_grants),
        (AccountState::OutOfScope, None, again.note.clone(), vec![])
    );
}

#[test]
fn what_the_new_connection_says_counts_as_ever_and_makes_nobody_a_mover() {
    let taken = noted(account(AccountState::Active), Note::TAKEN_OVER);
    let grants = [standing_grant("old", "eng"), standing_grant("kept", "eng")];
    let say = Say { overlap: true, ..LIVE };
    let decided = settled_with(standing(&taken, &grants, false), &mapped(&[("kept", "eng"), ("writer", "eng")]), &["eng"], say, NOW);
    assert_eq!((state(&decided), dropped(&decided)), (AccountState::Active, vec!["old"]));
    assert!(decided.guarded.is_some(), "the guard counts what is lost and gained");
    assert_eq!(decided.effect.account.as_ref().unwrap().note, None);
    assert_eq!(decided.effect.passages, settled(&account(AccountState::Active), &[], &mapped(&[]), &["eng"], false, NOW).effect.passages);
    let same = settled_with(standing(&taken, &grants, false), &mapped(&[("kept", "eng"), ("old", "eng")]), &["eng"], LIVE, NOW);
    assert_eq!((dropped(&same), put(&same.effect), &same.guarded), (vec![], vec![], &None));
}

#[test]
fn a_connection_that_went_back_to_staging_gives_those_in_use_nothing_new() {
    let in_use = account(AccountState::Active);
    let grants = [standing_grant("old", "eng")];
    let say = Say { connection: ConnectionState::Staging, ..LIVE };
    let decided = settled_with(standing(&in_use, &grants, false), &mapped(&[("old", "eng"), ("writer", "eng")]), &["eng"], say, NOW);
    assert_eq!((state(&decided), put(&decided.effect), dropped(&decided)), (AccountState::Active, vec![], vec![]));
}
