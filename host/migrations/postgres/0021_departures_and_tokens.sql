-- People who were in use and left with their whole connection, until a job has begun their leavers' process. The user's document goes with the
-- connection, and who is to do what may depend on it: a copy stays for so long.
CREATE TABLE left_with_connection (
    tenant   TEXT COLLATE "C" NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    departed BIGINT NOT NULL,
    roles    TEXT COLLATE "C",                            -- those that were in effect, a line each
    document TEXT COLLATE "C" NOT NULL,                   -- as the identity provider wrote it last
    PRIMARY KEY (tenant, account),
    FOREIGN KEY (tenant, account) REFERENCES accounts
);

ALTER TABLE left_with_connection ENABLE ROW LEVEL SECURITY;
ALTER TABLE left_with_connection FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON left_with_connection TO rolecall_app;
CREATE POLICY own_tenant ON left_with_connection TO rolecall_app USING (tenant = current_setting('rolecall.tenant', true));

-- Which tenants have such people.
CREATE POLICY platform ON left_with_connection FOR SELECT TO rolecall_platform USING (true);
GRANT SELECT (tenant) ON left_with_connection TO rolecall_platform;

-- What API tokens are for, who made them and when they were used last: to be listed by. Of earlier ones it is not known.
ALTER TABLE api_tokens ADD COLUMN name TEXT COLLATE "C";
ALTER TABLE api_tokens ADD COLUMN created_kind TEXT COLLATE "C";
ALTER TABLE api_tokens ADD COLUMN created_id TEXT COLLATE "C";
ALTER TABLE api_tokens ADD COLUMN last_used BIGINT;
CREATE INDEX api_tokens_tenant ON api_tokens (tenant, token_id);
GRANT UPDATE (last_used) ON api_tokens TO rolecall_platform;
-- A tenant's token ends with an event of the tenant, in one transaction.
CREATE POLICY own_tenant_read ON api_tokens FOR SELECT TO rolecall_app USING (tenant = current_setting('rolecall.tenant', true));
CREATE POLICY own_tenant_end ON api_tokens FOR DELETE TO rolecall_app USING (tenant = current_setting('rolecall.tenant', true));
GRANT SELECT (token_id, tenant), DELETE ON api_tokens TO rolecall_app;
