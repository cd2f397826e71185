-- Of what kind a resource is stands in the key of its indexes and not in their conditions: with a condition the planner does not use what it
-- knows of tenants and connections together, expects one row of a connection, and reads all its users to find one by its id. It stands before
-- the connection: where no kind is asked for (an external id), the index is then no way to the rows of a connection at all.
DROP INDEX resources_users;
DROP INDEX resources_groups;
DROP INDEX resources_modified;
CREATE INDEX resources_kind ON resources (tenant, kind, connection, id);
CREATE INDEX resources_modified ON resources (tenant, kind, connection, modified);
