-- People who were in use and left with their whole connection, until a job has begun their leavers' process. The user's document goes with the
-- connection, and who is to do what may depend on it: a copy stays for so long.
CREATE TABLE left_with_connection (
    tenant   TEXT NOT NULL,
    account  TEXT NOT NULL,
    departed INTEGER NOT NULL,
    roles    TEXT,                            -- those that were in effect, a line each
    document TEXT NOT NULL,                   -- as the identity provider wrote it last
    PRIMARY KEY (tenant, account),
    FOREIGN KEY (tenant, account) REFERENCES accounts
) STRICT;

-- What API tokens are for, who made them and when they were used last: to be listed by. Of earlier ones it is not known.
ALTER TABLE api_tokens ADD COLUMN name TEXT;
ALTER TABLE api_tokens ADD COLUMN created_kind TEXT;
ALTER TABLE api_tokens ADD COLUMN created_id TEXT;
ALTER TABLE api_tokens ADD COLUMN last_used INTEGER;
CREATE INDEX api_tokens_tenant ON api_tokens (tenant, token_id);
