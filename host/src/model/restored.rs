//! What is remembered of a connection that came back with a backup.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionState, Instant};

/// A connection whose gains wait since its database was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Its state in the backup, which it has again when it is released.
    pub was: ConnectionState,
    /// When the database was restored.
    pub at: Instant,
    /// When the backup was begun: who left since stands as they were then.
    pub backup_at: Instant,
}
