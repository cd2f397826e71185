-- Which master key the database was made with, so that another one is told from it before anything is sealed. Twin: ../sqlite/0027_master_key.sql.
CREATE TABLE master_key (
    one         BIGINT NOT NULL PRIMARY KEY CHECK (one = 1), -- there is one
    fingerprint TEXT COLLATE "C" NOT NULL
);
ALTER TABLE master_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE master_key FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON master_key TO rolecall_platform USING (true);
GRANT SELECT, INSERT ON master_key TO rolecall_platform;
