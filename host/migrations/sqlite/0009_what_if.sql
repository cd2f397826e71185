-- What a simulation rests on: which part of the people it is of, and whether they are still those whom it saw.

-- The part of the people that a simulation asks about; NULL: everybody.
ALTER TABLE trials ADD COLUMN part TEXT;
-- When the person's input_version was last moved: whatever is read about them, or stands, may be other than before.
ALTER TABLE evaluations ADD COLUMN moved_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX evaluations_moved ON evaluations (tenant, moved_at);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('evaluations', 'evaluations_moved', '100000 5000 1');
ANALYZE sqlite_schema;
