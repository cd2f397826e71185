-- Steps that tenants set for joiners, movers and leavers; invitations; departures that targets are slow to acknowledge.

-- When an account came into use first: who joins, and is invited, was not in use before. Of those that are there already all that may
-- have been in use are taken for old.
ALTER TABLE accounts ADD COLUMN used BIGINT;
-- The policies hold the owner too, who names no tenant.
ALTER TABLE accounts NO FORCE ROW LEVEL SECURITY;
UPDATE accounts SET used = created WHERE state IN ('active', 'suspended', 'out_of_scope', 'removed');
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;

-- A person's process, with its own copy of the steps: what the tenant sets later is for those that begin later.
CREATE TABLE processes (
    tenant  TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    process TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,                   -- joiner | mover | leaver
    state   TEXT COLLATE "C" NOT NULL,                   -- open | done | called_off
    anchor  BIGINT NOT NULL,                -- the start, the move or the end, which due dates are counted from
    zone    TEXT COLLATE "C" NOT NULL,
    begun   BIGINT NOT NULL,
    ended   BIGINT,
    PRIMARY KEY (tenant, process)
);
CREATE INDEX processes_account ON processes (tenant, account, process);
CREATE INDEX processes_open ON processes (tenant, process) WHERE state = 'open';

CREATE TABLE process_steps (
    tenant       TEXT COLLATE "C" NOT NULL,
    process      TEXT COLLATE "C" NOT NULL,
    place        BIGINT NOT NULL,
    step         TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    title        TEXT COLLATE "C" NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    span         TEXT COLLATE "C" NOT NULL,               -- how long behind the anchor it is due
    due          BIGINT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,               -- open | overdue | done | skipped
    decided      BIGINT,
    decided_kind TEXT COLLATE "C",
    decided_id   TEXT COLLATE "C",
    reason       TEXT COLLATE "C",
    PRIMARY KEY (tenant, process, step),
    FOREIGN KEY (tenant, process) REFERENCES processes
);
CREATE INDEX process_steps_due ON process_steps (tenant, due) WHERE state = 'open';
CREATE INDEX process_steps_account ON process_steps (tenant, account) WHERE reason IS NOT NULL;

-- Departures whose targets are to have acknowledged them by a date, until that is looked at.
CREATE TABLE acknowledgements_due (
    tenant   TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    account  TEXT COLLATE "C" NOT NULL,
    departed BIGINT NOT NULL,
    due      BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);
CREATE INDEX acknowledgements_due_at ON acknowledgements_due (tenant, due);

CREATE TABLE invitations (
    tenant     TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    invitation TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    hash       TEXT COLLATE "C" NOT NULL,                 -- keyed, of the link's token
    state      TEXT COLLATE "C" NOT NULL,                 -- open | accepted | expired | revoked
    made       BIGINT NOT NULL,
    made_kind  TEXT COLLATE "C" NOT NULL,
    made_id    TEXT COLLATE "C" NOT NULL,
    expires    BIGINT NOT NULL,
    ended      BIGINT,
    PRIMARY KEY (tenant, invitation)
);
CREATE UNIQUE INDEX invitations_hash ON invitations (tenant, hash);
CREATE UNIQUE INDEX invitations_open ON invitations (tenant, account) WHERE state = 'open';
CREATE INDEX invitations_account ON invitations (tenant, account, invitation);
CREATE INDEX invitations_due ON invitations (tenant, expires) WHERE state = 'open';

-- What a target alone is told with an event (an invitation's link), sealed under the person's key until the delivery has ended.
ALTER TABLE deliveries ADD COLUMN sealed BYTEA;

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['processes', 'process_steps', 'acknowledgements_due', 'invitations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

-- Which tenants have something overdue.
CREATE POLICY platform ON process_steps FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, due, state) ON process_steps TO rolecall_platform;
CREATE POLICY platform ON acknowledgements_due FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, due) ON acknowledgements_due TO rolecall_platform;
CREATE POLICY platform ON invitations FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, expires, state) ON invitations TO rolecall_platform;
