-- Restores of a backup. Each is a row, written with the restored database; what is left to be done once afterwards is done by whoever opens it.

CREATE TABLE restores (
    restore_id    TEXT NOT NULL PRIMARY KEY,
    at            INTEGER NOT NULL,
    backup_at     INTEGER NOT NULL,                -- when the backup was begun
    revoke_tokens INTEGER NOT NULL,                -- whether API tokens end with it
    finished      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last restore that was carried through for the tenant.
ALTER TABLE tenants ADD COLUMN restored TEXT;
-- While the state is `restored`: JSON, what it was before and from which backup.
ALTER TABLE connections ADD COLUMN restored TEXT;
