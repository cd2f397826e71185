-- Which master key the database was made with, so that another one is told from it before anything is sealed. Twin: ../postgres/0027_master_key.sql.
CREATE TABLE master_key (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), -- there is one
    fingerprint TEXT NOT NULL
) STRICT;
