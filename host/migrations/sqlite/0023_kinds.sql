-- Of what kind a resource is stands in the key of its indexes and not in their conditions, as on PostgreSQL, which says why.
DROP INDEX resources_users;
DROP INDEX resources_groups;
DROP INDEX resources_modified;
CREATE INDEX resources_kind ON resources (tenant, kind, connection, id);
CREATE INDEX resources_modified ON resources (tenant, kind, connection, modified);
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('resources', 'resources_kind', '110000 5500 2750 2750 1'),
    ('resources', 'resources_modified', '110000 5500 2750 2750 1');
ANALYZE sqlite_schema;
