-- The durable state on PostgreSQL. Its twin is ../sqlite/0001_initial.sql: same tables, columns and index names.
-- The tenant is the first column of every key. Instants are microseconds since 1970 (UTC); JSON is text. Indexes beside a key
-- are partial where they can be: PostgreSQL's planner, while it has no statistics, could mistake them for a way to the key.

CREATE TABLE tenants (
    tenant          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL,
    managed_by      TEXT COLLATE "C" NOT NULL,
    active_revision TEXT COLLATE "C",
    sealed_key      BYTEA NOT NULL,              -- the tenant's key, sealed under the master key
    created         BIGINT NOT NULL
);

-- The last public sequence number of each tenant's history. Not in `tenants`, so that numbering never waits for writes.
CREATE TABLE event_heads (
    tenant   TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants,
    last_seq BIGINT NOT NULL
);

CREATE TABLE revisions (
    tenant  TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    hash    TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (tenant, hash)
);

-- What is in the files of revisions, each content once: by its SHA-256.
CREATE TABLE contents (
    tenant TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    digest TEXT COLLATE "C" NOT NULL,
    bytes  BYTEA NOT NULL,
    PRIMARY KEY (tenant, digest)
);

CREATE TABLE revision_files (
    tenant TEXT COLLATE "C" NOT NULL,
    hash   TEXT COLLATE "C" NOT NULL,
    path   TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, hash, path),
    FOREIGN KEY (tenant, hash) REFERENCES revisions,
    FOREIGN KEY (tenant, digest) REFERENCES contents
);
CREATE INDEX revision_files_digest ON revision_files (tenant, digest);

-- The plugins of all revisions, as they describe themselves.
CREATE TABLE plugins (
    tenant  TEXT COLLATE "C" NOT NULL,
    digest  TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    hooks   TEXT COLLATE "C" NOT NULL,              -- separated by spaces
    size    BIGINT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (tenant, digest),
    FOREIGN KEY (tenant, digest) REFERENCES contents
);
CREATE INDEX plugins_created ON plugins (tenant, created, digest);

-- The one table without a tenant first: a token may be good for the whole platform.
CREATE TABLE api_tokens (
    token_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash      TEXT COLLATE "C" NOT NULL,
    tenant    TEXT COLLATE "C" REFERENCES tenants,
    may_write BOOLEAN NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT
);
CREATE UNIQUE INDEX api_tokens_hash ON api_tokens (hash);

CREATE TABLE connections (
    tenant            TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    connection        TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    state             TEXT COLLATE "C" NOT NULL,
    created           BIGINT NOT NULL,
    last_seen         BIGINT,
    wrong_credentials BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection)
);
CREATE UNIQUE INDEX connections_name ON connections (tenant, name);
CREATE UNIQUE INDEX connections_id ON connections (connection);

-- Bearer tokens, and the secrets of OAuth clients.
CREATE TABLE connection_tokens (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    token_id   TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,                   -- bearer | client_secret
    hash       TEXT COLLATE "C" NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT,
    last_used  BIGINT,
    PRIMARY KEY (tenant, connection, token_id),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE UNIQUE INDEX connection_tokens_hash ON connection_tokens (hash);

-- The issuer of a connection's JWTs, with its keys as they were fetched last: an issuer that is away locks nobody out.
CREATE TABLE connection_issuers (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    settings   TEXT COLLATE "C" NOT NULL,
    keys       TEXT COLLATE "C",                -- a JSON Web Key Set
    fetched    BIGINT,                         -- NULL for keys that were given and not fetched
    tried      BIGINT,                         -- the last attempt to fetch: processes share the limit on it
    PRIMARY KEY (tenant, connection),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);

-- What clients do that the RFC does not ask for, counted.
CREATE TABLE connection_dialects (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    quirk      TEXT COLLATE "C" NOT NULL,
    seen       BIGINT NOT NULL,
    handled    BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    example    TEXT COLLATE "C" NOT NULL,                   -- without values
    PRIMARY KEY (tenant, connection, quirk),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);

-- What each write request of a connection came to. No personal values; the newest of each connection are kept.
CREATE TABLE provisioning_log (
    position   BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    method     TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C",                            -- user | group
    resource   TEXT COLLATE "C",
    status     BIGINT NOT NULL,
    scim_type  TEXT COLLATE "C",
    reason     TEXT COLLATE "C",
    applied    BIGINT NOT NULL,
    no_op      BIGINT NOT NULL,
    refused    BIGINT NOT NULL,
    PRIMARY KEY (tenant, position),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX provisioning_log_connection ON provisioning_log (tenant, connection, position);
CREATE INDEX provisioning_log_at ON provisioning_log (tenant, at);

-- A SCIM resource: what the client wrote, and the columns that filters and lookups use (folded in Rust).
CREATE TABLE resources (
    tenant       TEXT COLLATE "C" NOT NULL,
    connection   TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,                 -- user | group
    external_id  TEXT COLLATE "C",
    user_name    TEXT COLLATE "C",                          -- folded; users only
    display_name TEXT COLLATE "C",                          -- folded
    label        TEXT COLLATE "C",                          -- as written: the display name, else the user name
    active       BOOLEAN,                       -- NULL when the client never said
    created      BIGINT NOT NULL,
    modified     BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    document     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, connection, id),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE UNIQUE INDEX resources_user_name ON resources (tenant, connection, user_name) WHERE user_name IS NOT NULL;
CREATE INDEX resources_users ON resources (tenant, connection, id) WHERE kind = 'user';
CREATE INDEX resources_groups ON resources (tenant, connection, id) WHERE kind = 'group';
-- External ids are not unique by their schema (RFC 7643 §3.1), display names neither.
CREATE INDEX resources_external_id ON resources (tenant, connection, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX resources_display_name ON resources (tenant, connection, display_name) WHERE display_name IS NOT NULL;
CREATE INDEX resources_modified ON resources (tenant, connection, modified) WHERE kind = 'user';

CREATE TABLE emails (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    value      TEXT COLLATE "C" NOT NULL,                   -- folded
    resource   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, connection, value, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE
);
CREATE INDEX emails_resource ON emails (tenant, connection, resource);

-- Ids that were: a stale client that names one as a member is not refused, and a person who comes back is known again.
CREATE TABLE deleted_resources (
    tenant      TEXT COLLATE "C" NOT NULL,
    connection  TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    account     TEXT COLLATE "C",
    deleted     BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection, id),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX deleted_resources_external_id ON deleted_resources (tenant, connection, external_id) WHERE external_id IS NOT NULL;

-- No foreign key on the group: the rows of a deleted large group are cleared away by a fan-out.
CREATE TABLE members (
    tenant      TEXT COLLATE "C" NOT NULL,
    connection  TEXT COLLATE "C" NOT NULL,
    group_id    TEXT COLLATE "C" NOT NULL,
    member_id   TEXT COLLATE "C" NOT NULL,
    member_kind TEXT COLLATE "C" NOT NULL,                  -- user | group
    PRIMARY KEY (tenant, connection, group_id, member_id),
    FOREIGN KEY (tenant, connection, member_id) REFERENCES resources
);
CREATE INDEX members_member ON members (tenant, connection, member_id, group_id);

CREATE TABLE handles (
    tenant      TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    handle      TEXT COLLATE "C" NOT NULL,
    connection  TEXT COLLATE "C" NOT NULL,
    group_id    TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    confirmed   BOOLEAN NOT NULL,
    bound       BIGINT NOT NULL,
    PRIMARY KEY (tenant, handle),
    FOREIGN KEY (tenant, connection, group_id) REFERENCES resources
);
CREATE INDEX handles_group ON handles (tenant, connection, group_id);

CREATE TABLE accounts (
    tenant           TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    account          TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL,
    user_name        TEXT COLLATE "C",
    user_name_folded TEXT COLLATE "C",
    name_key         TEXT COLLATE "C",                      -- the name that it has
    wanted_key       TEXT COLLATE "C",                      -- the name that it waits for
    profile          TEXT COLLATE "C" NOT NULL,
    provenance       TEXT COLLATE "C" NOT NULL,
    note             TEXT COLLATE "C",
    created          BIGINT NOT NULL,
    modified         BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);
CREATE UNIQUE INDEX accounts_name_key ON accounts (tenant, name_key) WHERE name_key IS NOT NULL;
CREATE INDEX accounts_wanted_key ON accounts (tenant, wanted_key) WHERE wanted_key IS NOT NULL;
CREATE INDEX accounts_user_name ON accounts (tenant, user_name_folded) WHERE user_name_folded IS NOT NULL;
-- Most accounts are in use: those are found by the key.
CREATE INDEX accounts_state ON accounts (tenant, state, account) WHERE state <> 'active';

-- Joins resources and accounts: one to one now, several connections may come to feed one account.
CREATE TABLE links (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES accounts
);
CREATE UNIQUE INDEX links_account ON links (tenant, account);

CREATE TABLE grants (
    tenant   TEXT COLLATE "C" NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    role     TEXT COLLATE "C" NOT NULL,
    state    TEXT COLLATE "C" NOT NULL,
    reasons  TEXT COLLATE "C" NOT NULL,
    since    BIGINT NOT NULL,
    deadline BIGINT,
    revision TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, account, role),
    FOREIGN KEY (tenant, account) REFERENCES accounts
);

-- Each user's evaluation: pending work is data. `cause` is set exactly while something is pending.
CREATE TABLE evaluations (
    tenant             TEXT COLLATE "C" NOT NULL,
    connection         TEXT COLLATE "C" NOT NULL,
    resource           TEXT COLLATE "C" NOT NULL,
    input_version      BIGINT NOT NULL,
    evaluated_version  BIGINT,
    evaluated_revision TEXT COLLATE "C",
    as_of              BIGINT,
    next_evaluation_at BIGINT,
    cause              TEXT COLLATE "C",
    attempts           BIGINT NOT NULL,
    due_at             BIGINT,                 -- when a worker should look; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE
);
CREATE INDEX evaluations_due ON evaluations (tenant, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX evaluations_pending ON evaluations (tenant, cause) WHERE cause IS NOT NULL;

-- Marking that is left to a job: everybody of a tenant (no connection), of a connection (no group), or below a group.
CREATE TABLE fan_outs (
    tenant            TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    id                TEXT COLLATE "C" NOT NULL,
    connection        TEXT COLLATE "C",
    group_id          TEXT COLLATE "C",
    cause             TEXT COLLATE "C" NOT NULL,
    purge             BOOLEAN NOT NULL,         -- the group is deleted: its member rows go as they are marked
    cursor_connection TEXT COLLATE "C" NOT NULL,
    cursor_resource   TEXT COLLATE "C" NOT NULL,
    touched           BIGINT NOT NULL,         -- least recently touched goes first
    PRIMARY KEY (tenant, id)
);
CREATE INDEX fan_outs_touched ON fan_outs (touched, tenant);

-- A person's key: destroying it erases the personal values in their events.
CREATE TABLE person_keys (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    account    TEXT COLLATE "C" NOT NULL,
    sealed_key BYTEA NOT NULL,                   -- sealed under the tenant's key
    PRIMARY KEY (tenant, account)
);

-- History. `position` is the order of writing; `seq` is public, dense, and given once the event is committed.
CREATE TABLE events (
    position   BIGINT GENERATED ALWAYS AS IDENTITY,
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    seq        BIGINT,
    at         BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    actor_kind TEXT COLLATE "C" NOT NULL,
    actor_id   TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C",
    account    TEXT COLLATE "C",
    data       TEXT COLLATE "C" NOT NULL,
    personal   BYTEA,                            -- sealed under the person's key
    PRIMARY KEY (tenant, position)
);
CREATE UNIQUE INDEX events_seq ON events (tenant, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_unnumbered ON events (tenant, position) WHERE seq IS NULL;

CREATE TABLE targets (
    tenant        TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    target        TEXT COLLATE "C" NOT NULL,
    url           TEXT COLLATE "C" NOT NULL,
    sealed_secret BYTEA NOT NULL,
    enabled       BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, target)
);

-- The outbox: one row for each event and target, kept as the receipt.
CREATE TABLE deliveries (
    tenant   TEXT COLLATE "C" NOT NULL,
    target   TEXT COLLATE "C" NOT NULL,
    event    TEXT COLLATE "C" NOT NULL,
    lane     TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    leaver   BOOLEAN NOT NULL,
    state    TEXT COLLATE "C" NOT NULL,                     -- waiting | acknowledged | dead
    attempts BIGINT NOT NULL,
    problem  TEXT COLLATE "C",
    finished BIGINT,
    PRIMARY KEY (tenant, target, event),
    FOREIGN KEY (tenant, target) REFERENCES targets
);
CREATE INDEX deliveries_waiting ON deliveries (tenant, target, lane, position) WHERE state = 'waiting';

-- A lane holds what waits for one person at one target, delivered in order; lanes with a leaver's event go first.
-- An event about nobody has a lane of its own.
CREATE TABLE delivery_lanes (
    tenant  TEXT COLLATE "C" NOT NULL,
    target  TEXT COLLATE "C" NOT NULL,
    lane    TEXT COLLATE "C" NOT NULL,
    leaver  BOOLEAN NOT NULL,
    next_at BIGINT,                            -- NULL while the target is disabled; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, target, lane),
    FOREIGN KEY (tenant, target) REFERENCES targets
);
CREATE INDEX delivery_lanes_due ON delivery_lanes (tenant, leaver, next_at) WHERE next_at IS NOT NULL;

-- Row-level security. The process works as roles that own nothing: `rolecall_app` sees the rows of the one tenant that
-- its transaction names, `rolecall_platform` sees the few columns that finding the tenant needs. FORCE holds the owner to
-- it as well. Roles belong to the whole cluster, so they may be there already, or be made by a neighbour at this moment.
DO $$
DECLARE
    wanted TEXT;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['rolecall_app', 'rolecall_platform'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
END $$;

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'tenants', 'event_heads', 'revisions', 'contents', 'revision_files', 'plugins', 'connections', 'connection_tokens', 'resources', 'emails',
        'deleted_resources', 'members', 'handles', 'accounts', 'links', 'grants', 'evaluations', 'fan_outs', 'person_keys',
        'events', 'targets', 'deliveries', 'delivery_lanes', 'connection_issuers', 'connection_dialects', 'provisioning_log'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

-- What may be seen across tenants, column by column.
ALTER TABLE api_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON api_tokens TO rolecall_platform USING (true);
GRANT SELECT, INSERT ON api_tokens TO rolecall_platform;
CREATE POLICY platform ON tenants FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, name, managed_by, active_revision, created) ON tenants TO rolecall_platform;
CREATE POLICY platform ON connections FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, connection, state, last_seen) ON connections TO rolecall_platform;
CREATE POLICY platform ON connection_tokens FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT ON connection_tokens TO rolecall_platform;
CREATE POLICY platform ON connection_issuers FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT ON connection_issuers TO rolecall_platform;
CREATE POLICY platform ON evaluations FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, due_at) ON evaluations TO rolecall_platform;
CREATE POLICY platform ON fan_outs FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, id, touched) ON fan_outs TO rolecall_platform;
CREATE POLICY platform ON events FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, position, seq) ON events TO rolecall_platform;
CREATE POLICY platform ON delivery_lanes FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, leaver, next_at) ON delivery_lanes TO rolecall_platform;
