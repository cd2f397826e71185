//! Whether the people are still those whom a simulation saw.

use std::fmt;

use crate::app::App;
use crate::model::{ActivationSettings, TenantId, Trial};
use crate::store::StoreError;

/// How far people are counted beyond the limit: so that what is said of them is exact where it matters to anybody.
const COUNTED_LIMIT: i64 = 10_000;

/// About how many people something is other than when a simulation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// So many: at most `COUNTED_LIMIT`, or one more than may be.
    pub people: i64,
    /// Of how many.
    pub of: i64,
    /// So many may be.
    pub limit: i64,
}

impl Moved {
    /// Whether it is more than may be.
    #[must_use]
    pub fn is_past(self) -> bool {
        self.people > self.limit
    }

    fn most(limit: i64) -> i64 {
        limit.saturating_add(1).max(COUNTED_LIMIT)
    }

    /// Why an activation that names the simulation is refused.
    pub(super) fn refusal(self, simulation: &str) -> String {
        format!(
            "since simulation `{simulation}` began {self}, and it counts for at most {}: simulate it again, or say why it is activated all the same \
             with `--despite-changes REASON` (`despite_changes`)",
            self.limit
        )
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.people >= Self::most(self.limit) { "at least " } else { "" };
        write!(f, "something has changed about {least}{} people, new ones among them, where it asked about {}", self.people, self.of)
    }
}

/// About how many people something that a decision rests on, or that stands, is other than when the simulation began. Counted no further
/// than it matters.
///
/// # Errors
/// The store's.
pub async fn moved(app: &App, tenant: &TenantId, simulation: &Trial, settings: &ActivationSettings) -> Result<Moved, StoreError> {
    let of = simulation.population.unwrap_or(0);
    let limit = settings.moved_limit(of);
    let people = app.store.count_moved(tenant, simulation.started, Moved::most(limit)).await?;
    Ok(Moved { people, of, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_of_how_many() {
        let moved = |people| Moved { people, of: 240, limit: 24 };
        assert!(!moved(24).is_past() && moved(25).is_past());
        let refusal = moved(25).refusal("s1");
        let said = "since simulation `s1` began something has changed about 25 people, new ones among them, where it asked about 240, \
                    and it counts for at most 24: simulate it again";
        assert!(refusal.starts_with(said), "{refusal}");
        assert!(moved(COUNTED_LIMIT).to_string().contains("about at least 10000 people"));
        let large = Moved { people: 20_001, of: 1_000_000, limit: 20_000 };
        assert!(large.to_string().contains("at least 20001 people"));
    }
}
