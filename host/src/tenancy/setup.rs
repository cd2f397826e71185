//! The set-up of one connection, by somebody who has its link and no account.

use std::sync::Arc;

use super::{TenancyError, visitors};
use crate::app::App;
use crate::model::{Actor, Instant};
use crate::rate::TooMany;
use crate::store::{Connection, Link, StoreError, Tenant};

/// What is behind a link.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The tenant.
    pub tenant: Tenant,
    /// The connection.
    pub connection: Connection,
    /// The link.
    pub link: Link,
}

/// What became of a link that somebody opened.
#[derive(Clone, Debug)]
pub enum Opened {
    /// It is good.
    Good(Box<Setup>),
    /// It was never made, has expired or was ended: whoever asks isn't told which.
    NotGood,
    /// Too many links that are not good were opened.
    TooMany(TooMany),
}

impl Setup {
    /// Whoever has the link as the cause of events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { kind: Actor::SETUP_LINK.into(), id: self.link.id.clone() }
    }

    /// When the last credential was made since there is the link.
    #[must_use]
    pub fn made(&self) -> Option<Instant> {
        let all = self.connection.tokens.iter().chain(&self.connection.client_secrets);
        all.map(|credential| credential.created).filter(|created| *created > self.link.created).max()
    }
}

/// Opens the set-up that a link is for. A good link is recognised however many that were not came before it.
///
/// # Errors
/// The store's.
pub async fn open(app: &Arc<App>, token: &str) -> Result<Opened, StoreError> {
    if let Some((tenant, connection, link)) = visitors::setup_of(app, token).await?
        && let Some(known) = app.store.tenant(&tenant).await?
    {
        let found = app.store.connections(&tenant).await?.into_iter().find(|one| one.id == connection);
        if let Some(connection) = found {
            return Ok(Opened::Good(Box::new(Setup { tenant: known, connection, link })));
        }
    }
    Ok(app.guesses.take("links to set-ups", app.clock.now()).map_or_else(Opened::TooMany, |()| Opened::NotGood))
}

/// The set-up is done: its links are good no more.
///
/// # Errors
/// The store's.
pub async fn finish(app: &App, setup: &Setup) -> Result<(), TenancyError> {
    app.store.end_links(&setup.tenant.id, &setup.connection.id, &setup.actor(), app.clock.now()).await?;
    Ok(())
}
