-- Moving house: a connection that takes over the people of another one of its tenant.

-- From which connection one takes over.
CREATE TABLE predecessors (
    tenant      TEXT COLLATE "C" NOT NULL,
    connection  TEXT COLLATE "C" NOT NULL,
    predecessor TEXT COLLATE "C" NOT NULL,
    said        BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE,
    FOREIGN KEY (tenant, predecessor) REFERENCES connections (tenant, connection) ON DELETE CASCADE
);
CREATE INDEX predecessors_predecessor ON predecessors (tenant, predecessor);

-- Who has moved: whose account came from which user, and what stands in its place there. No foreign key on the users: that one of them
-- was deleted is what the way back has to know.
CREATE TABLE moves (
    tenant         TEXT COLLATE "C" NOT NULL,
    connection     TEXT COLLATE "C" NOT NULL,
    resource       TEXT COLLATE "C" NOT NULL,
    old_connection TEXT COLLATE "C" NOT NULL,
    old_resource   TEXT COLLATE "C" NOT NULL,
    account        TEXT COLLATE "C" NOT NULL,
    placeholder    TEXT COLLATE "C" NOT NULL,                   -- the old user's account from then on
    moved          BIGINT NOT NULL,
    moved_kind     TEXT COLLATE "C" NOT NULL,
    moved_id       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, connection, resource),
    FOREIGN KEY (tenant, connection) REFERENCES connections ON DELETE CASCADE,
    FOREIGN KEY (tenant, old_connection) REFERENCES connections (tenant, connection) ON DELETE CASCADE,
    FOREIGN KEY (tenant, account) REFERENCES accounts,
    FOREIGN KEY (tenant, placeholder) REFERENCES accounts (tenant, account)
);
CREATE UNIQUE INDEX moves_old ON moves (tenant, old_connection, old_resource);
CREATE INDEX moves_account ON moves (tenant, account);

-- What people say before a connection goes live may be about any account, not about imported ones alone.
ALTER TABLE adoptions DROP CONSTRAINT adoptions_tenant_account_fkey;
ALTER TABLE adoptions ADD FOREIGN KEY (tenant, account) REFERENCES accounts;

-- A handle stands for one group of a tenant; beside it, for one of each connection that takes over from that group's, or that it took over from.
ALTER TABLE handles ADD COLUMN beside TEXT COLLATE "C";         -- the connection whose group had the handle already
ALTER TABLE handles DROP CONSTRAINT handles_pkey;
ALTER TABLE handles ADD PRIMARY KEY (tenant, handle, connection);
CREATE UNIQUE INDEX handles_first ON handles (tenant, handle) WHERE beside IS NULL;

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['predecessors', 'moves'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO rolecall_app', name);
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
    END LOOP;
END $$;
