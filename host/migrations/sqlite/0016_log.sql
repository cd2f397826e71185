-- More of what each request came to, found by whom it was about, by its id and by its outcome; and how credentials were checked that were refused.

ALTER TABLE provisioning_log ADD COLUMN code TEXT NOT NULL DEFAULT '';   -- what it came to, in one word
ALTER TABLE provisioning_log ADD COLUMN detail TEXT;                     -- JSON: how long it took, quirks, fates, what it led to, its form
CREATE INDEX provisioning_log_position ON provisioning_log (tenant, position);
CREATE INDEX provisioning_log_resource ON provisioning_log (tenant, resource, position) WHERE resource IS NOT NULL;
CREATE INDEX provisioning_log_request ON provisioning_log (tenant, request_id, position);
CREATE INDEX provisioning_log_failing ON provisioning_log (tenant, position) WHERE status >= 400;

CREATE TABLE credential_refusals (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    failed     TEXT NOT NULL,                   -- the kind of credential, and the check that failed
    trace      TEXT NOT NULL,                   -- JSON: the last one's checks
    seen       INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection, failed),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('provisioning_log', 'provisioning_log_position', '200000 10000 1'),
    ('provisioning_log', 'provisioning_log_resource', '200000 10000 10 1'),
    ('provisioning_log', 'provisioning_log_request', '200000 10000 1 1'),
    ('provisioning_log', 'provisioning_log_failing', '10000 500 1');
ANALYZE sqlite_schema;
