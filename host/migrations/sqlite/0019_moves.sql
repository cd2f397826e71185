-- Moving house: a connection that takes over the people of another one of its tenant.

-- From which connection one takes over.
CREATE TABLE predecessors (
    tenant      TEXT NOT NULL,
    connection  TEXT NOT NULL,
    predecessor TEXT NOT NULL,
    said        INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE,
    FOREIGN KEY (tenant, predecessor) REFERENCES connections (tenant, connection) ON DELETE CASCADE
) STRICT;
CREATE INDEX predecessors_predecessor ON predecessors (tenant, predecessor);

-- Who has moved: whose account came from which user, and what stands in its place there. No foreign key on the users: that one of them
-- was deleted is what the way back has to know.
CREATE TABLE moves (
    tenant         TEXT NOT NULL,
    connection     TEXT NOT NULL,
    resource       TEXT NOT NULL,
    old_connection TEXT NOT NULL,
    old_resource   TEXT NOT NULL,
    account        TEXT NOT NULL,
    placeholder    TEXT NOT NULL,                   -- the old user's account from then on
    moved          INTEGER NOT NULL,
    moved_kind     TEXT NOT NULL,
    moved_id       TEXT NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE,
    FOREIGN KEY (tenant, old_connection) REFERENCES connections (tenant, connection) ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES accounts,
    FOREIGN KEY (tenant, placeholder) REFERENCES accounts (tenant, account)
) STRICT;
CREATE UNIQUE INDEX moves_old ON moves (tenant, old_connection, old_resource);
CREATE INDEX moves_account ON moves (tenant, account);

-- What people say before a connection goes live may be about any account, not about imported ones alone.
CREATE TABLE adoptions_of_any (
    tenant     TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource   TEXT NOT NULL,
    account    TEXT,                              -- NULL: a new one
    decided    INTEGER NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection, resource) REFERENCES resources ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES accounts
) STRICT;
INSERT INTO adoptions_of_any SELECT tenant, connection, resource, account, decided FROM adoptions;
DROP TABLE adoptions;
ALTER TABLE adoptions_of_any RENAME TO adoptions;
CREATE INDEX adoptions_account ON adoptions (tenant, account) WHERE account IS NOT NULL;

-- A handle stands for one group of a tenant; beside it, for one of each connection that takes over from that group's, or that it took over from.
CREATE TABLE handles_of_each (
    tenant      TEXT NOT NULL REFERENCES tenants,
    handle      TEXT NOT NULL,
    connection  TEXT NOT NULL,
    group_id    TEXT NOT NULL,
    external_id TEXT,
    confirmed   INTEGER NOT NULL,
    bound       INTEGER NOT NULL,
    beside      TEXT,                             -- the connection whose group had the handle already
    PRIMARY KEY (tenant, handle, connection),
    FOREIGN KEY (tenant, connection, group_id) REFERENCES resources
) STRICT, WITHOUT ROWID;
INSERT INTO handles_of_each SELECT tenant, handle, connection, group_id, external_id, confirmed, bound, NULL FROM handles;
DROP TABLE handles;
ALTER TABLE handles_of_each RENAME TO handles;
CREATE INDEX handles_group ON handles (tenant, connection, group_id);
CREATE UNIQUE INDEX handles_first ON handles (tenant, handle) WHERE beside IS NULL;
