-- What connections did, counted by slots of five minutes, and what is made of it.

CREATE TABLE connection_traffic (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    slot       INTEGER NOT NULL,                -- when it began
    requests   INTEGER NOT NULL,
    lists      INTEGER NOT NULL,
    writes     INTEGER NOT NULL,
    applied    INTEGER NOT NULL,
    no_op      INTEGER NOT NULL,
    refused    INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    limited    INTEGER NOT NULL,
    wrong      INTEGER NOT NULL,
    skewed     INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection, slot),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX connection_traffic_slot ON connection_traffic (tenant, slot);

CREATE TABLE connection_health (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    settings   TEXT,                            -- JSON; NULL for the usual ones
    memory     TEXT,                            -- JSON: what was learned
    health     TEXT,                            -- JSON: the last judgement
    taken_in   INTEGER NOT NULL,                -- the last slot that is part of the memory
    version    INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Few at most times: those for whom there is no decision.
CREATE INDEX accounts_faulty ON accounts (tenant, account)
    WHERE substr(note, 10, 12) IN ('plugin_fault', 'policy_error');
CREATE INDEX provisioning_log_refused ON provisioning_log (tenant, at) WHERE refused > 0 AND resource IS NOT NULL;
