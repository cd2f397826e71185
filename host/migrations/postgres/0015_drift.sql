-- Drift: what an identity provider's export lists beside what is stored of its connection, and what is done about it.

CREATE TABLE reconciliations (
    tenant         TEXT COLLATE "C" NOT NULL,
    reconciliation TEXT COLLATE "C" NOT NULL,
    connection     TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL,               -- loading | simulating | ready | running | finished | abandoned | expired
    is_complete    BOOLEAN NOT NULL,            -- whether the export lists everybody
    counts         TEXT COLLATE "C" NOT NULL,               -- JSON
    distance       BIGINT NOT NULL,            -- people who differ still
    digest         TEXT COLLATE "C" NOT NULL,               -- of all lines with what they would come to, once they are simulated
    place          BIGINT NOT NULL,            -- the last line that is part of the digest
    hold           TEXT COLLATE "C",
    reason         TEXT COLLATE "C",
    made_kind      TEXT COLLATE "C" NOT NULL,
    made_id        TEXT COLLATE "C" NOT NULL,
    begun_kind     TEXT COLLATE "C",
    begun_id       TEXT COLLATE "C",
    created        BIGINT NOT NULL,
    ends           BIGINT NOT NULL,            -- until when it may be carried out
    begun          BIGINT,
    finished       BIGINT,
    due_at         BIGINT,                     -- when a worker has to look at it
    PRIMARY KEY (tenant, reconciliation),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE,
    FOREIGN KEY (tenant, hold) REFERENCES holds
);
CREATE INDEX reconciliations_newest ON reconciliations (tenant, created, reconciliation);
CREATE INDEX reconciliations_connection ON reconciliations (tenant, connection, created, reconciliation);
CREATE INDEX reconciliations_due ON reconciliations (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX reconciliations_hold ON reconciliations (tenant, hold) WHERE hold IS NOT NULL;

CREATE TABLE drift_lines (
    tenant         TEXT COLLATE "C" NOT NULL,
    reconciliation TEXT COLLATE "C" NOT NULL,
    line           BIGINT NOT NULL,            -- ascending from 1
    kind           TEXT COLLATE "C" NOT NULL,               -- missing | extra | differing | doubt
    connection     TEXT COLLATE "C" NOT NULL,
    resource       TEXT COLLATE "C" NOT NULL,               -- '' for somebody who is missing
    account        TEXT COLLATE "C" NOT NULL,               -- '' for somebody who is missing
    version        BIGINT NOT NULL,            -- of the resource when it was compared
    detail         BYTEA NOT NULL,               -- names and values, sealed under the tenant's key
    forecast       TEXT COLLATE "C",                        -- JSON: roles that are gained, lost, wait
    loses          BOOLEAN NOT NULL,            -- whether the person loses access
    outcome        TEXT COLLATE "C",                        -- done | moved | refused | rejected | skipped | expired
    note           TEXT COLLATE "C",
    PRIMARY KEY (tenant, reconciliation, line),
    FOREIGN KEY (tenant, reconciliation) REFERENCES reconciliations ON DELETE CASCADE
);
CREATE INDEX drift_lines_left ON drift_lines (tenant, reconciliation, line) WHERE outcome IS NULL;
CREATE INDEX drift_lines_account ON drift_lines (tenant, reconciliation, account);
CREATE INDEX drift_lines_resource ON drift_lines (tenant, connection, resource) WHERE resource <> '';

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['reconciliations', 'drift_lines'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

-- What finds work across tenants.
CREATE POLICY platform ON reconciliations FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, reconciliation, due_at) ON reconciliations TO rolecall_platform;
