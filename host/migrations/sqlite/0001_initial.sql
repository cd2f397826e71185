-- The durable state on SQLite. Its twin is ../postgres/0001_initial.sql: same tables, columns and index names.
-- The tenant is the first column of every key. Instants are microseconds since 1970 (UTC); JSON is text. Indexes beside a key
-- are partial where they can be: PostgreSQL's planner, while it has no statistics, could mistake them for a way to the key.

CREATE TABLE tenants (
    tenant          TEXT NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL,
    managed_by      TEXT NOT NULL,
    active_revision TEXT,
    sealed_key      BLOB NOT NULL,              -- the tenant's key, sealed under the master key
    created         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last public sequence number of each tenant's history. Not in `tenants`, so that numbering never waits for writes.
CREATE TABLE event_heads (
    tenant   TEXT NOT NULL PRIMARY KEY REFERENCES tenants,
    last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
    tenant  TEXT NOT NULL REFERENCES tenants,
    hash    TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;

-- What is in the files of revisions, each content once: by its SHA-256.
CREATE TABLE contents (
    tenant TEXT NOT NULL REFERENCES tenants,
    digest TEXT NOT NULL,
    bytes  BLOB NOT NULL,
    PRIMARY KEY (tenant, digest)
) STRICT;

CREATE TABLE revision_files (
    tenant TEXT NOT NULL,
    hash   TEXT NOT NULL,
    path   TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (tenant, hash, path),
    FOREIGN KEY (tenant, hash) REFERENCES revisions,
    FOREIGN KEY (tenant, digest) REFERENCES contents
) STRICT, WITHOUT ROWID;
CREATE INDEX revision_files_digest ON revision_files (tenant, digest);

-- The plugins of all revisions, as they describe themselves.
CREATE TABLE plugins (
    tenant  TEXT NOT NULL,
    digest  TEXT NOT NULL,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    hooks   TEXT NOT NULL,              -- separated by spaces
    size    INTEGER NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (tenant, digest),
    FOREIGN KEY (tenant, digest) REFERENCES contents
) STRICT, WITHOUT ROWID;
CREATE INDEX plugins_created ON plugins (tenant, created, digest);

-- The one table without a tenant first: a token may be good for the whole platform.
CREATE TABLE api_tokens (
    token_id  TEXT NOT NULL PRIMARY KEY,
    hash      TEXT NOT NULL,
    tenant    TEXT REFERENCES tenants,
    may_write INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_tokens_hash ON api_tokens (hash);

CREATE TABLE connections (
    tenant            TEXT NOT NULL REFERENCES tenants,
    connection        TEXT NOT NULL,
    name              TEXT NOT NULL,
    state             TEXT NOT NULL,
    created           INTEGER NOT NULL,
    last_seen         INTEGER,
    wrong_credentials INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX connections_name ON connections (tenant, name);
CREATE UNIQUE INDEX connections_id ON connections (connection);

-- Bearer tokens, and the secrets of OAuth clients.
CREATE TABLE connection_tokens (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    token_id   TEXT NOT NULL,
    kind       TEXT NOT NULL,                   -- bearer | client_secret
    hash       TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER,
    last_used  INTEGER,
    PRIMARY KEY (tenant, connection, token_id),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX connection_tokens_hash ON connection_tokens (hash);

-- How often what a credential stands for has changed, whoever changed it: what was read is remembered until then.
CREATE TABLE credential_changes (changes INTEGER NOT NULL) STRICT;
INSERT INTO credential_changes VALUES (0);
CREATE TRIGGER credential_added AFTER INSERT ON connection_tokens BEGIN UPDATE credential_changes SET changes = changes + 1; END;
CREATE TRIGGER credential_changed AFTER UPDATE ON connection_tokens BEGIN UPDATE credential_changes SET changes = changes + 1; END;
CREATE TRIGGER credential_removed AFTER DELETE ON connection_tokens BEGIN UPDATE credential_changes SET changes = changes + 1; END;
CREATE TRIGGER connection_state AFTER UPDATE OF state ON connections BEGIN UPDATE credential_changes SET changes = changes + 1; END;

-- The issuer of a connection's JWTs, with its keys as they were fetched last: an issuer that is away locks nobody out.
CREATE TABLE connection_issuers (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    settings   TEXT NOT NULL,
    keys       TEXT,                            -- a JSON Web Key Set
    fetched    INTEGER,                         -- NULL for keys that were given and not fetched
    tried      INTEGER,                         -- the last attempt to fetch: processes share the limit on it
    PRIMARY KEY (tenant, connection),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What clients do that the RFC does not ask for, counted.
CREATE TABLE connection_dialects (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    quirk      TEXT NOT NULL,
    seen       INTEGER NOT NULL,
    handled    INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    example    TEXT NOT NULL,                   -- without values
    PRIMARY KEY (tenant, connection, quirk),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What each write request of a connection came to. No personal values; the newest of each connection are kept.
CREATE TABLE provisioning_log (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    at         INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    method     TEXT NOT NULL,
    kind       TEXT,                            -- user | group
    resource   TEXT,
    status     INTEGER NOT NULL,
    scim_type  TEXT,
    reason     TEXT,
    applied    INTEGER NOT NULL,
    no_op      INTEGER NOT NULL,
    refused    INTEGER NOT NULL,
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT;
CREATE INDEX provisioning_log_connection ON provisioning_log (tenant, connection, position);
CREATE INDEX provisioning_log_at ON provisioning_log (tenant, at);

-- A SCIM resource: what the client wrote, and the columns that filters and lookups use (folded in Rust).
CREATE TABLE resources (
    tenant       TEXT NOT NULL,
    connection   TEXT NOT NULL,
    id           TEXT NOT NULL,
    kind         TEXT NOT NULL,                 -- user | group
    external_id  TEXT,
    user_name    TEXT,                          -- folded; users only
    display_name TEXT,                          -- folded
    label        TEXT,                          -- as written: the display name, else the user name
    active       INTEGER,                       -- NULL when the client never said
    created      INTEGER NOT NULL,
    modified     INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    document     TEXT NOT NULL,
    PRIMARY KEY (tenant, connection, id),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX resources_user_name ON resources (tenant, connection, user_name) WHERE user_name IS NOT NULL;
CREATE INDEX resources_users ON resources (tenant, connection, id) WHERE kind = 'user';
CREATE INDEX resources_groups ON resources (tenant, connection, id) WHERE kind = 'group';
-- External ids are not unique by their schema (RFC 7643 §3.1), display names neither.
CREATE INDEX resources_external_id ON resources (tenant, connection, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX resources_display_name ON resources (tenant, connection, display_name) WHERE display_name IS NOT NULL;
CREATE INDEX resources_modified ON resources (tenant, connection, modified) WHERE kind = 'user';

CREATE TABLE emails (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    value      TEXT NOT NULL,                   -- folded
    resource   TEXT NOT NULL,
    PRIMARY KEY (tenant, connection, value, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX emails_resource ON emails (tenant, connection, resource);

-- Ids that were: a stale client that names one as a member is not refused, and a person who comes back is known again.
CREATE TABLE deleted_resources (
    tenant      TEXT NOT NULL,
    connection  TEXT NOT NULL,
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    external_id TEXT,
    account     TEXT,
    deleted     INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection, id),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_resources_external_id ON deleted_resources (tenant, connection, external_id) WHERE external_id IS NOT NULL;

-- No foreign key on the group: the rows of a deleted large group are cleared away by a fan-out.
CREATE TABLE members (
    tenant      TEXT NOT NULL,
    connection  TEXT NOT NULL,
    group_id    TEXT NOT NULL,
    member_id   TEXT NOT NULL,
    member_kind TEXT NOT NULL,                  -- user | group
    PRIMARY KEY (tenant, connection, group_id, member_id),
    FOREIGN KEY (tenant, connection, member_id) REFERENCES resources
) STRICT, WITHOUT ROWID;
CREATE INDEX members_member ON members (tenant, connection, member_id, group_id);

CREATE TABLE handles (
    tenant      TEXT NOT NULL REFERENCES tenants,
    handle      TEXT NOT NULL,
    connection  TEXT NOT NULL,
    group_id    TEXT NOT NULL,
    external_id TEXT,
    confirmed   INTEGER NOT NULL,
    bound       INTEGER NOT NULL,
    PRIMARY KEY (tenant, handle),
    FOREIGN KEY (tenant, connection, group_id) REFERENCES resources
) STRICT, WITHOUT ROWID;
CREATE INDEX handles_group ON handles (tenant, connection, group_id);

CREATE TABLE accounts (
    tenant           TEXT NOT NULL REFERENCES tenants,
    account          TEXT NOT NULL,
    state            TEXT NOT NULL,
    user_name        TEXT,
    user_name_folded TEXT,
    name_key         TEXT,                      -- the name that it has
    wanted_key       TEXT,                      -- the name that it waits for
    profile          TEXT NOT NULL,
    provenance       TEXT NOT NULL,
    note             TEXT,
    created          INTEGER NOT NULL,
    modified         INTEGER NOT NULL,
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX accounts_name_key ON accounts (tenant, name_key) WHERE name_key IS NOT NULL;
CREATE INDEX accounts_wanted_key ON accounts (tenant, wanted_key) WHERE wanted_key IS NOT NULL;
CREATE INDEX accounts_user_name ON accounts (tenant, user_name_folded) WHERE user_name_folded IS NOT NULL;
-- Most accounts are in use: those are found by the key.
CREATE INDEX accounts_state ON accounts (tenant, state, account) WHERE state <> 'active';

-- Joins resources and accounts: one to one now, several connections may come to feed one account.
CREATE TABLE links (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource   TEXT NOT NULL,
    account    TEXT NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES accounts
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX links_account ON links (tenant, account);

CREATE TABLE grants (
    tenant   TEXT NOT NULL,
    account  TEXT NOT NULL,
    role     TEXT NOT NULL,
    state    TEXT NOT NULL,
    reasons  TEXT NOT NULL,
    since    INTEGER NOT NULL,
    deadline INTEGER,
    revision TEXT NOT NULL,
    PRIMARY KEY (tenant, account, role),
    FOREIGN KEY (tenant, account) REFERENCES accounts
) STRICT, WITHOUT ROWID;

-- Each user's evaluation: pending work is data. `cause` is set exactly while something is pending.
CREATE TABLE evaluations (
    tenant             TEXT NOT NULL,
    connection         TEXT NOT NULL,
    resource           TEXT NOT NULL,
    input_version      INTEGER NOT NULL,
    evaluated_version  INTEGER,
    evaluated_revision TEXT,
    as_of              INTEGER,
    next_evaluation_at INTEGER,
    cause              TEXT,
    attempts           INTEGER NOT NULL,
    due_at             INTEGER,                 -- when a worker should look; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX evaluations_due ON evaluations (tenant, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX evaluations_pending ON evaluations (tenant, cause) WHERE cause IS NOT NULL;

-- Marking that is left to a job: everybody of a tenant (no connection), of a connection (no group), or below a group.
CREATE TABLE fan_outs (
    tenant            TEXT NOT NULL REFERENCES tenants,
    id                TEXT NOT NULL,
    connection        TEXT,
    group_id          TEXT,
    cause             TEXT NOT NULL,
    purge             INTEGER NOT NULL,         -- the group is deleted: its member rows go as they are marked
    cursor_connection TEXT NOT NULL,
    cursor_resource   TEXT NOT NULL,
    touched           INTEGER NOT NULL,         -- least recently touched goes first
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fan_outs_touched ON fan_outs (touched, tenant);

-- A person's key: destroying it erases the personal values in their events.
CREATE TABLE person_keys (
    tenant     TEXT NOT NULL REFERENCES tenants,
    account    TEXT NOT NULL,
    sealed_key BLOB NOT NULL,                   -- sealed under the tenant's key
    PRIMARY KEY (tenant, account)
) STRICT, WITHOUT ROWID;

-- History. `position` is the order of writing; `seq` is public, dense, and given once the event is committed.
CREATE TABLE events (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    seq        INTEGER,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    request_id TEXT,
    account    TEXT,
    data       TEXT NOT NULL,
    personal   BLOB                             -- sealed under the person's key
) STRICT;
CREATE UNIQUE INDEX events_seq ON events (tenant, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_unnumbered ON events (tenant, position) WHERE seq IS NULL;

CREATE TABLE targets (
    tenant        TEXT NOT NULL REFERENCES tenants,
    target        TEXT NOT NULL,
    url           TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    enabled       INTEGER NOT NULL,
    PRIMARY KEY (tenant, target)
) STRICT, WITHOUT ROWID;

-- The outbox: one row for each event and target, kept as the receipt.
CREATE TABLE deliveries (
    tenant   TEXT NOT NULL,
    target   TEXT NOT NULL,
    event    TEXT NOT NULL,
    lane     TEXT NOT NULL,
    position INTEGER NOT NULL,
    leaver   INTEGER NOT NULL,
    state    TEXT NOT NULL,                     -- waiting | acknowledged | dead
    attempts INTEGER NOT NULL,
    problem  TEXT,
    finished INTEGER,
    PRIMARY KEY (tenant, target, event),
    FOREIGN KEY (tenant, target) REFERENCES targets
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (tenant, target, lane, position) WHERE state = 'waiting';

-- A lane holds what waits for one person at one target, delivered in order; lanes with a leaver's event go first.
-- An event about nobody has a lane of its own.
CREATE TABLE delivery_lanes (
    tenant  TEXT NOT NULL,
    target  TEXT NOT NULL,
    lane    TEXT NOT NULL,
    leaver  INTEGER NOT NULL,
    next_at INTEGER,                            -- NULL while the target is disabled; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, target, lane),
    FOREIGN KEY (tenant, target) REFERENCES targets
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_lanes_due ON delivery_lanes (tenant, leaver, next_at) WHERE next_at IS NOT NULL;

-- Statistics. Without any, SQLite thinks every column of an index nearly as selective as the next and prefers whatever saves a
-- sort. These are of a made-up database of 20 tenants with 5,000 users and 500 groups each; given by hand, they make a new
-- database's plans those of a full one. ANALYZE makes the table and, at the end, has it read.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('accounts', 'accounts', '100000 5000 1'),
    ('accounts', 'accounts_name_key', '100000 5000 1'),
    ('accounts', 'accounts_state', '1000 50 20 1'),
    ('accounts', 'accounts_user_name', '100000 5000 1'),
    ('accounts', 'accounts_wanted_key', '100 5 1'),
    ('api_tokens', 'api_tokens', '100 1'),
    ('api_tokens', 'api_tokens_hash', '100 1'),
    ('connection_dialects', 'connection_dialects', '400 20 10 1'),
    ('connection_issuers', 'connection_issuers', '20 1 1'),
    ('connection_tokens', 'connection_tokens', '80 4 2 1'),
    ('connection_tokens', 'connection_tokens_hash', '80 1'),
    ('connections', 'connections', '40 2 1'),
    ('connections', 'connections_id', '40 1'),
    ('connections', 'connections_name', '40 2 1'),
    ('deleted_resources', 'deleted_resources', '20000 1000 1000 1'),
    ('deleted_resources', 'deleted_resources_external_id', '20000 1000 1000 1'),
    ('deliveries', 'deliveries', '1000000 50000 50000 1'),
    ('deliveries', 'deliveries_waiting', '10000 500 500 2 1'),
    ('delivery_lanes', 'delivery_lanes', '10000 500 500 1'),
    ('delivery_lanes', 'delivery_lanes_due', '10000 500 250 1'),
    ('emails', 'emails', '100000 5000 5000 1 1'),
    ('emails', 'emails_resource', '100000 5000 5000 1'),
    ('evaluations', 'evaluations', '100000 5000 5000 1'),
    ('evaluations', 'evaluations_due', '2000 100 1'),
    ('evaluations', 'evaluations_pending', '1000 50 50'),
    ('events', 'events_seq', '1000000 50000 1'),
    ('events', 'events_unnumbered', '100 5 1'),
    ('grants', 'grants', '300000 15000 3 1'),
    ('handles', 'handles', '10000 500 1'),
    ('handles', 'handles_group', '10000 500 500 1'),
    ('links', 'links', '100000 5000 5000 1'),
    ('links', 'links_account', '100000 5000 1'),
    ('members', 'members', '200000 10000 10000 20 1'),
    ('members', 'members_member', '200000 10000 10000 2 1'),
    ('person_keys', 'person_keys', '100000 5000 1'),
    ('provisioning_log', 'provisioning_log_at', '200000 10000 1'),
    ('provisioning_log', 'provisioning_log_connection', '200000 10000 5000 1'),
    ('resources', 'resources_display_name', '110000 5500 5500 1'),
    ('resources', 'resources_external_id', '110000 5500 5500 1'),
    ('resources', 'resources_groups', '10000 500 500 1'),
    ('resources', 'resources_modified', '100000 5000 5000 1'),
    ('resources', 'resources_user_name', '100000 5000 5000 1'),
    ('resources', 'resources_users', '100000 5000 5000 1'),
    ('resources', 'sqlite_autoindex_resources_1', '110000 5500 5500 1');
ANALYZE sqlite_schema;
