//! A whole server in this process, on a free port and a database of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rolecall::app::App;
use rolecall::cli::serve::{self, Running};
use rolecall::clock::{Clock, SystemClock};
use rolecall::config::Config;
use rolecall::model::{Instant, TenantId};
use rolecall::store::ApiScope;
use rolecall::{jobs, tenancy};

use crate::database::Database;
use crate::tenant::TenantBuilder;
use crate::{Client, Tenant};

/// The system's clock, which a test can put forward.
#[derive(Debug, Default)]
pub struct ShiftedClock(AtomicI64);

impl ShiftedClock {
    /// Puts the clock forward.
    pub fn advance_hours(&self, hours: i64) {
        self.0.fetch_add(hours * 3_600, Ordering::SeqCst);
    }

    /// Puts the clock forward.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Instant {
        SystemClock.now().plus_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// A running server.
pub struct Server {
    running: Running,
    /// Its clock.
    pub clock: Arc<ShiftedClock>,
    /// A client with an operator's token: everything may be done.
    pub operator: Client,
}

impl Server {
    /// Starts a server on the database. What runs without a request runs in [`Server::settle`] alone, so that a test sees
    /// what stands before and after it.
    pub async fn start(database: &Database) -> Self {
        Self::start_with(database, |_| {}).await
    }

    /// Starts a server with other settings than usual.
    pub async fn start_with(database: &Database, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config(database);
        change(&mut config);
        let clock = Arc::new(ShiftedClock::default());
        let running = serve::start_idle(&config, Arc::<ShiftedClock>::clone(&clock)).await.expect("the server starts");
        Self::of(running, clock).await
    }

    /// Starts a server whose worker runs by itself, as in production.
    pub async fn start_working(database: &Database) -> Self {
        Self::start_working_with(database, |_| {}).await
    }

    /// The same with other settings than usual.
    pub async fn start_working_with(database: &Database, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config(database);
        change(&mut config);
        let clock = Arc::new(ShiftedClock::default());
        let running = serve::start_at(&config, Arc::<ShiftedClock>::clone(&clock)).await.expect("the server starts");
        Self::of(running, clock).await
    }

    async fn of(running: Running, clock: Arc<ShiftedClock>) -> Self {
        let scope = ApiScope { write: true, ..ApiScope::default() };
        let issued = tenancy::create_api_token(&running.app, scope, None).await.expect("a token can be made");
        let operator = Client::new(format!("http://{}/api/v1", running.addr), Some(issued.token.to_string()));
        Self { running, clock, operator }
    }

    /// The settings of a server on the database.
    #[must_use]
    pub fn config(database: &Database) -> Config {
        let mut config = Config::local(database.folder());
        config.database_url.clone_from(&database.url);
        config
    }

    /// The parts of the server.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.running.app
    }

    /// `http://ADDRESS`.
    #[must_use]
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// The date some days ahead, as the field of a form has it.
    #[must_use]
    pub fn clock_date(&self, days: i64) -> String {
        self.clock.now().plus_seconds(days * 86_400).to_string().chars().take(10).collect()
    }

    /// A tenant in the making: `.create()` makes it.
    #[must_use]
    pub fn tenant(&self, id: &str) -> TenantBuilder<'_> {
        TenantBuilder::new(self, id)
    }

    /// A handle of a tenant that exists already, on this server.
    #[must_use]
    pub fn existing(&self, id: &str) -> Tenant {
        Tenant::new(self, TenantId::from(id))
    }

    /// An API token's client.
    pub async fn api_client(&self, tenant: Option<&str>, write: bool) -> Client {
        let scope = ApiScope { tenant: tenant.map(TenantId::from), write, ..ApiScope::default() };
        let issued = tenancy::create_api_token(self.app(), scope, None).await.expect("a token can be made");
        self.operator.with_token(Some(&issued.token))
    }

    /// Does everything that is due, and returns when nothing is.
    pub async fn settle(&self) {
        jobs::run_until_idle(self.app()).await.expect("the jobs run");
    }

    /// Drains and stops.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}
