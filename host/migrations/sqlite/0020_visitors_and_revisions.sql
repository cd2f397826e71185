-- Stored revisions are listed, with what became of each.
CREATE INDEX revisions_created ON revisions (tenant, created, hash);
CREATE INDEX activations_revision ON activations (tenant, revision);
CREATE INDEX trials_revision ON trials (tenant, revision);
