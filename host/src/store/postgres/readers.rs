//! The sessions that read with one statement. Such a statement needs no transaction of its own but for naming the tenant, so each
//! session stays in the name of the tenant that it last read for, and a read is one trip instead of three. What a session may see
//! is the same as in a transaction: row-level security asks for the name that is set, and nothing is read before it is.

use std::ops::{Deref, DerefMut};

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};

use super::{enter, is_closed};
use crate::model::TenantId;
use crate::store::{Result, pool};

/// Opens sessions of one role, which can't write.
pub(super) struct Opener {
    options: PgConnectOptions,
    role: &'static str,
}

/// A session, and the tenant that it is in the name of.
pub(super) struct Session {
    conn: PgConnection,
    tenant: Option<TenantId>,
}

impl Manager for Opener {
    type Type = Session;
    type Error = sqlx::Error;

    async fn create(&self) -> std::result::Result<Session, sqlx::Error> {
        let mut conn = self.options.connect().await?;
        conn.execute(AssertSqlSafe(format!("SET ROLE {}", self.role))).await?;
        Ok(Session { conn, tenant: None })
    }

    async fn recycle(&self, _: &mut Session, _: &Metrics) -> RecycleResult<sqlx::Error> {
        // Whether it still lives shows with the statement itself: see [`super::is_lost`].
        Ok(())
    }
}

/// The reading sessions of one role.
pub(super) struct Readers(Pool<Opener>);

/// What reads with one statement.
pub struct ReadOne(Object<Opener>);

impl Readers {
    pub(super) fn new(options: PgConnectOptions, role: &'static str, most: usize) -> Result<Self> {
        let options = options.options([("default_transaction_read_only", "on")]);
        pool::of(Opener { options, role }, most).map(Self)
    }

    /// A session as it is: for roles that belong to no tenant.
    pub(super) async fn any(&self) -> Result<ReadOne> {
        pool::one(&self.0).await.map(ReadOne)
    }

    /// A session in the tenant's name.
    pub(super) async fn of(&self, tenant: &TenantId) -> Result<ReadOne> {
        loop {
            let mut reader = self.any().await?;
            let session = &mut *reader.0;
            if session.tenant.as_ref() == Some(tenant) {
                return Ok(reader);
            }
            // Until the answer is there, it is in nobody's name.
            session.tenant = None;
            match session.conn.execute(AssertSqlSafe(enter("SESSION", tenant))).await {
                Ok(_) => {
                    session.tenant = Some(tenant.clone());
                    return Ok(reader);
                }
                // Each one that is given up leaves room for a new one, so that this ends.
                Err(error) if is_closed(&error) => reader.give_up(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl ReadOne {
    /// Leaves the session to nobody else.
    pub(super) fn give_up(self) {
        drop(Object::take(self.0));
    }
}

impl Deref for ReadOne {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.conn
    }
}

impl DerefMut for ReadOne {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.conn
    }
}
