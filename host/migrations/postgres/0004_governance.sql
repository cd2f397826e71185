-- What people, and the guard in their place, say beside the policies: approvals, exceptions, holds.

-- Whether the guard counts the connection's people.
ALTER TABLE connections ADD COLUMN guarded BOOLEAN NOT NULL DEFAULT TRUE;
-- Whom an API token stands for, where it is somebody: nobody says yes for themselves.
ALTER TABLE api_tokens ADD COLUMN person TEXT COLLATE "C";
-- What a grant waits for: approval | hold | staging.
ALTER TABLE grants ADD COLUMN waits_for TEXT COLLATE "C";
CREATE INDEX grants_role ON grants (tenant, role, account);

-- Changes that wait together. One is open for each guard at a time.
CREATE TABLE holds (
    tenant       TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    hold         TEXT COLLATE "C" NOT NULL,
    guard        TEXT COLLATE "C" NOT NULL,                   -- direction/scope/id
    state        TEXT COLLATE "C" NOT NULL,                   -- open | closed
    limit_people BIGINT NOT NULL,
    opened       BIGINT NOT NULL,
    closed       BIGINT,
    PRIMARY KEY (tenant, hold)
);
CREATE UNIQUE INDEX holds_open ON holds (tenant, guard) WHERE state = 'open';
CREATE INDEX holds_newest ON holds (tenant, opened, hold);

CREATE TABLE rulings (
    tenant       TEXT COLLATE "C" NOT NULL,
    ruling       TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,                   -- '' for the account as a whole
    kind         TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,                   -- open | yes | no | ended
    hold         TEXT COLLATE "C",
    starts       BIGINT,
    ends         BIGINT,
    remind_at    BIGINT,                              -- when somebody is to be reminded of it; NULL once they were
    created      BIGINT NOT NULL,
    created_kind TEXT COLLATE "C" NOT NULL,
    created_id   TEXT COLLATE "C" NOT NULL,
    decided      BIGINT,
    decided_kind TEXT COLLATE "C",
    decided_id   TEXT COLLATE "C",
    reason       TEXT COLLATE "C",
    owner        TEXT COLLATE "C",
    PRIMARY KEY (tenant, ruling),
    FOREIGN KEY (tenant, account) REFERENCES accounts,
    FOREIGN KEY (tenant, hold) REFERENCES holds
);
-- What counts for a person, read with each decision.
CREATE INDEX rulings_account ON rulings (tenant, account) WHERE state <> 'ended';
CREATE INDEX rulings_hold ON rulings (tenant, hold, account) WHERE hold IS NOT NULL;
CREATE INDEX rulings_remind ON rulings (remind_at) WHERE remind_at IS NOT NULL;
CREATE INDEX rulings_kind ON rulings (tenant, kind, state, ruling) WHERE state <> 'ended';

-- How many people may be concerned, from when a window begins; and who was, with when.
CREATE TABLE guard_windows (
    tenant       TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    guard        TEXT COLLATE "C" NOT NULL,
    began        BIGINT NOT NULL,
    limit_people BIGINT NOT NULL,
    PRIMARY KEY (tenant, guard)
);
CREATE TABLE guard_people (
    tenant  TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    guard   TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, guard, account)
);
CREATE INDEX guard_people_at ON guard_people (tenant, guard, at);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['holds', 'rulings', 'guard_windows', 'guard_people'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

-- What finds work across tenants.
CREATE POLICY platform ON rulings FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, remind_at) ON rulings TO rolecall_platform;
