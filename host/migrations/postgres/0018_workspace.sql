-- Who is signed in to the workspace, and how one gets there. Looked up before it is known which tenant is meant, as API tokens are.

CREATE TABLE web_sessions (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash      TEXT COLLATE "C" NOT NULL,
    tenant    TEXT COLLATE "C" REFERENCES tenants,             -- NULL: the whole platform
    scope     TEXT COLLATE "C" NOT NULL,                       -- JSON: what it may do
    name      TEXT COLLATE "C" NOT NULL,                       -- for people
    via       TEXT COLLATE "C" NOT NULL,                       -- 'link', or the issuer's id
    created   BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    expires   BIGINT NOT NULL                        -- whatever is done with it
);
CREATE UNIQUE INDEX web_sessions_hash ON web_sessions (hash);
CREATE INDEX web_sessions_tenant ON web_sessions (tenant, id);
CREATE INDEX web_sessions_expires ON web_sessions (expires);

-- Links that let somebody in: once into a session, or to the set-up of one connection until they end.
CREATE TABLE web_links (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash       TEXT COLLATE "C" NOT NULL,
    purpose    TEXT COLLATE "C" NOT NULL,                      -- 'sign_in', 'setup'
    tenant     TEXT COLLATE "C" REFERENCES tenants,
    connection TEXT COLLATE "C",
    scope      TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL
);
CREATE UNIQUE INDEX web_links_hash ON web_links (hash);
CREATE INDEX web_links_connection ON web_links (tenant, connection);
CREATE INDEX web_links_expires ON web_links (expires);

-- OpenID providers that people sign in with.
CREATE TABLE web_issuers (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant        TEXT COLLATE "C" REFERENCES tenants,         -- NULL: the platform's own
    settings      TEXT COLLATE "C" NOT NULL,                   -- JSON
    sealed_secret BYTEA,
    created       BIGINT NOT NULL
);
CREATE INDEX web_issuers_tenant ON web_issuers (tenant, id);

-- Sign-ins that have gone to a provider and not come back.
CREATE TABLE web_sign_ins (
    hash    TEXT COLLATE "C" NOT NULL PRIMARY KEY,             -- of the state
    issuer  TEXT COLLATE "C" NOT NULL REFERENCES web_issuers ON DELETE CASCADE,
    sealed  BYTEA NOT NULL,                         -- nonce, verifier, where to go then
    expires BIGINT NOT NULL
);
CREATE INDEX web_sign_ins_issuer ON web_sign_ins (issuer);
CREATE INDEX web_sign_ins_expires ON web_sign_ins (expires);

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['web_sessions', 'web_links', 'web_issuers', 'web_sign_ins'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY platform ON %I TO rolecall_platform USING (true)', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_platform', name);
    END LOOP;
END $$;
