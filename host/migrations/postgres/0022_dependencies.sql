-- A connection belongs to one tenant. Without this the planner multiplies how rare both are, expects one row where there are as many as a
-- connection has people, and takes an index by another column for as good as the key. They are gathered whenever a table is analysed.
CREATE STATISTICS resources_connection (dependencies) ON tenant, connection FROM resources;
CREATE STATISTICS deleted_resources_connection (dependencies) ON tenant, connection FROM deleted_resources;
CREATE STATISTICS emails_connection (dependencies) ON tenant, connection FROM emails;
CREATE STATISTICS members_connection (dependencies) ON tenant, connection FROM members;
CREATE STATISTICS links_connection (dependencies) ON tenant, connection FROM links;
CREATE STATISTICS evaluations_connection (dependencies) ON tenant, connection FROM evaluations;
CREATE STATISTICS provisioning_log_connection_rows (dependencies) ON tenant, connection FROM provisioning_log;
CREATE STATISTICS connection_traffic_connection (dependencies) ON tenant, connection FROM connection_traffic;
