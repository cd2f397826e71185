-- Steps that tenants set for joiners, movers and leavers; invitations; departures that targets are slow to acknowledge.

-- When an account came into use first: who joins, and is invited, was not in use before. Of those that are there already all that may
-- have been in use are taken for old.
ALTER TABLE accounts ADD COLUMN used INTEGER;
UPDATE accounts SET used = created WHERE state IN ('active', 'suspended', 'out_of_scope', 'removed');

-- A person's process, with its own copy of the steps: what the tenant sets later is for those that begin later.
CREATE TABLE processes (
    tenant  TEXT NOT NULL REFERENCES tenants,
    process TEXT NOT NULL,
    account TEXT NOT NULL,
    kind    TEXT NOT NULL,                   -- joiner | mover | leaver
    state   TEXT NOT NULL,                   -- open | done | called_off
    anchor  INTEGER NOT NULL,                -- the start, the move or the end, which due dates are counted from
    zone    TEXT NOT NULL,
    begun   INTEGER NOT NULL,
    ended   INTEGER,
    PRIMARY KEY (tenant, process)
) STRICT;
CREATE INDEX processes_account ON processes (tenant, account, process);
CREATE INDEX processes_open ON processes (tenant, process) WHERE state = 'open';

CREATE TABLE process_steps (
    tenant       TEXT NOT NULL,
    process      TEXT NOT NULL,
    place        INTEGER NOT NULL,
    step         TEXT NOT NULL,
    account      TEXT NOT NULL,
    title        TEXT NOT NULL,
    owner        TEXT NOT NULL,
    span         TEXT NOT NULL,               -- how long behind the anchor it is due
    due          INTEGER NOT NULL,
    state        TEXT NOT NULL,               -- open | overdue | done | skipped
    decided      INTEGER,
    decided_kind TEXT,
    decided_id   TEXT,
    reason       TEXT,
    PRIMARY KEY (tenant, process, step),
    FOREIGN KEY (tenant, process) REFERENCES processes
) STRICT;
CREATE INDEX process_steps_due ON process_steps (tenant, due) WHERE state = 'open';
CREATE INDEX process_steps_account ON process_steps (tenant, account) WHERE reason IS NOT NULL;

-- Departures whose targets are to have acknowledged them by a date, until that is looked at.
CREATE TABLE acknowledgements_due (
    tenant   TEXT NOT NULL REFERENCES tenants,
    account  TEXT NOT NULL,
    departed INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    PRIMARY KEY (tenant, account)
) STRICT;
CREATE INDEX acknowledgements_due_at ON acknowledgements_due (tenant, due);

CREATE TABLE invitations (
    tenant     TEXT NOT NULL REFERENCES tenants,
    invitation TEXT NOT NULL,
    account    TEXT NOT NULL,
    hash       TEXT NOT NULL,                 -- keyed, of the link's token
    state      TEXT NOT NULL,                 -- open | accepted | expired | revoked
    made       INTEGER NOT NULL,
    made_kind  TEXT NOT NULL,
    made_id    TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    ended      INTEGER,
    PRIMARY KEY (tenant, invitation)
) STRICT;
CREATE UNIQUE INDEX invitations_hash ON invitations (tenant, hash);
CREATE UNIQUE INDEX invitations_open ON invitations (tenant, account) WHERE state = 'open';
CREATE INDEX invitations_account ON invitations (tenant, account, invitation);
CREATE INDEX invitations_due ON invitations (tenant, expires) WHERE state = 'open';

-- What a target alone is told with an event (an invitation's link), sealed under the person's key until the delivery has ended.
ALTER TABLE deliveries ADD COLUMN sealed BLOB;
