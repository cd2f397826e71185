-- Who is signed in to the workspace, and how one gets there. Looked up before it is known which tenant is meant, as API tokens are.

CREATE TABLE web_sessions (
    id        TEXT NOT NULL PRIMARY KEY,
    hash      TEXT NOT NULL,
    tenant    TEXT REFERENCES tenants,             -- NULL: the whole platform
    scope     TEXT NOT NULL,                       -- JSON: what it may do
    name      TEXT NOT NULL,                       -- for people
    via       TEXT NOT NULL,                       -- 'link', or the issuer's id
    created   INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    expires   INTEGER NOT NULL                        -- whatever is done with it
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX web_sessions_hash ON web_sessions (hash);
CREATE INDEX web_sessions_tenant ON web_sessions (tenant, id);
CREATE INDEX web_sessions_expires ON web_sessions (expires);

-- Links that let somebody in: once into a session, or to the set-up of one connection until they end.
CREATE TABLE web_links (
    id         TEXT NOT NULL PRIMARY KEY,
    hash       TEXT NOT NULL,
    purpose    TEXT NOT NULL,                      -- 'sign_in', 'setup'
    tenant     TEXT REFERENCES tenants,
    connection TEXT,
    scope      TEXT NOT NULL,
    name       TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX web_links_hash ON web_links (hash);
CREATE INDEX web_links_connection ON web_links (tenant, connection);
CREATE INDEX web_links_expires ON web_links (expires);

-- OpenID providers that people sign in with.
CREATE TABLE web_issuers (
    id            TEXT NOT NULL PRIMARY KEY,
    tenant        TEXT REFERENCES tenants,         -- NULL: the platform's own
    settings      TEXT NOT NULL,                   -- JSON
    sealed_secret BLOB,
    created       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX web_issuers_tenant ON web_issuers (tenant, id);

-- Sign-ins that have gone to a provider and not come back.
CREATE TABLE web_sign_ins (
    hash    TEXT NOT NULL PRIMARY KEY,             -- of the state
    issuer  TEXT NOT NULL REFERENCES web_issuers ON DELETE CASCADE,
    sealed  BLOB NOT NULL,                         -- nonce, verifier, where to go then
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX web_sign_ins_issuer ON web_sign_ins (issuer);
CREATE INDEX web_sign_ins_expires ON web_sign_ins (expires);
