-- The roles that an import named, so that the next one gives only what it names anew: what was taken away meanwhile stays away.
ALTER TABLE imports ADD COLUMN roles TEXT;   -- JSON: an array of role ids; null for rows that were imported before
