-- Restores of a backup. Each is a row, written with the restored database; what is left to be done once afterwards is done by whoever opens it.

CREATE TABLE restores (
    restore_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at            BIGINT NOT NULL,
    backup_at     BIGINT NOT NULL,                -- when the backup was begun
    revoke_tokens BOOLEAN NOT NULL,               -- whether API tokens end with it
    finished      BOOLEAN NOT NULL
);

-- The last restore that was carried through for the tenant.
ALTER TABLE tenants ADD COLUMN restored TEXT COLLATE "C";
-- While the state is `restored`: JSON, what it was before and from which backup.
ALTER TABLE connections ADD COLUMN restored TEXT COLLATE "C";

ALTER TABLE restores ENABLE ROW LEVEL SECURITY;
ALTER TABLE restores FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON restores TO rolecall_platform USING (true);
GRANT SELECT, INSERT, UPDATE ON restores TO rolecall_platform;
GRANT DELETE ON api_tokens TO rolecall_platform;
