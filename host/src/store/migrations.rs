//! The migrations of both databases: the same numbers and names, applied once at opening. Knows files; knows no tables.

use std::ops::Deref;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::{Result, StoreError};

/// Number, name, statements.
pub(super) type Script = (i64, &'static str, &'static str);

/// SQLite's.
pub(super) const SQLITE: &[Script] = &[
    (1, "initial", include_str!("../../migrations/sqlite/0001_initial.sql")),
    (2, "plugin records", include_str!("../../migrations/sqlite/0002_plugin_records.sql")),
    (3, "trials", include_str!("../../migrations/sqlite/0003_trials.sql")),
    (4, "governance", include_str!("../../migrations/sqlite/0004_governance.sql")),
    (5, "history", include_str!("../../migrations/sqlite/0005_history.sql")),
    (6, "reviews", include_str!("../../migrations/sqlite/0006_reviews.sql")),
    (7, "processes", include_str!("../../migrations/sqlite/0007_processes.sql")),
    (8, "imports", include_str!("../../migrations/sqlite/0008_imports.sql")),
    (9, "what if", include_str!("../../migrations/sqlite/0009_what_if.sql")),
    (10, "admin", include_str!("../../migrations/sqlite/0010_admin.sql")),
    (11, "steps", include_str!("../../migrations/sqlite/0011_steps.sql")),
    (12, "reviews kept", include_str!("../../migrations/sqlite/0012_reviews_kept.sql")),
    (13, "health", include_str!("../../migrations/sqlite/0013_health.sql")),
    (14, "restore", include_str!("../../migrations/sqlite/0014_restore.sql")),
    (15, "drift", include_str!("../../migrations/sqlite/0015_drift.sql")),
    (16, "log", include_str!("../../migrations/sqlite/0016_log.sql")),
    (17, "guard", include_str!("../../migrations/sqlite/0017_guard.sql")),
    (18, "workspace", include_str!("../../migrations/sqlite/0018_workspace.sql")),
    (19, "moves", include_str!("../../migrations/sqlite/0019_moves.sql")),
    (20, "visitors and revisions", include_str!("../../migrations/sqlite/0020_visitors_and_revisions.sql")),
    (21, "departures and tokens", include_str!("../../migrations/sqlite/0021_departures_and_tokens.sql")),
    (22, "dependencies", include_str!("../../migrations/sqlite/0022_dependencies.sql")),
    (23, "kinds", include_str!("../../migrations/sqlite/0023_kinds.sql")),
    (24, "health rows", include_str!("../../migrations/sqlite/0024_health_rows.sql")),
    (25, "one tenant", include_str!("../../migrations/sqlite/0025_one_tenant.sql")),
    (26, "dropped", include_str!("../../migrations/sqlite/0026_dropped.sql")),
    (27, "master key", include_str!("../../migrations/sqlite/0027_master_key.sql")),
    (28, "import roles", include_str!("../../migrations/sqlite/0028_import_roles.sql")),
    (29, "removed targets", include_str!("../../migrations/sqlite/0029_removed_targets.sql")),
];
/// PostgreSQL's.
pub(super) const POSTGRES: &[Script] = &[
    (1, "initial", include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, "plugin records", include_str!("../../migrations/postgres/0002_plugin_records.sql")),
    (3, "trials", include_str!("../../migrations/postgres/0003_trials.sql")),
    (4, "governance", include_str!("../../migrations/postgres/0004_governance.sql")),
    (5, "history", include_str!("../../migrations/postgres/0005_history.sql")),
    (6, "reviews", include_str!("../../migrations/postgres/0006_reviews.sql")),
    (7, "processes", include_str!("../../migrations/postgres/0007_processes.sql")),
    (8, "imports", include_str!("../../migrations/postgres/0008_imports.sql")),
    (9, "what if", include_str!("../../migrations/postgres/0009_what_if.sql")),
    (10, "admin", include_str!("../../migrations/postgres/0010_admin.sql")),
    (11, "steps", include_str!("../../migrations/postgres/0011_steps.sql")),
    (12, "reviews kept", include_str!("../../migrations/postgres/0012_reviews_kept.sql")),
    (13, "health", include_str!("../../migrations/postgres/0013_health.sql")),
    (14, "restore", include_str!("../../migrations/postgres/0014_restore.sql")),
    (15, "drift", include_str!("../../migrations/postgres/0015_drift.sql")),
    (16, "log", include_str!("../../migrations/postgres/0016_log.sql")),
    (17, "guard", include_str!("../../migrations/postgres/0017_guard.sql")),
    (18, "workspace", include_str!("../../migrations/postgres/0018_workspace.sql")),
    (19, "moves", include_str!("../../migrations/postgres/0019_moves.sql")),
    (20, "visitors and revisions", include_str!("../../migrations/postgres/0020_visitors_and_revisions.sql")),
    (21, "departures and tokens", include_str!("../../migrations/postgres/0021_departures_and_tokens.sql")),
    (22, "dependencies", include_str!("../../migrations/postgres/0022_dependencies.sql")),
    (23, "kinds", include_str!("../../migrations/postgres/0023_kinds.sql")),
    (24, "health rows", include_str!("../../migrations/postgres/0024_health_rows.sql")),
    (25, "one tenant", include_str!("../../migrations/postgres/0025_one_tenant.sql")),
    (26, "dropped", include_str!("../../migrations/postgres/0026_dropped.sql")),
    (27, "master key", include_str!("../../migrations/postgres/0027_master_key.sql")),
    (28, "import roles", include_str!("../../migrations/postgres/0028_import_roles.sql")),
    (29, "removed targets", include_str!("../../migrations/postgres/0029_removed_targets.sql")),
];

/// Applies what is missing. Hosts that start at once wait for one another.
pub(super) async fn run<C>(conn: &mut C, scripts: &'static [Script]) -> Result<()>
where
    C: Migrate + Send,
    for<'c> &'c mut C: Deref<Target = C>,
{
    let migrations = scripts
        .iter()
        .map(|(number, name, statements)| Migration::new(*number, (*name).into(), MigrationType::Simple, statements.into_sql_str(), false))
        .collect();
    Migrator::with_migrations(migrations).run_direct(None, conn, false).await.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        MigrateError::ExecuteMigration(error, number) => match StoreError::from(error) {
            StoreError::Corrupt(why) => StoreError::Corrupt(format!("migration {number} can't be applied: {why}")),
            other => other,
        },
        other => StoreError::Corrupt(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_migrations_in_the_same_order() {
        let names = |scripts: &[Script]| scripts.iter().map(|(number, name, _)| (*number, *name)).collect::<Vec<_>>();
        assert_eq!(names(SQLITE), names(POSTGRES));
        assert!(SQLITE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
