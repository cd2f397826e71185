//! What a running Rolecall consists of. Built once by `cli::serve`; rooms take the parts that they need.

use std::sync::Arc;

use crate::clock::Clock;
use crate::compute::Compute;
use crate::crypto::Keyring;
use crate::metrics::Metrics;
use crate::plugins::Sandbox;
use crate::store::Store;
use crate::tenancy::Revisions;

/// The parts of a running process.
pub struct App {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The master key and what is derived from it.
    pub keyring: Arc<Keyring>,
    /// The engine for tenant code.
    pub sandbox: Arc<Sandbox>,
    /// The threads for tenant code.
    pub compute: Arc<Compute>,
    /// Active revisions, built.
    pub revisions: Revisions,
    /// Turns of writers at one resource.
    pub turns: crate::provisioning::Turns,
    /// The client that delivers to targets.
    pub webhooks: crate::delivery::webhook::Client,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Wakes the worker (`jobs.rs`) when something is left to do.
    pub wake: Arc<tokio::sync::Notify>,
    /// Wakes the deliveries when events were numbered.
    pub numbered: Arc<tokio::sync::Notify>,
    /// The scheme and authority clients see, when a proxy is in front (`https://rolecall.example`); else the `Host` header's.
    pub public_url: Option<String>,
}
