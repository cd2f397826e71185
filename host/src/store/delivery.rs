//! Events on their way to the systems that are told of them.

use std::collections::BTreeMap;

use super::LinkToken;
use crate::model::{Event, Instant, TenantId};

/// For how long a claim keeps other processes away from a delivery, in seconds: longer than an attempt takes at its slowest.
pub const DELIVERY_LEASE_SECONDS: i64 = 60;

/// How many deliveries may be claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryRoom {
    /// In all.
    pub free: i64,
    /// Of one tenant, together with those that are under way.
    pub each: i64,
    /// How many are under way, by tenant.
    pub busy: BTreeMap<TenantId, i64>,
}

impl DeliveryRoom {
    /// Room for so many, of whichever tenants.
    #[must_use]
    pub fn of(free: i64) -> Self {
        Self { free, each: free, busy: BTreeMap::new() }
    }
}

/// A downstream system that is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: String,
    /// The tenant.
    pub tenant: TenantId,
    /// Where to.
    pub url: String,
    /// The signing secret, sealed under the tenant's key.
    pub sealed_secret: Vec<u8>,
    /// Whether deliveries are made.
    pub enabled: bool,
}

impl Target {
    /// Where to, without what may be a secret: scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        // What is set was parsed before, and names nobody in front of its host.
        let host = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let end = self.url[host..].find(['/', '?', '#', '\\']).map_or(self.url.len(), |end| host + end);
        self.url[..end].to_owned()
    }
}

/// What became of an event at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The target.
    pub target: String,
    /// The event's number.
    pub seq: i64,
    /// What happened.
    pub kind: String,
    /// `waiting`, `acknowledged` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// How the last attempt failed.
    pub problem: Option<String>,
    /// When it was acknowledged, or given up.
    pub finished: Option<Instant>,
}

/// A delivery that is due: the first undelivered event of its person at its target.
#[derive(Clone, Debug, PartialEq)]
pub struct DueDelivery {
    /// The tenant.
    pub tenant: TenantId,
    /// The target.
    pub target: Target,
    /// The event.
    pub event: Event,
    /// How often it was tried.
    pub attempts: i64,
    /// What the target alone is told with it: the token in an invitation's link.
    pub token: Option<LinkToken>,
}

/// How an attempt to deliver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The target acknowledged it.
    Acknowledged,
    /// To be tried again at the instant, for the reason.
    Retry(Instant, String),
    /// The target wants no more, for the reason: it is to be paused ([`crate::store::Store::pause_target`]), and the event waits.
    Unwanted(String),
    /// Given up for good, for the reason.
    Dead(String),
}
