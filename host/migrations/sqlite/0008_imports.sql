-- The first sync: accounts that existed before any connection, and who of a connection is to have them.

-- Accounts that were imported, as they were then; some have been adopted by a connection's person since.
CREATE TABLE imports (
    tenant       TEXT NOT NULL,
    account      TEXT NOT NULL,
    name_key     TEXT NOT NULL,
    external_id  TEXT,
    digest       TEXT NOT NULL,                   -- of the row that it was made from
    is_protected INTEGER NOT NULL,
    imported     INTEGER NOT NULL,
    adopted      INTEGER,
    PRIMARY KEY (tenant, account),
    FOREIGN KEY (tenant, account) REFERENCES accounts
) STRICT;
CREATE UNIQUE INDEX imports_name_key ON imports (tenant, name_key);
CREATE UNIQUE INDEX imports_external_id ON imports (tenant, external_id) WHERE external_id IS NOT NULL;
-- Those that nobody has adopted.
CREATE INDEX imports_left ON imports (tenant, account) WHERE adopted IS NULL;

CREATE TABLE import_emails (
    tenant  TEXT NOT NULL,
    value   TEXT NOT NULL,                        -- folded
    account TEXT NOT NULL,
    PRIMARY KEY (tenant, value, account),
    FOREIGN KEY (tenant, account) REFERENCES imports ON DELETE CASCADE
) STRICT;
CREATE INDEX import_emails_account ON import_emails (tenant, account);

-- What people have said before a connection goes live: which imported account somebody adopts, or none.
CREATE TABLE adoptions (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource   TEXT NOT NULL,
    account    TEXT,                              -- NULL: a new one
    decided    INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES imports ON DELETE CASCADE
) STRICT;
CREATE INDEX adoptions_account ON adoptions (tenant, account) WHERE account IS NOT NULL;

-- Moved by whatever changes what imported accounts a person may adopt.
CREATE TABLE import_versions (
    tenant  TEXT PRIMARY KEY REFERENCES tenants,
    version INTEGER NOT NULL
) STRICT;
