-- Access reviews: campaigns in which people say of each role that somebody holds whether it stays.

CREATE TABLE reviews (
    tenant       TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    review       TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,                   -- draft | open | closing | closed
    plan         TEXT COLLATE "C" NOT NULL,                   -- what was set up front: scope, reviewers, reminders, silence, exceptions
    opens        BIGINT NOT NULL,
    closes       BIGINT NOT NULL,
    opened       BIGINT,
    closed       BIGINT,
    created      BIGINT NOT NULL,
    created_kind TEXT COLLATE "C" NOT NULL,
    created_id   TEXT COLLATE "C" NOT NULL,
    counts       TEXT COLLATE "C" NOT NULL,
    reminded     BIGINT NOT NULL,                -- how many of the reminders were sent
    cursor_part  BIGINT NOT NULL,                -- how far opening, or closing, has come
    cursor_after TEXT COLLATE "C" NOT NULL,
    due_at       BIGINT,                         -- when a worker should look; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, review)
);
CREATE INDEX reviews_newest ON reviews (tenant, created, review);
CREATE INDEX reviews_due ON reviews (due_at, tenant) WHERE due_at IS NOT NULL;

-- No foreign key on the account: what was said of somebody stays, for auditors, when the person is erased.
CREATE TABLE review_lines (
    tenant       TEXT COLLATE "C" NOT NULL,
    review       TEXT COLLATE "C" NOT NULL,
    line         BIGINT NOT NULL,                -- ascending, from 1
    account      TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    reviewer     TEXT COLLATE "C",                            -- NULL: nobody could be found who is not the person
    reviewer_key TEXT COLLATE "C" NOT NULL,                   -- folded; '' for nobody
    decision     TEXT COLLATE "C" NOT NULL,
    decided      BIGINT,
    decided_by   TEXT COLLATE "C",
    reason       TEXT COLLATE "C",
    instead      TEXT COLLATE "C",
    evidence     TEXT COLLATE "C" NOT NULL,
    outcome      TEXT COLLATE "C",
    exception    TEXT COLLATE "C",                            -- the ruling that carries a revocation out
    PRIMARY KEY (tenant, review, line),
    FOREIGN KEY (tenant, review) REFERENCES reviews
);
CREATE INDEX review_lines_reviewer ON review_lines (tenant, review, reviewer_key, line);
CREATE INDEX review_lines_decision ON review_lines (tenant, review, decision, line);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['reviews', 'review_lines'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;

CREATE POLICY platform ON reviews FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, review, due_at) ON reviews TO rolecall_platform;
