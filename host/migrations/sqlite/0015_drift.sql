-- Drift: what an identity provider's export lists beside what is stored of its connection, and what is done about it.

CREATE TABLE reconciliations (
    tenant         TEXT NOT NULL,
    reconciliation TEXT NOT NULL,
    connection     TEXT NOT NULL,
    state          TEXT NOT NULL,               -- loading | simulating | ready | running | finished | abandoned | expired
    is_complete    INTEGER NOT NULL,            -- whether the export lists everybody
    counts         TEXT NOT NULL,               -- JSON
    distance       INTEGER NOT NULL,            -- people who differ still
    digest         TEXT NOT NULL,               -- of all lines with what they would come to, once they are simulated
    place          INTEGER NOT NULL,            -- the last line that is part of the digest
    hold           TEXT,
    reason         TEXT,
    made_kind      TEXT NOT NULL,
    made_id        TEXT NOT NULL,
    begun_kind     TEXT,
    begun_id       TEXT,
    created        INTEGER NOT NULL,
    ends           INTEGER NOT NULL,            -- until when it may be carried out
    begun          INTEGER,
    finished       INTEGER,
    due_at         INTEGER,                     -- when a worker has to look at it
    PRIMARY KEY (tenant, reconciliation),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE,
    FOREIGN KEY (tenant, hold) REFERENCES holds
) STRICT;
CREATE INDEX reconciliations_newest ON reconciliations (tenant, created, reconciliation);
CREATE INDEX reconciliations_connection ON reconciliations (tenant, connection, created, reconciliation);
CREATE INDEX reconciliations_due ON reconciliations (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX reconciliations_hold ON reconciliations (tenant, hold) WHERE hold IS NOT NULL;

CREATE TABLE drift_lines (
    tenant         TEXT NOT NULL,
    reconciliation TEXT NOT NULL,
    line           INTEGER NOT NULL,            -- ascending from 1
    kind           TEXT NOT NULL,               -- missing | extra | differing | doubt
    connection     TEXT NOT NULL,
    resource       TEXT NOT NULL,               -- '' for somebody who is missing
    account        TEXT NOT NULL,               -- '' for somebody who is missing
    version        INTEGER NOT NULL,            -- of the resource when it was compared
    detail         BLOB NOT NULL,               -- names and values, sealed under the tenant's key
    forecast       TEXT,                        -- JSON: roles that are gained, lost, wait
    loses          INTEGER NOT NULL,            -- whether the person loses access
    outcome        TEXT,                        -- done | moved | refused | rejected | skipped | expired
    note           TEXT,
    PRIMARY KEY (tenant, reconciliation, line),
    FOREIGN KEY (tenant, reconciliation) REFERENCES reconciliations ON DELETE CASCADE
) STRICT;
CREATE INDEX drift_lines_left ON drift_lines (tenant, reconciliation, line) WHERE outcome IS NULL;
CREATE INDEX drift_lines_account ON drift_lines (tenant, reconciliation, account);
CREATE INDEX drift_lines_resource ON drift_lines (tenant, connection, resource) WHERE resource <> '';
