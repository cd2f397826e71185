-- Who may decide: what a request for an approval asks, and the admin roles of a token.

-- What is asked, in the words of a policy's `@approval`.
ALTER TABLE rulings ADD COLUMN asks TEXT;
-- The admin roles of a token, as a JSON list of names.
ALTER TABLE api_tokens ADD COLUMN admin_roles TEXT;
