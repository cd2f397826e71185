//! Test people of a client's own probe: they are parked for a short time, without a trace of them but their resource. Whoever is there after
//! that, or is written otherwise, is decided as somebody new.

use super::{Settled, Standing};
use crate::model::{AccountState, Instant, Note};
use crate::store::{AccountWrite, Effect};

/// A test person waits until then: no account in use, no role, no event.
#[must_use]
pub fn park(standing: &Standing<'_>, until: Instant) -> Settled {
    let message = "a test of the client's own: decided like anybody else if it is still there after a while, or is changed";
    let note = Note { code: Note::PROBE.into(), path: None, message: message.into() };
    let stands = standing.account.state == AccountState::OutOfScope && standing.account.note.as_ref() == Some(&note);
    let account = (!stands).then(|| write(standing, AccountState::OutOfScope, Some(note)));
    settled(Effect { account, next_evaluation_at: Some(until), ..Effect::default() })
}

/// A test person goes as they came.
#[must_use]
pub fn remove(standing: &Standing<'_>) -> Settled {
    settled(Effect { account: Some(write(standing, AccountState::Removed, None)), ..Effect::default() })
}

fn settled(effect: Effect) -> Settled {
    Settled { effect, guarded: None, still_pending: None, attempts: 0 }
}

fn write(standing: &Standing<'_>, state: AccountState, note: Option<Note>) -> AccountWrite {
    let before = standing.account;
    let (profile, provenance) = (before.profile.clone(), before.provenance.clone());
    AccountWrite { id: before.id.clone(), state, user_name: None, name_key: None, wanted_key: None, profile, provenance, note }
}
