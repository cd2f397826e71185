//! The spreading of an activation over a tenant's people, as the store keeps it: whom the revision leaves as they are is stamped, page by
//! page, and the others become due.

use async_trait::async_trait;
use serde_json::Value;

use super::{Place, Result};
use crate::model::{Instant, ResourceId, RevisionHash, TenantId};

/// People whom an activation has yet to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The fan-out that they are a page of.
    pub fan_out: String,
    /// Behind whom the page begins.
    pub after: Place,
    /// In the order of connections and users; fewer than were asked for when these are the last.
    pub people: Vec<Reached>,
}

/// Somebody whom an activation reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Who.
    pub place: Place,
    /// The version of their inputs.
    pub input_version: i64,
    /// The revision that they were decided under and what it made of them; `None` where more has to be asked than what another
    /// revision's policies say: something is pending, a date has come, a person has spoken about them, a role is not simply held,
    /// their account is not simply in use, or their connection is not active.
    pub settled: Option<(RevisionHash, Value)>,
}

/// What becomes of a page.
#[derive(Clone, Debug)]
pub struct Spread {
    /// The fan-out.
    pub fan_out: String,
    /// Where the page began, as it was read.
    pub after: Place,
    /// Where it ended; `None` when nobody is left.
    pub to: Option<Place>,
    /// The revision under which those who are left as they are have been decided.
    pub from: RevisionHash,
    /// The active one, under which they are decided alike.
    pub revision: RevisionHash,
    /// They, with the versions of their inputs.
    pub untouched: Vec<(Place, i64)>,
    /// Everybody of the page: who is not stamped becomes due.
    pub people: Vec<Place>,
    /// The instant that they were asked about.
    pub as_of: Instant,
    /// When.
    pub at: Instant,
}

/// Activations on their way.
#[async_trait]
pub trait Spreading: Send + Sync {
    /// The tenant whose fan-out is next.
    async fn spreading(&self) -> Result<Option<TenantId>>;

    /// The next people whom an activation reaches; `None` where the tenant's next fan-out is none of an activation, or so many are due that
    /// it waits.
    async fn next_page(&self, tenant: &TenantId, now: Instant, limit: i64) -> Result<Option<Page>>;
    /// Stamps those of a page who are left as they are, makes the others due, and moves on. Whose inputs have changed since the page was
    /// read is made due as well. `false`, and nothing is done, when another host has taken the page or another revision is active.
    async fn spread(&self, tenant: &TenantId, spread: &Spread) -> Result<bool>;
    /// The handle memberships that users have, in the order in which they were asked for.
    async fn handles_of(&self, tenant: &TenantId, places: &[Place]) -> Result<Vec<Vec<crate::model::GroupMembership>>>;
}

impl Reached {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &ResourceId {
        &self.place.1
    }
}
