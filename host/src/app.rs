//! What a running Rolecall consists of. Built once by `cli::serve`; rooms take the parts that they need.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::compute::Compute;
use crate::crypto::Keyring;
use crate::issuer;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::model::ConnectionId;
use crate::outgoing;
use crate::plugins::Sandbox;
use crate::provisioning::Turns;
use crate::rate::{Guesses, Limiter, Rate};
use crate::store::Store;
use crate::tenancy::Revisions;
use crate::tenancy::handles::Freed;
use crate::trial::Shadows;
use crate::watch::Watch;

/// Wrong credentials that are counted, and told that they are wrong, on one connection; past it they are told to wait. A client
/// with an old token sends a few a minute, a sync that goes on with one some hundred at once.
const WRONG_CREDENTIALS: Rate = Rate { per_second: 5, burst: 300 };

/// Sign-ins that are begun at one provider: a large organisation in the morning stays far below it, and what is kept of those that never end
/// stays small.
const SIGN_INS: Rate = Rate { per_second: 50, burst: 1_000 };

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
    /// Candidate revisions that go along with what is decided.
    pub shadows: Shadows,
    /// Wakes the job that works at simulations.
    pub trials: Arc<Notify>,
    /// Where handles may have become free.
    pub freed: Freed,
    /// Turns of writers at one resource.
    pub turns: Turns,
    /// The client for whatever is asked of other servers.
    pub outgoing: outgoing::Client,
    /// Whose keys are being fetched.
    pub issuers: issuer::Fetching,
    /// What sign-in providers have said of themselves.
    pub providers: issuer::provider::Providers,
    /// What connections did, on its way to the database.
    pub journal: Journal,
    /// What plugins did that their authors want to see, on its way to the database.
    pub watch: Watch,
    /// How much each connection asks for.
    pub requests: Limiter<ConnectionId>,
    /// Wrong credentials, by the connection that was named with them.
    pub guesses: Guesses,
    /// Sign-ins that strangers begin, by provider.
    pub sign_ins: Guesses,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Wakes the worker (`jobs.rs`) when something is left to do.
    pub wake: Arc<Notify>,
    /// Wakes the deliveries when events were numbered.
    pub numbered: Arc<Notify>,
    /// The scheme and authority clients see, when a proxy is in front (`https://rolecall.example`); else the `Host` header's.
    pub public_url: Option<String>,
}

impl App {
    /// Puts the parts together, with everything empty that fills up while it runs.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keyring: Arc<Keyring>,
        sandbox: Sandbox,
        compute: Compute,
        connection_rate: Rate,
        outgoing: outgoing::Client,
    ) -> Self {
        Self {
            store,
            clock,
            keyring,
            sandbox: Arc::new(sandbox),
            compute: Arc::new(compute),
            revisions: Revisions::default(),
            shadows: Shadows::default(),
            trials: Arc::new(Notify::new()),
            freed: Freed::default(),
            turns: Turns::default(),
            outgoing,
            issuers: issuer::Fetching::default(),
            providers: issuer::provider::Providers::default(),
            journal: Journal::default(),
            watch: Watch::default(),
            requests: Limiter::new(connection_rate),
            guesses: Guesses::new(WRONG_CREDENTIALS),
            sign_ins: Guesses::new(SIGN_INS),
            metrics: Arc::new(Metrics::default()),
            wake: Arc::new(Notify::new()),
            numbered: Arc::new(Notify::new()),
            public_url: None,
        }
    }
}
