-- What is made of a tenant's numbered events by a job. Twin: ../postgres/0004_history.sql.

-- Events, sealed: each batch covers the events from `first_seq` to `last_seq` and, through `hash`, all batches before it.
CREATE TABLE history_batches (
    tenant    TEXT NOT NULL REFERENCES tenants,
    number    INTEGER NOT NULL,                   -- ascending, from 1
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    sealed    INTEGER NOT NULL,
    digests   BLOB NOT NULL,                      -- SHA-256 of each event, in order
    hash      BLOB NOT NULL,
    signature BLOB NOT NULL,                      -- Ed25519, by this installation's key
    PRIMARY KEY (tenant, number)
) STRICT;
CREATE UNIQUE INDEX history_batches_last ON history_batches (tenant, last_seq);

-- What stood from when to when, as the sealed events tell: a grant of a role or, without a role, an account's state.
CREATE TABLE standings (
    tenant     TEXT NOT NULL REFERENCES tenants,
    seq        INTEGER NOT NULL,                  -- the event that began it
    account    TEXT NOT NULL,
    role       TEXT NOT NULL,                     -- '' for the account's state
    state      TEXT NOT NULL,
    reasons    TEXT NOT NULL,
    revision   TEXT,
    note       TEXT,                              -- why the account was held or out of scope
    deadline   INTEGER,
    since_at   INTEGER NOT NULL,
    until_at   INTEGER,                           -- NULL while it stands
    until_seq  INTEGER,                           -- the event that ended it
    held_since INTEGER NOT NULL,                  -- since when the role was held without a break
    held_seq   INTEGER NOT NULL,                  -- the event of that
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX standings_account ON standings (tenant, account, role, seq);
CREATE INDEX standings_role ON standings (tenant, role, seq) WHERE role <> '';

-- As for the other tables: a made-up database, so that a new one's plans are those of a full one.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('history_batches', 'sqlite_autoindex_history_batches_1', '20000 1000 1'),
    ('history_batches', 'history_batches_last', '20000 1000 1'),
    ('standings', 'standings', '600000 30000 1'),
    ('standings', 'standings_account', '600000 30000 6 2 1'),
    ('standings', 'standings_role', '500000 25000 500 1');
ANALYZE sqlite_schema;
