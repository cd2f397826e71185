-- Stored revisions are listed, with what became of each.
CREATE INDEX revisions_created ON revisions (tenant, created, hash);
CREATE INDEX activations_revision ON activations (tenant, revision);
CREATE INDEX trials_revision ON trials (tenant, revision);

-- Sessions and links of a tenant are told in the tenant's history with the same transaction.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['web_sessions', 'web_links'] LOOP
        EXECUTE format(
            'CREATE POLICY own_tenant ON %I TO rolecall_app USING (tenant = current_setting(''rolecall.tenant'', true))', name);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO rolecall_app', name);
    END LOOP;
END $$;
