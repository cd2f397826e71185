-- The first sync: accounts that existed before any connection, and who of a connection is to have them.

-- Accounts that were imported, as they were then; some have been adopted by a connection's person since.
CREATE TABLE imports (
    tenant       TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    name_key     TEXT COLLATE "C" NOT NULL,
    external_id  TEXT COLLATE "C",
    digest       TEXT COLLATE "C" NOT NULL,                   -- of the row that it was made from
    is_protected BOOLEAN NOT NULL,
    imported     BIGINT NOT NULL,
    adopted      BIGINT,
    PRIMARY KEY (tenant, account),
    FOREIGN KEY (tenant, account) REFERENCES accounts
);
CREATE UNIQUE INDEX imports_name_key ON imports (tenant, name_key);
CREATE UNIQUE INDEX imports_external_id ON imports (tenant, external_id) WHERE external_id IS NOT NULL;
-- Those that nobody has adopted.
CREATE INDEX imports_left ON imports (tenant, account) WHERE adopted IS NULL;

CREATE TABLE import_emails (
    tenant  TEXT COLLATE "C" NOT NULL,
    value   TEXT COLLATE "C" NOT NULL,                        -- folded
    account TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, value, account),
    FOREIGN KEY (tenant, account) REFERENCES imports ON DELETE CASCADE
);
CREATE INDEX import_emails_account ON import_emails (tenant, account);

-- What people have said before a connection goes live: which imported account somebody adopts, or none.
CREATE TABLE adoptions (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C",                              -- NULL: a new one
    decided    BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES imports ON DELETE CASCADE
);
CREATE INDEX adoptions_account ON adoptions (tenant, account) WHERE account IS NOT NULL;

-- Moved by whatever changes what imported accounts a person may adopt.
CREATE TABLE import_versions (
    tenant  TEXT COLLATE "C" PRIMARY KEY REFERENCES tenants,
    version BIGINT NOT NULL
);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['imports', 'import_emails', 'adoptions', 'import_versions'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;
