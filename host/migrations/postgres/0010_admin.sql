-- Who may decide: what a request for an approval asks, and the admin roles of a token.

-- What is asked, in the words of a policy's `@approval`.
ALTER TABLE rulings ADD COLUMN asks TEXT;
-- The admin roles of a token, as a JSON list of names.
ALTER TABLE api_tokens ADD COLUMN admin_roles TEXT;
-- A tenant's token is told in the tenant's history with the same transaction.
CREATE POLICY own_tenant ON api_tokens FOR INSERT TO rolecall_app WITH CHECK (tenant = current_setting('rolecall.tenant', true));
GRANT INSERT ON api_tokens TO rolecall_app;
