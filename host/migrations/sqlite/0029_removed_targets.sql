-- A removed target keeps its row for what it has acknowledged: the receipts of departures go on naming it.
ALTER TABLE targets ADD COLUMN removed INTEGER;   -- when; its secret is gone, and nothing waits for it
