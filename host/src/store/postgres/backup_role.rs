//! The role that a backup reads with: row-level security holds the owner of the tables too, so that nobody else sees every row.

use sqlx::{Executor as _, PgConnection};

use crate::store::Result;

/// The second key of the advisory lock: hosts that start at once make the role's rights one after the other.
const LOCK: i32 = 0x0052_4334;

/// What the role may read, made for whatever tables there are: a migration can't forget it. Where the owner may make no roles, only backups miss it.
const LET_READ: &str = "DO $$
DECLARE
    name TEXT;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rolecall_backup') THEN
        BEGIN
            CREATE ROLE rolecall_backup NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'rolecall_backup', 'MEMBER') THEN
        EXECUTE format('GRANT rolecall_backup TO %I', current_user);
    END IF;
    FOR name IN SELECT relname FROM pg_class c WHERE relnamespace = current_schema()::text::regnamespace AND relkind IN ('r', 'S')
                AND CASE relkind WHEN 'r' THEN NOT has_table_privilege('rolecall_backup', c.oid, 'SELECT')
                                 ELSE NOT has_sequence_privilege('rolecall_backup', c.oid, 'SELECT') END LOOP
        EXECUTE format('GRANT SELECT ON %I TO rolecall_backup', name);
    END LOOP;
    FOR name IN SELECT relname FROM pg_class c WHERE relnamespace = current_schema()::text::regnamespace AND relkind = 'r' AND relrowsecurity
                AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'backup') LOOP
        EXECUTE format('CREATE POLICY backup ON %I FOR SELECT TO rolecall_backup USING (true)', name);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'the role rolecall_backup can not be made: backups need it';
END $$";

/// Lets the role read what there is.
pub(super) async fn let_read(owner: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT pg_advisory_lock($1, 0)").bind(LOCK).execute(&mut *owner).await?;
    let done = owner.execute(LET_READ).await;
    sqlx::query("SELECT pg_advisory_unlock($1, 0)").bind(LOCK).execute(owner).await?;
    done?;
    Ok(())
}
