//! What the planner knows of tables that grow fast. PostgreSQL gathers statistics once a minute at most; a first synchronisation fills a new
//! database with a hundred thousand people within that minute, and statements that were planned for empty tables go through all of them
//! each time. So each table's statistics are gathered again when it has grown to twice its size.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::store::Result;

/// How often tables are looked at: what a table can grow within it is what statements may have been planned too small for.
const PERIOD: Duration = Duration::from_secs(2);
/// Rows that come to every table first. Fewer change no plan.
const FIRST_ROWS: i32 = 200;

/// Tables in which more rows were written since their statistics than there were then, in words that a statement takes.
const GROWN: &str = "SELECT format('%I.%I', s.schemaname, s.relname) FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
     WHERE s.schemaname = current_schema() AND s.n_mod_since_analyze > $1 + GREATEST(c.reltuples, 0) ORDER BY s.relname";

/// Keeps statistics as long as it is polled, in a session of its own: the others may all be waiting for what was planned badly.
/// Whatever fails is tried again, because nothing depends on it but how fast answers come.
pub(super) async fn keep(options: PgConnectOptions) {
    // That a table was left to somebody else is a warning of the server's, and nothing to tell an operator.
    let options = options.options([("client_min_messages", "error")]);
    let mut session = None;
    loop {
        tokio::time::sleep(PERIOD).await;
        match once(session.take(), &options).await {
            Ok(conn) => session = Some(conn),
            Err(error) => tracing::debug!(%error, "statistics can't be gathered now"),
        }
    }
}

async fn once(session: Option<PgConnection>, options: &PgConnectOptions) -> Result<PgConnection> {
    let mut conn = match session {
        Some(conn) => conn,
        None => PgConnection::connect_with(options).await?,
    };
    gather(&mut conn).await?;
    Ok(conn)
}

/// Gathers the statistics of the tables that have grown, as their owner. Returns which.
async fn gather(conn: &mut PgConnection) -> Result<Vec<String>> {
    let grown: Vec<String> = sqlx::query_scalar(GROWN).bind(FIRST_ROWS).fetch_all(&mut *conn).await?;
    // One by one, each in a transaction of its own. What another host or autovacuum is at is left to it: autovacuum gives up when it is waited for.
    for table in &grown {
        conn.execute(AssertSqlSafe(format!("ANALYZE (SKIP_LOCKED) {table}"))).await?;
        tracing::debug!(table, "statistics were gathered");
    }
    Ok(grown)
}

#[cfg(test)]
mod tests {
    use super::super::{make_roles, scratch};
    use super::*;
    use crate::store::migrations;

    #[tokio::test]
    async fn a_table_that_has_grown_is_known_to_the_planner() {
        // Without a store, whose session would gather as well.
        let (url, _scratch) = scratch::blank().await;
        let mut conn = PgConnection::connect(&url).await.unwrap();
        make_roles(&mut conn).await.unwrap();
        migrations::run(&mut conn, migrations::POSTGRES).await.unwrap();
        let fill = "INSERT INTO tenants (tenant, name, managed_by, created, sealed_key)
                    SELECT 't' || i, 'T', 'api', 0, '' FROM generate_series($1::int, $2) AS i";
        let rows = async |conn: &mut PgConnection| -> f32 {
            sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE oid = 'tenants'::regclass").fetch_one(conn).await.unwrap()
        };
        let fill = async |conn: &mut PgConnection, from: i32, to: i32| {
            sqlx::query(fill).bind(from).bind(to).execute(&mut *conn).await.unwrap();
            // What a session has done is told to the others when it next is idle; asked for here.
            sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut *conn).await.unwrap();
        };
        let is_gathered = async |conn: &mut PgConnection| gather(conn).await.unwrap().contains(&"public.tenants".to_owned());
        fill(&mut conn, 1, 100).await;
        assert!(!is_gathered(&mut conn).await, "so few change no plan");
        // Until nothing is left, because autovacuum may be at a table.
        fill(&mut conn, 101, 1_000).await;
        while is_gathered(&mut conn).await {}
        assert!((rows(&mut conn).await - 1_000.0).abs() < 1.0, "{}", rows(&mut conn).await);
        fill(&mut conn, 1_001, 1_500).await;
        assert!(!is_gathered(&mut conn).await, "half as many more change no plan");
        fill(&mut conn, 1_501, 3_000).await;
        while is_gathered(&mut conn).await {}
        assert!((rows(&mut conn).await - 3_000.0).abs() < 1.0, "{}", rows(&mut conn).await);
    }
}
