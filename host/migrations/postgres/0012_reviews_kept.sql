-- What was said before is looked for by what waits; of people whom the identity provider has deleted; and closed reviews have an end.
-- Twin: ../sqlite/0012_reviews_kept.sql.

-- When a job is to look at what was said of somebody whom the identity provider has deleted: no evaluation would.
ALTER TABLE rulings ADD COLUMN settle_at BIGINT;
CREATE INDEX rulings_settle ON rulings (settle_at, tenant, account) WHERE settle_at IS NOT NULL;
-- Who waits in a hold.
CREATE INDEX rulings_waiting ON rulings (tenant, hold, account) WHERE state = 'open' AND hold IS NOT NULL;
-- Reviews whose time is over.
CREATE INDEX reviews_closed ON reviews (tenant, closed, review) WHERE state = 'closed';

-- The jobs that look at these have no tenant yet.
GRANT SELECT (tenant, account, settle_at, hold, state) ON rulings TO rolecall_platform;
CREATE POLICY platform ON holds FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant, hold, state) ON holds TO rolecall_platform;
