-- What people, and the guard in their place, say beside the policies: approvals, exceptions, holds.

-- Whether the guard counts the connection's people.
ALTER TABLE connections ADD COLUMN guarded INTEGER NOT NULL DEFAULT 1;
-- Whom an API token stands for, where it is somebody: nobody says yes for themselves.
ALTER TABLE api_tokens ADD COLUMN person TEXT;
-- What a grant waits for: approval | hold | staging.
ALTER TABLE grants ADD COLUMN waits_for TEXT;
CREATE INDEX grants_role ON grants (tenant, role, account);

-- Changes that wait together. One is open for each guard at a time.
CREATE TABLE holds (
    tenant       TEXT NOT NULL REFERENCES tenants,
    hold         TEXT NOT NULL,
    guard        TEXT NOT NULL,                   -- direction/scope/id
    state        TEXT NOT NULL,                   -- open | closed
    limit_people INTEGER NOT NULL,
    opened       INTEGER NOT NULL,
    closed       INTEGER,
    PRIMARY KEY (tenant, hold)
) STRICT;
CREATE UNIQUE INDEX holds_open ON holds (tenant, guard) WHERE state = 'open';
CREATE INDEX holds_newest ON holds (tenant, opened, hold);

CREATE TABLE rulings (
    tenant       TEXT NOT NULL,
    ruling       TEXT NOT NULL,
    account      TEXT NOT NULL,
    role         TEXT NOT NULL,                   -- '' for the account as a whole
    kind         TEXT NOT NULL,
    state        TEXT NOT NULL,                   -- open | yes | no | ended
    hold         TEXT,
    starts       INTEGER,
    ends         INTEGER,
    remind_at    INTEGER,                              -- when somebody is to be reminded of it; NULL once they were
    created      INTEGER NOT NULL,
    created_kind TEXT NOT NULL,
    created_id   TEXT NOT NULL,
    decided      INTEGER,
    decided_kind TEXT,
    decided_id   TEXT,
    reason       TEXT,
    owner        TEXT,
    PRIMARY KEY (tenant, ruling),
    FOREIGN KEY (tenant, account) REFERENCES accounts,
    FOREIGN KEY (tenant, hold) REFERENCES holds
) STRICT;
-- What counts for a person, read with each decision.
CREATE INDEX rulings_account ON rulings (tenant, account) WHERE state <> 'ended';
CREATE INDEX rulings_hold ON rulings (tenant, hold, account) WHERE hold IS NOT NULL;
CREATE INDEX rulings_remind ON rulings (remind_at) WHERE remind_at IS NOT NULL;
CREATE INDEX rulings_kind ON rulings (tenant, kind, state, ruling) WHERE state <> 'ended';

-- How many people may be concerned, from when a window begins; and who was, with when.
CREATE TABLE guard_windows (
    tenant       TEXT NOT NULL REFERENCES tenants,
    guard        TEXT NOT NULL,
    began        INTEGER NOT NULL,
    limit_people INTEGER NOT NULL,
    PRIMARY KEY (tenant, guard)
) STRICT;
CREATE TABLE guard_people (
    tenant  TEXT NOT NULL REFERENCES tenants,
    guard   TEXT NOT NULL,
    account TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (tenant, guard, account)
) STRICT;
CREATE INDEX guard_people_at ON guard_people (tenant, guard, at);
