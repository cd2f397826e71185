//! What a first sync makes of people and of accounts that were there before.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

word_enum!(
    /// What becomes of somebody, or of an imported account, when the connection goes live.
    Fate {
        /// A new account.
        New = "new",
        /// They adopt an imported account, which keeps its id.
        Adopted = "adopted",
        /// They have an account through the connection that is taken over, and keep it.
        Moved = "moved",
        /// They have an account in use through this connection already: it stays as it is.
        InUse = "in_use",
        /// Accounts that are there may be theirs: held until a person decides.
        Doubt = "doubt",
        /// Their name is another account's: held.
        Collision = "collision",
        /// The mapping refuses them, or failed.
        Refused = "refused",
        /// The mapping says that they are none of the tenant's.
        OutOfScope = "out_of_scope",
        /// The identity provider says that they are inactive, and no imported account is theirs.
        Inactive = "inactive",
        /// They have not been decided yet.
        Undecided = "undecided",
        /// An imported account that is nobody's: it stays as it is.
        Leftover = "leftover",
        /// An imported account that no connection may touch.
        Protected = "protected",
        /// An account of the connection that is taken over, and nobody's here: it stays with that connection.
        Stays = "stays",
    }
);

word_enum!(
    /// Whether somebody who has moved to another connection can go back.
    Return {
        /// They go back.
        Goes = "goes",
        /// They have left since: an account that is out of use is not brought back by going back.
        Left = "left",
        /// They were deleted at the connection that they moved to.
        Deleted = "deleted",
        /// They were deleted at the connection that they came from.
        DeletedThere = "deleted_there",
        /// The connection that they came from says that they are inactive: going back would end their access.
        InactiveThere = "inactive_there",
        /// They have another account by now, at one end or the other.
        Elsewhere = "elsewhere",
    }
);
