-- What is kept of tenants' plugins in production, and whose plugins a tenant accepts.
-- Twin: ../postgres/0002_plugin_records.sql.

-- Calls that failed, for their author. What may hold personal values is sealed under the tenant's key; repeats are counted.
CREATE TABLE plugin_failures (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,                 -- unguessable
    likeness   TEXT NOT NULL,                 -- the same for the same person, plugin, hook and code
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    until_at   INTEGER NOT NULL,                  -- when it is forgotten
    times      INTEGER NOT NULL,
    kind       TEXT NOT NULL,                 -- fault | refusal
    code       TEXT NOT NULL,
    hook       TEXT NOT NULL,
    plugin     TEXT NOT NULL,                 -- the name that it gives itself
    digest     TEXT NOT NULL,
    revision   TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource   TEXT NOT NULL,
    account    TEXT NOT NULL,
    detail     BLOB NOT NULL,                 -- sealed
    input      BLOB NOT NULL,                 -- sealed
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX plugin_failures_id ON plugin_failures (tenant, id);
CREATE UNIQUE INDEX plugin_failures_likeness ON plugin_failures (tenant, likeness);
CREATE INDEX plugin_failures_plugin ON plugin_failures (tenant, digest, last_at);
CREATE INDEX plugin_failures_last ON plugin_failures (tenant, last_at);
CREATE INDEX plugin_failures_person ON plugin_failures (tenant, connection, resource);
CREATE INDEX plugin_failures_until ON plugin_failures (tenant, until_at);
CREATE INDEX plugin_failures_position ON plugin_failures (tenant, position);

-- What plugins logged, for their author.
CREATE TABLE plugin_lines (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    level      INTEGER NOT NULL,                  -- 0 debug, 1 info, 2 warn, 3 error
    plugin     TEXT NOT NULL,
    digest     TEXT NOT NULL,
    hook       TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource   TEXT NOT NULL,
    message    BLOB NOT NULL,                 -- sealed
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT;
CREATE INDEX plugin_lines_person ON plugin_lines (tenant, connection, resource);
CREATE INDEX plugin_lines_at ON plugin_lines (tenant, at);
CREATE INDEX plugin_lines_position ON plugin_lines (tenant, position);

-- Whose signatures on plugins a tenant accepts. Not in a revision: who may upload one could add a key to it.
CREATE TABLE plugin_keys (
    tenant     TEXT NOT NULL REFERENCES tenants,
    key_id     TEXT NOT NULL,                 -- SHA-256 of the public key
    name       TEXT NOT NULL,
    public_key BLOB NOT NULL,
    created    INTEGER NOT NULL,
    PRIMARY KEY (tenant, key_id)
) STRICT, WITHOUT ROWID;

-- A tenant that is here takes signed plugins alone.
CREATE TABLE plugin_signing (
    tenant   TEXT NOT NULL PRIMARY KEY REFERENCES tenants,
    required INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
