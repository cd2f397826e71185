-- More of what each request came to, found by whom it was about, by its id and by its outcome; and how credentials were checked that were refused.

ALTER TABLE provisioning_log ADD COLUMN code TEXT COLLATE "C" NOT NULL DEFAULT '';   -- what it came to, in one word
ALTER TABLE provisioning_log ADD COLUMN detail TEXT COLLATE "C";                     -- JSON: how long it took, quirks, fates, what it led to, its form
CREATE INDEX provisioning_log_resource ON provisioning_log (tenant, resource, position) WHERE resource IS NOT NULL;
CREATE INDEX provisioning_log_request ON provisioning_log (tenant, request_id, position);
CREATE INDEX provisioning_log_failing ON provisioning_log (tenant, position) WHERE status >= 400;

CREATE TABLE credential_refusals (
    tenant     TEXT COLLATE "C" NOT NULL,
    connection TEXT COLLATE "C" NOT NULL,
    failed     TEXT COLLATE "C" NOT NULL,                   -- the kind of credential, and the check that failed
    trace      TEXT COLLATE "C" NOT NULL,                   -- JSON: the last one's checks
    seen       BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection, failed),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['credential_refusals'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;
