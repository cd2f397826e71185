//! Writes that are made together: the statements that end a change, in one trip to the database.

use sqlx::QueryBuilder;

use super::rows::Row;
use super::{Conn, Db, begin_last_statement, begin_statement, end_statements};
use crate::store::Result;

/// Rows of one batch: with a dozen values each, far below both databases' limits on parameters.
const ROW_LIMIT: usize = 1_000;
/// Statements of a batch whose text is kept prepared. Longer ones are of rare shapes and would push out others.
const PREPARED_LIMIT: usize = 12;

/// Statements that wait to be executed together, in order. On PostgreSQL they become parts of one statement, so no part sees
/// what another writes, and no two may touch the same row; constraints are looked at when all are done.
pub(super) struct Batch {
    sql: QueryBuilder<Db>,
    statements: usize,
    rows: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { sql: QueryBuilder::new(""), statements: 0, rows: 0 }
    }

    /// Begins another statement, which writes so many rows and gives none back.
    pub(super) async fn next(&mut self, conn: &mut Conn, rows: usize) -> Result<&mut QueryBuilder<Db>> {
        if self.rows + rows > ROW_LIMIT {
            self.flush(conn).await?;
        }
        begin_statement(&mut self.sql, self.statements);
        self.statements += 1;
        self.rows += rows;
        Ok(&mut self.sql)
    }

    /// Executes what waits.
    pub(super) async fn flush(&mut self, conn: &mut Conn) -> Result<()> {
        if self.statements > 0 {
            let Self { mut sql, statements, .. } = std::mem::replace(self, Self::new());
            end_statements(&mut sql);
            sql.build().persistent(statements <= PREPARED_LIMIT).execute(conn).await?;
        }
        Ok(())
    }

    /// Executes what waits together with one more statement, and gives that one's rows.
    pub(super) async fn flush_with(&mut self, conn: &mut Conn, last: impl FnOnce(&mut QueryBuilder<Db>)) -> Result<Vec<Row>> {
        let Self { mut sql, statements, .. } = std::mem::replace(self, Self::new());
        begin_last_statement(&mut sql, statements);
        last(&mut sql);
        Ok(sql.build().persistent(statements <= PREPARED_LIMIT).fetch_all(conn).await?)
    }
}
