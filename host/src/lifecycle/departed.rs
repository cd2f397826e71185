//! People whom the identity provider has deleted: what an answer to a hold gives back for a time, and how somebody begins anew who comes
//! back.

use super::settling::{DELETED, Settling};
use super::sooner;
use crate::model::{AccountId, AccountState, Instant, Note, collision_key};

/// After how many seconds somebody who can't be given back, because another has the name, is tried again: nothing tells when it is free.
const TRY_AGAIN_SECONDS: i64 = 3_600;

impl Settling<'_> {
    /// What is left of an account whose user was deleted ends when another user revives it: roles are decided afresh, and what was said of
    /// the departure is over.
    pub(super) fn begin_anew(&mut self) {
        self.end.extend(self.standing.former.rulings.iter().cloned());
        for grant in self.standing.former.grants {
            self.drop_grant(grant, "revived");
        }
    }

    /// Gives somebody back whom the identity provider has deleted, as long as somebody says so; or ends what is left of them.
    pub(super) fn departed(&mut self, holder: Option<&AccountId>, next: &mut Option<Instant>) {
        let Some(restored) = self.restored() else {
            self.leave(DELETED);
            return self.account(AccountState::Removed, None, None);
        };
        sooner(next, restored.ends);
        if let Some(holder) = holder {
            sooner(next, self.now.plus_seconds(TRY_AGAIN_SECONDS));
            let name = self.standing.account.user_name.as_deref().unwrap_or_default();
            let message = format!("is to be in use again, and the name `{name}` belongs to account `{holder}` by now");
            let note = Note { code: Note::COLLISION.into(), path: Some("userName".into()), message };
            return self.account(AccountState::Held, None, Some(note));
        }
        self.bring_back("the identity provider has deleted the person", next);
        self.take_name_back();
    }

    /// A removed account has let go of its name.
    fn take_name_back(&mut self) {
        if let Some(write) = self.account_mut() {
            write.name_key = write.user_name.as_deref().map(collision_key);
            write.wanted_key = None;
        }
    }
}
