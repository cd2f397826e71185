-- What was said before is looked for by what waits; of people whom the identity provider has deleted; and closed reviews have an end.
-- Twin: ../postgres/0012_reviews_kept.sql.

-- When a job is to look at what was said of somebody whom the identity provider has deleted: no evaluation would.
ALTER TABLE rulings ADD COLUMN settle_at INTEGER;
CREATE INDEX rulings_settle ON rulings (settle_at, tenant, account) WHERE settle_at IS NOT NULL;
-- Who waits in a hold.
CREATE INDEX rulings_waiting ON rulings (tenant, hold, account) WHERE state = 'open' AND hold IS NOT NULL;
-- Reviews whose time is over.
CREATE INDEX reviews_closed ON reviews (tenant, closed, review) WHERE state = 'closed';

-- As for the other tables: a made-up database, so that a new one's plans are those of a full one.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('grants', 'grants_role', '300000 15000 150 1'),
    ('holds', 'sqlite_autoindex_holds_1', '2000 100 1'),
    ('holds', 'holds_open', '100 5 1'),
    ('holds', 'holds_newest', '2000 100 1 1'),
    ('rulings', 'sqlite_autoindex_rulings_1', '100000 5000 1'),
    ('rulings', 'rulings_account', '20000 1000 2'),
    ('rulings', 'rulings_hold', '80000 4000 800 2'),
    ('rulings', 'rulings_remind', '200 1'),
    ('rulings', 'rulings_kind', '20000 1000 250 100 1'),
    ('rulings', 'rulings_settle', '200 1 1 1'),
    ('rulings', 'rulings_waiting', '4000 200 50 2'),
    ('guard_windows', 'sqlite_autoindex_guard_windows_1', '20000 1000 1'),
    ('guard_people', 'sqlite_autoindex_guard_people_1', '200000 10000 10 1'),
    ('guard_people', 'guard_people_at', '200000 10000 10 1'),
    ('reviews', 'sqlite_autoindex_reviews_1', '2000 100 1'),
    ('reviews', 'reviews_newest', '2000 100 1 1'),
    ('reviews', 'reviews_due', '100 1 1'),
    ('reviews', 'reviews_closed', '1900 95 1 1'),
    ('review_lines', 'sqlite_autoindex_review_lines_1', '2000000 100000 1000 1'),
    ('review_lines', 'review_lines_reviewer', '2000000 100000 1000 50 1'),
    ('review_lines', 'review_lines_decision', '2000000 100000 1000 300 1');
ANALYZE sqlite_schema;
