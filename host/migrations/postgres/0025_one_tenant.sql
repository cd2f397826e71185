-- Which tenant and which connection a statement is about says nothing about how few rows it meets: one tenant may have nearly all of them. A
-- planner that goes by the average (or finds a tenant that has just come among those it knows) expects one row where there are a hundred
-- thousand, and takes any index that begins with the tenant for as good as the key. With one distinct value it expects all of them, always, and
-- looks up by whole keys. Statements are planned without their values for the same reason: see `PLANNING` in store/postgres.rs.
DO $$
DECLARE
    place RECORD;
BEGIN
    FOR place IN
        SELECT c.oid::regclass AS of_table, a.attname AS of_column
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
        WHERE NOT a.attisdropped AND (
            -- Where each index of all rows begins with the tenant: another would be read whole in the belief that all are the tenant's.
            a.attname = 'tenant' AND NOT EXISTS (
                SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indpred IS NULL AND i.indkey[0] <> a.attnum
            )
            -- And not where there is one row for each.
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1)
            -- Where the rows of a connection are looked up by the connection; not in logs, where one among many is looked for.
            OR a.attname IN ('connection', 'old_connection') AND c.relname IN (
                'resources', 'deleted_resources', 'emails', 'members', 'links', 'evaluations', 'moves', 'adoptions', 'trial_differences'
            )
        )
        ORDER BY 1, 2
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET (n_distinct = 1)', place.of_table, place.of_column);
        -- Nor does the most common one say how many rows another may have.
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 1', place.of_table, place.of_column);
    END LOOP;
    -- Tables that have rows already.
    FOR place IN
        SELECT c.oid::regclass AS of_table FROM pg_class c
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.reltuples > 0 ORDER BY 1
    LOOP
        EXECUTE format('ANALYZE %s', place.of_table);
    END LOOP;
END
$$;
