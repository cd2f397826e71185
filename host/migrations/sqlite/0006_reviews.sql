-- Access reviews: campaigns in which people say of each role that somebody holds whether it stays.

CREATE TABLE reviews (
    tenant       TEXT NOT NULL REFERENCES tenants,
    review       TEXT NOT NULL,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL,                   -- draft | open | closing | closed
    plan         TEXT NOT NULL,                   -- what was set up front: scope, reviewers, reminders, silence, exceptions
    opens        INTEGER NOT NULL,
    closes       INTEGER NOT NULL,
    opened       INTEGER,
    closed       INTEGER,
    created      INTEGER NOT NULL,
    created_kind TEXT NOT NULL,
    created_id   TEXT NOT NULL,
    counts       TEXT NOT NULL,
    reminded     INTEGER NOT NULL,                -- how many of the reminders were sent
    cursor_part  INTEGER NOT NULL,                -- how far opening, or closing, has come
    cursor_after TEXT NOT NULL,
    due_at       INTEGER,                         -- when a worker should look; a claim moves it to the end of its lease
    PRIMARY KEY (tenant, review)
) STRICT;
CREATE INDEX reviews_newest ON reviews (tenant, created, review);
CREATE INDEX reviews_due ON reviews (due_at, tenant) WHERE due_at IS NOT NULL;

-- No foreign key on the account: what was said of somebody stays, for auditors, when the person is erased.
CREATE TABLE review_lines (
    tenant       TEXT NOT NULL,
    review       TEXT NOT NULL,
    line         INTEGER NOT NULL,                -- ascending, from 1
    account      TEXT NOT NULL,
    role         TEXT NOT NULL,
    reviewer     TEXT,                            -- NULL: nobody could be found who is not the person
    reviewer_key TEXT NOT NULL,                   -- folded; '' for nobody
    decision     TEXT NOT NULL,
    decided      INTEGER,
    decided_by   TEXT,
    reason       TEXT,
    instead      TEXT,
    evidence     TEXT NOT NULL,
    outcome      TEXT,
    exception    TEXT,                            -- the ruling that carries a revocation out
    PRIMARY KEY (tenant, review, line),
    FOREIGN KEY (tenant, review) REFERENCES reviews
) STRICT;
CREATE INDEX review_lines_reviewer ON review_lines (tenant, review, reviewer_key, line);
CREATE INDEX review_lines_decision ON review_lines (tenant, review, decision, line);
