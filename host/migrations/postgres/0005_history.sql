-- What is made of a tenant's numbered events by a job. Twin: ../sqlite/0004_history.sql.

-- Events, sealed: each batch covers the events from `first_seq` to `last_seq` and, through `hash`, all batches before it.
CREATE TABLE history_batches (
    tenant    TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    number    BIGINT NOT NULL,                   -- ascending, from 1
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL,
    sealed    BIGINT NOT NULL,
    digests   BYTEA NOT NULL,                      -- SHA-256 of each event, in order
    hash      BYTEA NOT NULL,
    signature BYTEA NOT NULL,                      -- Ed25519, by this installation's key
    PRIMARY KEY (tenant, number)
);
CREATE UNIQUE INDEX history_batches_last ON history_batches (tenant, last_seq);

-- What stood from when to when, as the sealed events tell: a grant of a role or, without a role, an account's state.
CREATE TABLE standings (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    seq        BIGINT NOT NULL,                  -- the event that began it
    account    TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,                     -- '' for the account's state
    state      TEXT COLLATE "C" NOT NULL,
    reasons    TEXT COLLATE "C" NOT NULL,
    revision   TEXT COLLATE "C",
    note       TEXT COLLATE "C",                              -- why the account was held or out of scope
    deadline   BIGINT,
    since_at   BIGINT NOT NULL,
    until_at   BIGINT,                           -- NULL while it stands
    until_seq  BIGINT,                           -- the event that ended it
    held_since BIGINT NOT NULL,                  -- since when the role was held without a break
    held_seq   BIGINT NOT NULL,                  -- the event of that
    PRIMARY KEY (tenant, seq)
);
CREATE INDEX standings_account ON standings (tenant, account, role, seq);
CREATE INDEX standings_role ON standings (tenant, role, seq) WHERE role <> '';

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['history_batches', 'standings'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

-- A standing ends; nothing else is ever changed or removed here.
GRANT UPDATE (until_at, until_seq) ON standings TO rolecall_app;

-- What finds events to be sealed across tenants.
CREATE POLICY platform ON history_batches FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, last_seq) ON history_batches TO rolecall_platform;
