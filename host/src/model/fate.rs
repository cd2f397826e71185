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
        /// Imported accounts may be theirs: held until a person decides.
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
    }
);
