-- How many people a window counts, kept in its row: those of guard_people whose `at` is after `counted_from`. After the end of time there
-- is nobody, so that this holds for the windows that are there; the next change moves it to where its window begins and so fills the count.
ALTER TABLE guard_windows ADD COLUMN people INTEGER NOT NULL DEFAULT 0;
ALTER TABLE guard_windows ADD COLUMN counted_from INTEGER NOT NULL DEFAULT 9223372036854775807;
