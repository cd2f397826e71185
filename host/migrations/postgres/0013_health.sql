-- What connections did, counted by slots of five minutes, and what is made of it.

CREATE TABLE connection_traffic (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    slot       BIGINT NOT NULL,                -- when it began
    requests   BIGINT NOT NULL,
    lists      BIGINT NOT NULL,
    writes     BIGINT NOT NULL,
    applied    BIGINT NOT NULL,
    no_op      BIGINT NOT NULL,
    refused    BIGINT NOT NULL,
    failed     BIGINT NOT NULL,
    limited    BIGINT NOT NULL,
    wrong      BIGINT NOT NULL,
    skewed     BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection, slot),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);
CREATE INDEX connection_traffic_slot ON connection_traffic (tenant, slot);

CREATE TABLE connection_health (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    settings   TEXT COLLATE "C",                            -- JSON; NULL for the usual ones
    memory     TEXT COLLATE "C",                            -- JSON: what was learned
    health     TEXT COLLATE "C",                            -- JSON: the last judgement
    taken_in   BIGINT NOT NULL,                -- the last slot that is part of the memory
    version    BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);

-- Few at most times: those for whom there is no decision.
CREATE INDEX accounts_faulty ON accounts (tenant, account)
    WHERE substr(note, 10, 12) IN ('plugin_fault', 'policy_error');
CREATE INDEX provisioning_log_refused ON provisioning_log (tenant, at) WHERE refused > 0 AND resource IS NOT NULL;

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['connection_traffic', 'connection_health'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;
