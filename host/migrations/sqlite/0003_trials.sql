-- A candidate revision that is tried out: a simulation goes over the people who are stored, a shadow goes along with what is
-- decided. Neither has any effect.
CREATE TABLE trials (
    tenant            TEXT NOT NULL REFERENCES tenants,
    trial             TEXT NOT NULL,
    kind              TEXT NOT NULL,              -- simulation | shadow
    revision          TEXT NOT NULL,              -- the candidate
    base              TEXT,                       -- the revision that was active when it began
    state             TEXT NOT NULL,              -- running | finished | stopped | failed
    problem           TEXT,
    actor_kind        TEXT NOT NULL,
    actor_id          TEXT NOT NULL,
    percent           INTEGER NOT NULL,           -- how many of the people a shadow asks about
    started           INTEGER NOT NULL,
    ends              INTEGER,                    -- a shadow ends by itself
    finished          INTEGER,
    population        INTEGER,                    -- how many people a simulation found when it began
    cursor_connection TEXT NOT NULL,
    cursor_resource   TEXT NOT NULL,
    summary           TEXT NOT NULL,
    due_at            INTEGER,                    -- while it runs: when a worker should look; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, trial),
    FOREIGN KEY (tenant, revision) REFERENCES revisions
) STRICT;
CREATE INDEX trials_started ON trials (tenant, started);
-- One of a kind at a time.
CREATE UNIQUE INDEX trials_running ON trials (tenant, kind) WHERE state = 'running';

-- What a trial makes different for a person. Goes with the person's resource.
CREATE TABLE trial_differences (
    tenant     TEXT NOT NULL,
    trial      TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource   TEXT NOT NULL,
    account    TEXT NOT NULL,
    kind       TEXT NOT NULL,                     -- the gravest thing in it
    difference TEXT NOT NULL,
    collides   INTEGER NOT NULL,                  -- whether another account has, or would get, its name
    name_key   TEXT,                              -- the name that the account would get, where it is another
    PRIMARY KEY (tenant, trial, connection, resource),
    FOREIGN KEY (tenant, trial) REFERENCES trials ON DELETE CASCADE,
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX trial_differences_resource ON trial_differences (tenant, connection, resource);
CREATE INDEX trial_differences_kind ON trial_differences (tenant, trial, kind, connection, resource);
CREATE INDEX trial_differences_name ON trial_differences (tenant, trial, name_key) WHERE name_key IS NOT NULL;

-- Each activation of a revision. While it is watched, people whom the revision turns away and the one before did not are counted.
CREATE TABLE activations (
    tenant       TEXT NOT NULL REFERENCES tenants,
    number       INTEGER NOT NULL,                -- ascending, from 1
    revision     TEXT NOT NULL,
    replaces     TEXT,
    at           INTEGER NOT NULL,
    actor_kind   TEXT NOT NULL,
    actor_id     TEXT NOT NULL,
    simulation   TEXT,                            -- the trial that it was activated with
    state        TEXT NOT NULL,                   -- active | superseded | returned | held
    reason       TEXT,
    watch_until  INTEGER,                         -- NULL: not watched
    limit_people INTEGER,
    faults       INTEGER NOT NULL,
    refused      INTEGER NOT NULL,
    out_of_scope INTEGER NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT;
