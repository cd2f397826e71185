-- A candidate revision that is tried out: a simulation goes over the people who are stored, a shadow goes along with what is
-- decided. Neither has any effect.
CREATE TABLE trials (
    tenant            TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    trial             TEXT COLLATE "C" NOT NULL,
    kind              TEXT COLLATE "C" NOT NULL,              -- simulation | shadow
    revision          TEXT COLLATE "C" NOT NULL,              -- the candidate
    base              TEXT COLLATE "C",                       -- the revision that was active when it began
    state             TEXT COLLATE "C" NOT NULL,              -- running | finished | stopped | failed
    problem           TEXT COLLATE "C",
    actor_kind        TEXT COLLATE "C" NOT NULL,
    actor_id          TEXT COLLATE "C" NOT NULL,
    percent           BIGINT NOT NULL,           -- how many of the people a shadow asks about
    started           BIGINT NOT NULL,
    ends              BIGINT,                    -- a shadow ends by itself
    finished          BIGINT,
    population        BIGINT,                    -- how many people a simulation found when it began
    cursor_connection TEXT COLLATE "C" NOT NULL,
    cursor_resource   TEXT COLLATE "C" NOT NULL,
    summary           TEXT COLLATE "C" NOT NULL,
    due_at            BIGINT,                    -- while it runs: when a worker should look; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, trial),
    FOREIGN KEY (tenant, revision) REFERENCES revisions
);
CREATE INDEX trials_started ON trials (tenant, started);
-- One of a kind at a time.
CREATE UNIQUE INDEX trials_running ON trials (tenant, kind) WHERE state = 'running';

-- What a trial makes different for a person. Goes with the person's resource.
CREATE TABLE trial_differences (
    tenant     TEXT COLLATE "C" NOT NULL,
    trial      TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,                     -- the gravest thing in it
    difference TEXT COLLATE "C" NOT NULL,
    collides   BOOLEAN NOT NULL,                  -- whether another account has, or would get, its name
    name_key   TEXT COLLATE "C",                              -- the name that the account would get, where it is another
    PRIMARY KEY (tenant, trial, connection, resource),
    FOREIGN KEY (tenant, trial) REFERENCES trials ON DELETE CASCADE,
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE
);
CREATE INDEX trial_differences_resource ON trial_differences (tenant, connection, resource);
CREATE INDEX trial_differences_kind ON trial_differences (tenant, trial, kind, connection, resource);
CREATE INDEX trial_differences_name ON trial_differences (tenant, trial, name_key) WHERE name_key IS NOT NULL;

-- Each activation of a revision. While it is watched, people whom the revision turns away and the one before did not are counted.
CREATE TABLE activations (
    tenant       TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    number       BIGINT NOT NULL,                -- ascending, from 1
    revision     TEXT COLLATE "C" NOT NULL,
    replaces     TEXT COLLATE "C",
    at           BIGINT NOT NULL,
    actor_kind   TEXT COLLATE "C" NOT NULL,
    actor_id     TEXT COLLATE "C" NOT NULL,
    simulation   TEXT COLLATE "C",                            -- the trial that it was activated with
    state        TEXT COLLATE "C" NOT NULL,                   -- active | superseded | returned | held
    reason       TEXT COLLATE "C",
    watch_until  BIGINT,                         -- NULL: not watched
    limit_people BIGINT,
    faults       BIGINT NOT NULL,
    refused      BIGINT NOT NULL,
    out_of_scope BIGINT NOT NULL,
    PRIMARY KEY (tenant, number)
);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['trials', 'trial_differences', 'activations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

-- What finds work across tenants.
CREATE POLICY platform ON trials FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, trial, kind, revision, base, state, percent, ends, due_at) ON trials TO rolecall_platform;
