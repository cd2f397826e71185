-- People who leave: the receipt of a departure, and what is erased when its time is over.

-- When nothing personal was left of a removed account.
ALTER TABLE accounts ADD COLUMN erased BIGINT;
CREATE INDEX accounts_retained ON accounts (tenant, modified, account) WHERE state = 'removed' AND erased IS NULL;
-- Whose a deleted resource was.
CREATE INDEX deleted_resources_account ON deleted_resources (tenant, account) WHERE account IS NOT NULL;
-- What takes access away, by person: the one part of the history that is read for one of them.
CREATE INDEX events_departures ON events (tenant, account, position)
    WHERE kind IN ('account.suspended', 'account.removed', 'account.out_of_scope', 'grant.removed', 'grant.dormant');
