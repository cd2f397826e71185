-- A removed target keeps its row for what it has acknowledged: the receipts of departures go on naming it.
ALTER TABLE targets ADD COLUMN removed BIGINT;    -- when; its secret is gone, and nothing waits for it

-- What becomes of a tenant's sign-in providers is told in its history, in the same transaction.
CREATE POLICY own_tenant ON web_issuers TO rolecall_app USING (tenant = current_setting('rolecall.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON web_issuers TO rolecall_app;
