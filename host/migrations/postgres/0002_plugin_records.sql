-- What is kept of tenants' plugins in production, and whose plugins a tenant accepts.
-- Twin: ../sqlite/0002_plugin_records.sql.

-- Calls that failed, for their author. What may hold personal values is sealed under the tenant's key; repeats are counted.
CREATE TABLE plugin_failures (
    position   BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,                 -- unguessable
    likeness   TEXT COLLATE "C" NOT NULL,                 -- the same for the same person, plugin, hook and code
    first_at   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,                  -- when it is forgotten
    times      BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,                 -- fault | refusal
    code       TEXT COLLATE "C" NOT NULL,
    hook       TEXT COLLATE "C" NOT NULL,
    plugin     TEXT COLLATE "C" NOT NULL,                 -- the name that it gives itself
    digest     TEXT COLLATE "C" NOT NULL,
    revision   TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    detail     BYTEA NOT NULL,                 -- sealed
    input      BYTEA NOT NULL,                 -- sealed
    PRIMARY KEY (tenant, position),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE UNIQUE INDEX plugin_failures_id ON plugin_failures (tenant, id);
CREATE UNIQUE INDEX plugin_failures_likeness ON plugin_failures (tenant, likeness);
CREATE INDEX plugin_failures_plugin ON plugin_failures (tenant, digest, last_at);
CREATE INDEX plugin_failures_last ON plugin_failures (tenant, last_at);
CREATE INDEX plugin_failures_person ON plugin_failures (tenant, connection, resource);
CREATE INDEX plugin_failures_until ON plugin_failures (tenant, until_at);

-- What plugins logged, for their author.
CREATE TABLE plugin_lines (
    position   BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant     TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    level      BIGINT NOT NULL,                  -- 0 debug, 1 info, 2 warn, 3 error
    plugin     TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    hook       TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    message    BYTEA NOT NULL,                 -- sealed
    PRIMARY KEY (tenant, position),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX plugin_lines_person ON plugin_lines (tenant, connection, resource);
CREATE INDEX plugin_lines_at ON plugin_lines (tenant, at);

-- Whose signatures on plugins a tenant accepts. Not in a revision: who may upload one could add a key to it.
CREATE TABLE plugin_keys (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    key_id     TEXT COLLATE "C" NOT NULL,                 -- SHA-256 of the public key
    name       TEXT COLLATE "C" NOT NULL,
    public_key BYTEA NOT NULL,
    created    BIGINT NOT NULL,
    PRIMARY KEY (tenant, key_id)
);

-- A tenant that is here takes signed plugins alone.
CREATE TABLE plugin_signing (
    tenant   TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants,
    required BOOLEAN NOT NULL
);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['plugin_failures', 'plugin_lines', 'plugin_keys', 'plugin_signing'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;
