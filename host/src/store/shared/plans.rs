//! Which index each look-up uses, told by the database itself: on a database with people in it, no statement that a request or
//! a tick of the worker makes may go through a whole table.

use rolecall_scim::ResourceKind;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::super::Backend;
use super::super::scratch::{self, SETTLE, is_scan, open};
use super::listing::{Place, select};
use super::{
    Conn, accounts, adoption, api_tokens, commit, credentials, departed, departures, directory, drift, groups, guard, health, history,
    holds, imports, invitations, left, log, moving, outbox, people, removal, resources, restores, review_keeping, review_opening, reviews,
    revisions, rulings, sealed, spreading, steps, tenancy, text_list, trial_people, trials, visitors, work,
};
use crate::model::{HoldState, Instant, ReviewDecision, RulingKind, RulingState, TenantId};
use crate::store::condition::{Condition, InstantColumn, TextColumn};
use crate::store::{LineQuery, RulingQuery, Store as _};

/// Tenants, each with users and groups: enough that going through a table costs more than an index.
pub(in super::super) const SEED: &[&str] = &[
    "INSERT INTO connections (tenant, connection, name, state, created, wrong_credentials)
     SELECT tenant, tenant || 'c', 'directory', 'active', 0, 0 FROM tenants",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
     INSERT INTO connection_tokens (tenant, connection, token_id, kind, hash, created)
     SELECT tenant, connection, 'token' || i, 'bearer', tenant || i, 0 FROM n, connections",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     INSERT INTO api_tokens (token_id, hash, may_write, created) SELECT 'api' || i, 'hash' || i, TRUE, 0 FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     INSERT INTO resources (tenant, connection, id, kind, external_id, user_name, display_name, label, active, created, modified,
                            version, document)
     SELECT tenant, connection, 'u' || i, 'user', 'x' || i, 'name' || i, 'show' || i, 'show', TRUE, i, i, 1, '{}' FROM n, connections",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
     INSERT INTO resources (tenant, connection, id, kind, external_id, display_name, label, created, modified, version, document)
     SELECT tenant, connection, 'g' || i, 'group', 'y' || i, 'group' || i, 'group', i, i, 1, '{}' FROM n, connections",
    "INSERT INTO emails (tenant, connection, value, resource)
     SELECT tenant, connection, id || '@example.com', id FROM resources WHERE kind = 'user'",
    "INSERT INTO members (tenant, connection, group_id, member_id, member_kind)
     SELECT tenant, connection, 'g' || (created % 499 + 1), id, 'user' FROM resources WHERE kind = 'user'",
    "INSERT INTO members (tenant, connection, group_id, member_id, member_kind)
     SELECT tenant, connection, 'g500', id, 'user' FROM resources WHERE kind = 'user'",
    "INSERT INTO accounts (tenant, account, state, user_name_folded, name_key, profile, provenance, created, modified)
     SELECT tenant, 'a' || id, CASE WHEN created % 100 = 0 THEN 'held' ELSE 'active' END, user_name, user_name, '{}', '{}', 0, 0 FROM resources WHERE kind = 'user'",
    "INSERT INTO links (tenant, connection, resource, account)
     SELECT tenant, connection, id, 'a' || id FROM resources WHERE kind = 'user'",
    "INSERT INTO evaluations (tenant, connection, resource, input_version, moved_at, attempts, due_at, cause)
     SELECT tenant, connection, id, 0, created, 0, CASE WHEN created % 50 = 0 THEN created END, CASE WHEN created % 100 = 0 THEN 'retry' END
     FROM resources WHERE kind = 'user'",
    "INSERT INTO events (tenant, id, seq, at, kind, actor_kind, actor_id, data)
     SELECT tenant, id, CASE WHEN created <= 1990 THEN created END, 0, 'x', 'x', 'x', '{}' FROM resources WHERE kind = 'user'",
    "INSERT INTO connection_issuers (tenant, connection, settings) SELECT tenant, connection, '{}' FROM connections",
    "INSERT INTO provisioning_log (tenant, connection, at, request_id, method, status, applied, no_op, refused)
     SELECT tenant, connection, created, id, 'PATCH', 200, 1, 0, 0 FROM resources",
    "UPDATE provisioning_log SET refused = 1, resource = request_id, status = 400 WHERE at % 50 = 0",
    "UPDATE accounts SET note = '{\"code\":\"plugin_fault\",\"message\":\"x\"}' WHERE state = 'held'",
    "INSERT INTO connection_traffic (tenant, connection, slot, requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed)
     SELECT tenant, connection, created, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM resources WHERE kind = 'user'",
    "INSERT INTO connection_health (tenant, connection, taken_in, version) SELECT tenant, connection, 1900, 1 FROM connections",
    "INSERT INTO reconciliations (tenant, reconciliation, connection, state, is_complete, counts, distance, digest, place, made_kind, made_id,
                                 created, ends, due_at)
     SELECT tenant, 'c' || id, connection, 'finished', TRUE, '{}', 0, '', 0, 'x', 'x', created, 0, created FROM resources WHERE kind = 'user'",
    "INSERT INTO drift_lines (tenant, reconciliation, line, kind, connection, resource, account, version, detail, loses, outcome)
     SELECT r.tenant, 'cu7', r.created, 'extra', connection, id, 'a' || id, 1, t.sealed_key, TRUE,
            CASE WHEN r.created % 100 <> 0 THEN 'done' END FROM resources r JOIN tenants t ON t.tenant = r.tenant WHERE kind = 'user'",
    "INSERT INTO revisions (tenant, hash, created) SELECT tenant, 'r', 0 FROM tenants",
    "INSERT INTO revisions (tenant, hash, created)
     SELECT tenant, 'r' || id, created FROM resources WHERE kind = 'group'",
    "INSERT INTO contents (tenant, digest, bytes)
     SELECT tenant, 'c' || g.id, sealed_key FROM tenants JOIN resources g USING (tenant) WHERE g.kind = 'group'",
    "INSERT INTO revision_files (tenant, hash, path, digest)
     SELECT tenant, 'r' || id, 'plugins/x.wasm', 'c' || id FROM resources WHERE kind = 'group'",
    "INSERT INTO plugins (tenant, digest, name, version, hooks, size, created)
     SELECT tenant, 'c' || id, 'plugin', '1', '', 5, created FROM resources WHERE kind = 'group'",
    "INSERT INTO trials (tenant, trial, kind, revision, state, actor_kind, actor_id, percent, started, cursor_connection, cursor_resource,
                         summary, due_at)
     SELECT tenant, 'trial' || g.id, 'simulation', 'r' || g.id, 'finished', 'x', 'x', 100, g.created, '', '', '{}', NULL
     FROM tenants JOIN resources g USING (tenant) WHERE g.kind = 'group'",
    "INSERT INTO activations (tenant, number, revision, at, actor_kind, actor_id, state, faults, refused, out_of_scope)
     SELECT tenant, created, 'r' || id, created, 'x', 'x', 'superseded', 0, 0, 0 FROM resources WHERE kind = 'group'",
    "INSERT INTO trial_differences (tenant, trial, connection, resource, account, kind, difference, collides)
     SELECT tenant, 'trialg7', connection, id, 'a' || id, CASE WHEN created % 100 = 0 THEN 'fault' ELSE 'gains' END, '{}', FALSE
     FROM resources WHERE kind = 'user'",
    "INSERT INTO grants (tenant, account, role, state, reasons, since, revision)
     SELECT tenant, 'a' || id, 'r' || (created % 50), 'effective', '[]', 0, 'r' FROM resources WHERE kind = 'user'",
    "INSERT INTO holds (tenant, hold, guard, state, limit_people, opened)
     SELECT tenant, 'h' || id, 'losses/role/r' || created, CASE WHEN created % 50 = 7 THEN 'open' ELSE 'closed' END, 5, created
     FROM resources WHERE kind = 'group'",
    "INSERT INTO rulings (tenant, ruling, account, role, kind, state, hold, remind_at, created, created_kind, created_id)
     SELECT tenant, 'l' || id, 'a' || id, 'r1', 'loss', CASE WHEN created % 50 = 7 THEN 'open' ELSE 'ended' END, 'hg' || (created % 50 + 1),
            CASE WHEN created % 50 = 7 THEN created END, 0, 'x', 'x'
     FROM resources WHERE kind = 'user'",
    "INSERT INTO guard_windows (tenant, guard, began, limit_people)
     SELECT tenant, 'losses/role/r' || created, 0, 5 FROM resources WHERE kind = 'user'",
    "INSERT INTO guard_people (tenant, guard, account, at)
     SELECT tenant, 'losses/role/r' || (created % 500), 'a' || id, created FROM resources WHERE kind = 'user'",
    "INSERT INTO history_batches (tenant, number, first_seq, last_seq, sealed, digests, hash, signature)
     SELECT tenant, created, created * 10 - 9, created * 10, 0, document_key, document_key, document_key
     FROM resources JOIN (SELECT tenant AS whose, sealed_key AS document_key FROM tenants) AS keys ON whose = tenant WHERE kind = 'user'",
    "INSERT INTO standings (tenant, seq, account, role, state, reasons, since_at, until_at, held_since, held_seq)
     SELECT tenant, created, 'a' || id, 'role' || (created % 20), 'effective', '[]', created, created + 500, created, created
     FROM resources WHERE kind = 'user'",
    "INSERT INTO grants (tenant, account, role, state, reasons, since, revision)
     SELECT tenant, 'a' || id, 'role' || (created % 20), 'effective', '[]', 0, 'r' FROM resources WHERE kind = 'user'",
    "INSERT INTO reviews (tenant, review, name, state, plan, opens, closes, closed, created, created_kind, created_id, counts, reminded, cursor_part,
                          cursor_after, due_at)
     SELECT tenant, 'review' || id, 'x', 'closed', '{}', 0, 0, created, created, 'x', 'x', '{}', 0, 0, '', CASE WHEN created % 100 = 0 THEN created END
     FROM resources WHERE kind = 'group'",
    "INSERT INTO review_lines (tenant, review, line, account, role, reviewer, reviewer_key, decision, evidence)
     SELECT tenant, 'reviewg7', created, 'a' || id, 'role1', 'boss', 'boss' || (created % 50),
            CASE WHEN created % 100 = 0 THEN 'revoke' ELSE 'keep' END, '{}' FROM resources WHERE kind = 'user'",
    "INSERT INTO processes (tenant, process, account, kind, state, anchor, zone, begun)
     SELECT tenant, 'p' || id, 'a' || id, 'joiner', CASE WHEN created % 50 = 0 THEN 'open' ELSE 'done' END, 0, 'UTC', 0
     FROM resources WHERE kind = 'user'",
    "INSERT INTO process_steps (tenant, process, place, step, account, title, owner, span, due, state)
     SELECT tenant, process, 0, 'laptop', account, 'x', 'x', 'P1D', begun, CASE WHEN state = 'open' THEN 'open' ELSE 'done' END
     FROM processes",
    "INSERT INTO acknowledgements_due (tenant, account, departed, due)
     SELECT tenant, 'a' || id, 0, created FROM resources WHERE kind = 'user' AND created % 20 = 0",
    "INSERT INTO left_with_connection (tenant, account, departed, document)
     SELECT tenant, 'a' || id, 0, '{}' FROM resources WHERE kind = 'user' AND created % 20 = 0",
    "INSERT INTO invitations (tenant, invitation, account, hash, state, made, made_kind, made_id, expires)
     SELECT tenant, 'i' || id, 'a' || id, 'h' || id, CASE WHEN created % 50 = 0 THEN 'open' ELSE 'accepted' END, 0, 'x', 'x', created
     FROM resources WHERE kind = 'user'",
    "INSERT INTO web_sessions (id, hash, tenant, scope, name, via, created, last_used, expires)
     SELECT tenant || id, 'hash' || tenant || id, tenant, '{}', 'x', 'link', 0, 0, created FROM resources WHERE kind = 'user'",
    "INSERT INTO web_links (id, hash, purpose, tenant, scope, name, created, expires)
     SELECT tenant || id, 'hash' || tenant || id, 'setup', tenant, '{}', 'x', 0, created FROM resources WHERE kind = 'user'",
    "INSERT INTO web_issuers (id, tenant, settings, created) SELECT tenant || id, tenant, '{}', 0 FROM resources WHERE kind = 'user'",
    "INSERT INTO web_sign_ins (hash, issuer, sealed, expires)
     SELECT tenant || r.id, tenant || r.id, sealed_key, r.created FROM tenants JOIN resources r USING (tenant) WHERE r.kind = 'user'",
    "UPDATE accounts SET wanted_key = 'wanted' || name_key WHERE state = 'held'",
    "INSERT INTO imports (tenant, account, name_key, external_id, digest, is_protected, imported, adopted)
     SELECT tenant, 'a' || id, user_name, external_id, '', FALSE, 0, CASE WHEN created % 10 = 0 THEN created END FROM resources WHERE kind = 'user'",
    "INSERT INTO import_emails (tenant, value, account) SELECT tenant, value, 'a' || resource FROM emails",
    "INSERT INTO predecessors (tenant, connection, predecessor, said) SELECT tenant, connection, connection, 0 FROM connections",
    "INSERT INTO moves (tenant, connection, resource, old_connection, old_resource, account, placeholder, moved, moved_kind, moved_id)
     SELECT tenant, connection, id, connection, id, 'a' || id, 'a' || id, 0, 'x', 'x' FROM resources WHERE kind = 'user' AND created % 4 = 0",
    "INSERT INTO handles (tenant, handle, connection, group_id, confirmed, bound, beside)
     SELECT tenant, 'h' || id, connection, id, TRUE, 0, CASE WHEN created % 20 = 0 THEN connection END FROM resources WHERE kind = 'group'",
    "INSERT INTO deliveries (tenant, target, event, lane, position, leaver, state, attempts)
     SELECT tenant, 'hook', id, id, position, seq IS NULL, CASE WHEN seq > 1500 THEN 'waiting' ELSE 'acknowledged' END, 0 FROM events",
    "INSERT INTO delivery_lanes (tenant, target, lane, leaver, next_at)
     SELECT tenant, target, lane, leaver, position FROM deliveries WHERE state = 'waiting'",
];

/// A statement is explained in the role that runs it: row-level security is part of the plan.
#[derive(Clone, Copy)]
pub(in super::super) enum As {
    Tenant,
    Platform,
}

/// A value to be bound.
#[derive(Clone, Copy)]
pub(in super::super) enum Value {
    Text(&'static str),
    List(&'static [&'static str]),
    Number(i64),
    Truth(bool),
}

use Value::{List, Number, Text, Truth};

impl Value {
    /// What its type is called in SQL.
    pub(in super::super) fn sql_type(&self) -> &'static str {
        match self {
            Text(_) => "text",
            List(_) => "text[]",
            Number(_) => "bigint",
            Truth(_) => "boolean",
        }
    }
}

/// Statement, who runs it, what is bound, and the indexes that its plan must name.
pub(in super::super) type Case = (&'static str, As, &'static [Value], &'static [&'static str]);

/// What a search of the log is asked with.
const SEARCH: &[Value] = &[
    Text("t3"),
    Number(1_000_000),
    Number(0),
    Number(40),
    Text("t3c"),
    Text("u50"),
    Text("u50"),
    Text("applied"),
    Text("PATCH"),
    Number(0),
    Number(1_000),
    Number(0),
    Number(5_000),
    Number(10),
];

pub(in super::super) const CASES: &[Case] = &[
    (credentials::BY_HASH, As::Platform, &[List(&["t37", "t38"])], &["connection_tokens_hash"]),
    (credentials::BY_ID, As::Tenant, &[Text("t3"), Text("t3c"), Text("token7")], &[]),
    (log::BY_RESOURCE.back, As::Tenant, SEARCH, &["provisioning_log_resource"]),
    (log::BY_RESOURCE.on, As::Tenant, SEARCH, &["provisioning_log_resource"]),
    (log::BY_REQUEST.back, As::Tenant, SEARCH, &["provisioning_log_request"]),
    (log::FAILING.back, As::Tenant, SEARCH, &["provisioning_log_failing"]),
    (log::FAILING.on, As::Tenant, SEARCH, &["provisioning_log_failing"]),
    (log::BY_CONNECTION.back, As::Tenant, SEARCH, &["provisioning_log_connection"]),
    (log::BY_CONNECTION.on, As::Tenant, SEARCH, &["provisioning_log_connection"]),
    (log::ALL.back, As::Tenant, SEARCH, &["provisioning_log_p"]),
    (log::ALL.on, As::Tenant, SEARCH, &["provisioning_log_p"]),
    (log::HIGHEST, As::Tenant, &[Text("t3"), Number(1_000), Number(10)], &["provisioning_log_at"]),
    (log::LOWEST, As::Tenant, &[Text("t3"), Number(1_000), Number(10)], &["provisioning_log_at"]),
    (restores::NEXT_USERS, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(500)], &["resources_"]),
    (
        health::CASES,
        As::Tenant,
        &[
            Text("t3"),
            Text("t3c"),
            Number(10),
            Number(100),
            Number(10_000),
            Number(1_000),
            Number(5_000),
            Number(1_000),
            Number(1_990),
            Number(1_000),
        ],
        &["accounts_faulty", "evaluations_due", "provisioning_log_refused", "holds_", "reconciliations_newest"],
    ),
    (resources::SAME_GROUP, As::Tenant, &[Text("t3"), Text("t3c"), Text("x7"), Text("name 7")], &["resources_display_name"]),
    (drift::DUE, As::Platform, &[Number(100)], &["reconciliations_due"]),
    (drift::NEWEST, As::Tenant, &[Text("t3"), Text(""), Number(100)], &["reconciliations_newest"]),
    (drift::NEWEST_OF, As::Tenant, &[Text("t3"), Text("t3c"), Number(100)], &["reconciliations_connection"]),
    (drift::LOSING, As::Tenant, &[Text("t3"), Text("cu7")], &[]),
    (drift::NEXT, As::Tenant, &[Text("t3"), Text("cu7"), Text("hg7"), Number(16)], &["drift_lines", "rulings_"]),
    (health::TRAFFIC, As::Tenant, &[Text("t3"), Text("t3c"), Number(1_000), Number(288)], &[]),
    (api_tokens::OF_TENANT, As::Platform, &[Text("t3"), Text("api7"), Number(100)], &["api_tokens_tenant"]),
    (api_tokens::OF_PLATFORM, As::Platform, &[Text("api7"), Number(100)], &["api_tokens"]),
    (tenancy::API_TOKEN, As::Platform, &[Text("hash7")], &["api_tokens_hash"]),
    (visitors::SESSION, As::Platform, &[Text("hash7")], &["web_sessions_hash"]),
    (visitors::SESSIONS, As::Platform, &[Text("t3"), Number(0), Number(10)], &["web_sessions_tenant"]),
    (visitors::LINK, As::Platform, &[Text("hash7")], &["web_links_hash"]),
    (visitors::ISSUERS, As::Platform, &[Text("t3")], &["web_issuers_tenant"]),
    (visitors::ENDED[0], As::Platform, &[Number(10), Number(10)], &["web_sessions_expires"]),
    (visitors::ENDED[1], As::Platform, &[Number(10), Number(10)], &["web_links_expires"]),
    (visitors::ENDED[2], As::Platform, &[Number(10), Number(10)], &["web_sign_ins_expires"]),
    (groups::MEMBERS, As::Tenant, &[Text("t3"), Text("t3c"), Text("g500"), Text(""), Number(10)], &[]),
    (groups::WHICH_MEMBERS, As::Tenant, &[Text("t3"), Text("t3c"), Text("g500"), List(&["u7", "u8"])], &[]),
    (groups::AS_MEMBERS, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &[]),
    (groups::GROUPS_OF, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &["members_member"]),
    (groups::DIRECT_GROUPS, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &["members_member"]),
    (groups::USERS, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &["members_member"]),
    (groups::NESTED, As::Tenant, &[Text("t3"), Text("t3c"), List(&["g7"])], &[]),
    (groups::USERS_BELOW, As::Tenant, &[Text("t3"), Text("t3c"), List(&["g7"]), Number(500)], &[]),
    (groups::UNBOUND_GROUP, As::Tenant, &[Text("t3"), Text(""), Number(1), Text("g7")], &[]),
    (people::PEOPLE, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &["rulings_account"]),
    (commit::LOCK_EVALUATIONS, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &[]),
    (work::MARK, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"]), Text("group_changed"), Number(7)], &[]),
    (work::WAITING_FOR, As::Tenant, &[Text("t3"), List(&["wantedname100"])], &["accounts_wanted_key", "links_account"]),
    (work::UNDECIDED, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"]), Text("group_changed"), Number(7)], &[]),
    (people::ACCOUNT_BY_NAME, As::Tenant, &[Text("t3"), Text("name7")], &["accounts_user_name"]),
    (people::ACCOUNTS_IN_STATE, As::Tenant, &[Text("t3"), Text(""), Number(10), Text("held")], &["accounts_state"]),
    (people::ACCOUNTS_BY_ID, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &[]),
    (directory::NAMED, As::Tenant, &[Text("t3"), Text("name7"), Text("name7~"), Text(""), Number(26)], &["accounts_user_name"]),
    (
        directory::KNOWN_BY,
        As::Tenant,
        &[Text("t3"), List(&["t3c"]), Text("show7"), Text("show7~"), Text("x7"), Number(20)],
        &["emails", "resources_display_name", "resources_external_id", "import_emails", "imports_external_id"],
    ),
    (directory::IN_STATE, As::Tenant, &[Text("t3"), Text("held"), List(&["au7", "au8"]), Number(20)], &[]),
    (directory::HOLDERS, As::Tenant, &[Text("t3"), Text("r7"), Text("au7"), Number(26)], &["grants_role"]),
    (directory::FAULTY, As::Tenant, &[Text("t3"), Number(6)], &["accounts_faulty"]),
    (people::REVIVABLE, As::Tenant, &[Text("t3"), Text("t3c"), Text("x7")], &[]),
    (departed::SETTLE_LATER, As::Tenant, &[Text("t3"), List(&["au7", "au8"]), Number(7)], &["rulings_"]),
    (departed::DUE_TENANTS, As::Platform, &[Number(100), Number(10)], &["rulings_settle"]),
    (departed::DUE, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["rulings_settle"]),
    (departed::LOCK, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &[]),
    (departed::SAID, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["rulings_"]),
    (departures::DEPARTURES, As::Tenant, &[Text("t3"), Text("au7"), Number(10)], &["events_departures"]),
    (departures::DELIVERIES, As::Tenant, &[Text("t3"), List(&["u7", "u8"])], &[]),
    (departures::ERASE, As::Tenant, &[Text("t3"), List(&["au7", "au8"]), Number(7)], &[]),
    (departures::ERASABLE, As::Tenant, &[Text("t3"), Number(10), Number(10)], &["accounts_retained"]),
    (steps::OPEN, As::Tenant, &[Text("t3"), List(&["au50", "au8"])], &["processes_"]),
    (steps::USED, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &[]),
    (steps::JOINED, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["processes_account"]),
    (steps::STEPS, As::Tenant, &[Text("t3"), List(&["pu7", "pu8"])], &[]),
    (steps::WITH_OVERDUE, As::Platform, &[Number(100), Number(10)], &["process_steps_due", "acknowledgements_due_at", "invitations_due"]),
    (steps::OVERDUE, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["process_steps_due"]),
    (steps::ACKNOWLEDGEMENTS, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["acknowledgements_due_at"]),
    (steps::UNACKNOWLEDGED, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["events_departures"]),
    (removal::END_RULINGS, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["rulings_account"]),
    (removal::LEAVERS, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(500)], &[]),
    (left::TENANTS, As::Platform, &[Number(10)], &["left_with_connection"]),
    (left::LEFT, As::Tenant, &[Text("t3"), Number(100)], &["left_with_connection"]),
    (
        left::REMEMBER,
        As::Tenant,
        &[Text("t3"), Text("t3c"), List(&["au7", "au8"]), Number(1), Text("\n")],
        &["links_account", "accounts_wanted_key"],
    ),
    (left::GONE, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["accounts"]),
    (left::TAKE, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["left_with_connection"]),
    (invitations::BY_HASH, As::Tenant, &[Text("t3"), Text("hu7")], &["invitations_hash"]),
    (invitations::EXPIRED, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["invitations_due"]),
    (people::PENDING, As::Tenant, &[Text("t3")], &["evaluations_pending"]),
    (people::ROLES_HELD, As::Tenant, &[Text("t3"), Number(100)], &["grants_role"]),
    (imports::BY_NAME, As::Tenant, &[Text("t3"), List(&["name7", "name8"])], &["imports_name_key"]),
    (imports::BY_EXTERNAL_ID, As::Tenant, &[Text("t3"), List(&["x7", "x8"])], &["imports_external_id"]),
    (accounts::NAME_HOLDERS, As::Tenant, &[Text("t3"), List(&["name7", "name8"])], &["accounts_name_key"]),
    (adoption::STAGED, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(200)], &[]),
    (adoption::STAGED_OF, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &[]),
    (adoption::EMAILS, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7", "u8"])], &["emails_resource"]),
    (adoption::BY_NAME, As::Tenant, &[Text("t3"), List(&["name7", "name8"])], &["imports_name_key"]),
    (adoption::BY_EXTERNAL_ID, As::Tenant, &[Text("t3"), List(&["x7", "x8"])], &["imports_external_id"]),
    (adoption::BY_EMAIL, As::Tenant, &[Text("t3"), List(&["u7@example.com"])], &["import_emails"]),
    (adoption::LEFT, As::Tenant, &[Text("t3"), Text("au7"), Number(200)], &["imports"]),
    (adoption::THERE_BY_NAME, As::Tenant, &[Text("t3"), List(&["name7", "name8"]), Text("t3c")], &["accounts_name_key", "links_account"]),
    (
        adoption::THERE_BY_WANTED,
        As::Tenant,
        &[Text("t3"), List(&["wantedname100"]), Text("t3c")],
        &["accounts_wanted_key", "links_account"],
    ),
    (adoption::THERE_BY_ID, As::Tenant, &[Text("t3"), List(&["x7", "x8"]), Text("t3c")], &["resources_external_id"]),
    (adoption::THERE_BY_EMAIL, As::Tenant, &[Text("t3"), List(&["u7@example.com"]), Text("t3c")], &[]),
    (adoption::THERE, As::Tenant, &[Text("t3"), Text("u7"), Text("t3c"), Number(200)], &[]),
    (adoption::THERE_BY_ACCOUNT, As::Tenant, &[Text("t3"), Text("au7"), Text("t3c")], &["links_account"]),
    (moving::PREDECESSOR, As::Tenant, &[Text("t3"), Text("t3c")], &["predecessors"]),
    (moving::ELSEWHERE, As::Tenant, &[Text("t3"), Text("t3c"), Text("t3d")], &[]),
    (moving::MOVED_AWAY, As::Tenant, &[Text("t3"), Text("t3c")], &["moves_"]),
    (moving::SHARES_HANDLE, As::Tenant, &[Text("t3"), Text("t3c"), Text("t3d"), Text("h7")], &[]),
    (moving::MOVED, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(20)], &["moves"]),
    (groups::PROMOTE, As::Tenant, &[Text("t3"), List(&["h7", "h8"])], &[]),
    (adoption::WANTED, As::Tenant, &[Text("t3"), Text("t3c"), List(&["wantedname100"])], &["accounts_wanted_key", "links_account"]),
    (adoption::WITH_ID, As::Tenant, &[Text("t3"), Text("t3c"), List(&["x7", "x8"])], &["resources_external_id"]),
    (adoption::WITH_NAME, As::Tenant, &[Text("t3"), Text("t3c"), List(&["name7", "name8"])], &["resources_user_name"]),
    (adoption::MAPPED, As::Tenant, &[Text("t3"), Text("t3c"), List(&["name7", "name8"])], &["accounts_user_name", "links_account"]),
    (adoption::WITH_EMAIL, As::Tenant, &[Text("t3"), Text("t3c"), List(&["u7@example.com"])], &["emails"]),
    (adoption::MARK, As::Tenant, &[Text("t3"), Text("t3c")], &[]),
    (rulings::OF_ACCOUNTS, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["rulings_account"]),
    (rulings::BY_ID, As::Tenant, &[Text("t3"), Text("lu7")], &["rulings"]),
    (rulings::LEAVES, As::Tenant, &[Text("t3"), Text("au7")], &["rulings_account"]),
    (rulings::SAID_ALREADY, As::Tenant, &[Text("t3"), Text("au7"), Text("r1")], &["rulings_account"]),
    (rulings::PEOPLE_OF_ACCOUNTS, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["links_account"]),
    (rulings::REMIND, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["rulings_remind"]),
    (rulings::DUE_REMINDERS, As::Platform, &[Number(100), Number(10)], &["rulings_remind"]),
    (holds::EMPTY, As::Platform, &[Number(10)], &["holds_open", "rulings_waiting"]),
    (holds::CLOSE, As::Tenant, &[Text("t3"), Text("hg7"), Number(0)], &["rulings_waiting"]),
    (holds::PEOPLE, As::Tenant, &[Text("t3"), Text("hg7"), Text("au7"), Number(10)], &["rulings_waiting"]),
    (guard::WINDOWS, As::Tenant, &[Text("t3"), List(&["losses/role/r7"]), Number(0)], &[]),
    (
        guard::COUNTED,
        As::Tenant,
        &[Text("t3"), List(&["losses/role/r7"]), List(&["au7"]), Number(0)],
        // The index by instant where people are counted in or out, the key where they are looked for.
        &["guard_people_at", "account", "guard_windows"],
    ),
    (guard::COUNTED_ALREADY, As::Tenant, &[Text("t3"), Text("[[\"losses/role/r7\",\"au7\"]]"), Number(0)], &["guard_people"]),
    (guard::OPEN, As::Tenant, &[Text("t3"), List(&["losses/role/r7"])], &["holds_open"]),
    (guard::PEOPLE_OF_CONNECTION, As::Tenant, &[Text("t3"), Text("t3c"), Number(20)], &[]),
    (guard::PEOPLE_WITH_ROLE, As::Tenant, &[Text("t3"), Text("r7"), Number(20)], &["grants_role"]),
    (guard::PEOPLE_OF_TENANT, As::Tenant, &[Text("t3"), Text("r"), Number(20)], &[]),
    (people::COVERAGE, As::Tenant, &[Text("t3")], &[]),
    (revisions::FILES, As::Tenant, &[Text("t3"), Text("r7")], &[]),
    (revisions::CONTENTS, As::Tenant, &[Text("t3"), List(&["c7", "c8"])], &[]),
    (
        revisions::LISTED,
        As::Tenant,
        &[Text("t3"), Number(1_000), Text(""), Number(100)],
        &["revisions_created", "activations_revision", "trials_revision"],
    ),
    (trials::ACTIVATION_OF, As::Tenant, &[Text("t3"), Text("r7"), Text("superseded")], &["activations_revision"]),
    (revisions::PLUGINS, As::Tenant, &[Text("t3"), Number(100)], &["plugins_created", "revision_files_digest"]),
    (trial_people::NEXT_OF_CONNECTION, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(200)], &[]),
    (trial_people::GROUPS, As::Tenant, &[Text("t3"), List(&["h7", "h8"])], &[]),
    (trial_people::NEXT_BELOW, As::Tenant, &[Text("t3"), Text("t3c"), List(&["g7"]), Text("u7"), Number(200)], &[]),
    (trial_people::NAMED, As::Tenant, &[Text("t3"), List(&["u7", "au8"]), List(&["name7"])], &["links_account", "accounts_user_name"]),
    (trial_people::MOVED, As::Tenant, &[Text("t3"), Number(1990), Number(10)], &["evaluations_moved"]),
    (guard::PEOPLE_OF_CONNECTIONS, As::Tenant, &[Text("t3"), List(&["t3c"]), Number(20)], &[]),
    (guard::PEOPLE_WITH_ROLES, As::Tenant, &[Text("t3"), List(&["r7", "r8"]), Number(20)], &["grants_role"]),
    (trial_people::NEXT_PEOPLE, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(200)], &[]),
    (trials::DIFFERENCES, As::Tenant, &[Text("t3"), Text("trialg7"), Text("t3c"), Text("u7"), Number(100)], &[]),
    (
        trials::DIFFERENCES_OF,
        As::Tenant,
        &[Text("t3"), Text("trialg7"), Text("t3c"), Text("u7"), Number(100), Text("fault")],
        &["trial_differences_kind"],
    ),
    (trials::DUE_SIMULATION, As::Platform, &[Number(100)], &["trials_running"]),
    (trials::RUNNING_SHADOWS, As::Platform, &[], &["trials_running"]),
    (review_opening::HOLDERS, As::Tenant, &[Text("t3"), Text("role7"), Text("au7"), Number(20)], &["grants_role"]),
    (review_opening::PEOPLE, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(100)], &[]),
    (review_opening::HELD, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["links_account"]),
    (review_opening::HELD_OF_ROLES, As::Tenant, &[Text("t3"), List(&["au7", "au8"]), List(&["role7"])], &["links_account"]),
    (review_opening::PEERS, As::Tenant, &[Text("t3"), List(&["role7"]), Number(101)], &["grants_role"]),
    (review_opening::IN_USE, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["accounts"]),
    (review_opening::BY_ID, As::Tenant, &[Text("t3"), List(&["t3c"]), List(&["u7", "u8"])], &[]),
    (review_opening::BY_EXTERNAL_ID, As::Tenant, &[Text("t3"), List(&["t3c"]), List(&["x7", "x8"])], &["resources_external_id"]),
    (reviews::DUE, As::Platform, &[Number(100)], &["reviews_due"]),
    (reviews::NEWEST, As::Tenant, &[Text("t3"), Number(10)], &["reviews_newest"]),
    (reviews::NEWEST_BEHIND, As::Tenant, &[Text("t3"), Number(10), Text("reviewg7")], &["reviews_newest"]),
    (review_keeping::REVIEWERS, As::Tenant, &[Text("t3"), Text("reviewg7"), Text("boss7"), Number(10)], &["review_lines_"]),
    (review_keeping::NOBODYS, As::Tenant, &[Text("t3"), Text("reviewg7")], &["review_lines_"]),
    (review_keeping::ACCOUNTS, As::Tenant, &[Text("t3"), List(&["name7", "name8"])], &["accounts_name_key"]),
    (review_keeping::FORGETTABLE, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["reviews_closed"]),
    (review_keeping::FORGET_LINES, As::Tenant, &[Text("t3"), Text("reviewg7"), Number(10)], &["review_lines"]),
    (reviews::NEXT_LINES, As::Tenant, &[Text("t3"), Text("reviewg7"), Number(7), Number(100)], &[]),
    (work::DUE_TENANTS, As::Platform, &[Number(100), Number(10)], &["evaluations_due"]),
    (work::DUE_PEOPLE, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["evaluations_due"]),
    (work::DUE_COUNT, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["evaluations_due"]),
    (spreading::PAGE, As::Tenant, &[Text("t3"), Text("t3c"), Text("u7"), Number(10), Number(100)], &[]),
    (spreading::STAMP, As::Tenant, &[Text("t3"), Text("t3c"), Text("[[\"u7\",\"0\"]]"), Text("r7"), Number(100), Text("r")], &[]),
    (work::NEXT_DUE, As::Platform, &[], &["evaluations_due", "delivery_lanes_due"]),
    (history::UNNUMBERED, As::Platform, &[], &["events_unnumbered"]),
    (history::AFTER, As::Tenant, &[Text("t3"), Number(1_900), Number(10)], &["events_seq"]),
    (sealed::UNSEALED, As::Platform, &[], &["history_batches", "events_seq"]),
    (sealed::SIZES, As::Tenant, &[Text("t3"), Number(1_900), Number(10)], &["events_seq"]),
    (sealed::LAST, As::Tenant, &[Text("t3")], &["history_batches"]),
    (sealed::BATCHES, As::Tenant, &[Text("t3"), Number(100), Number(10)], &["history_batches"]),
    (sealed::BEFORE, As::Tenant, &[Text("t3"), Number(100)], &["history_batches"]),
    (sealed::BATCH_OF, As::Tenant, &[Text("t3"), Number(100)], &["history_batches_last"]),
    (sealed::BATCH_BEHIND, As::Tenant, &[Text("t3"), Number(100)], &["history_batches"]),
    (sealed::DIGESTS, As::Tenant, &[Text("t3"), Number(100), Number(110)], &[]),
    (sealed::EVENTS, As::Tenant, &[Text("t3"), Number(1_900), Number(1_950), Number(10)], &["events_seq"]),
    (sealed::EVENTS_AT, As::Tenant, &[Text("t3"), List(&["1900", "1950"])], &["events_seq"]),
    (sealed::NAMES, As::Tenant, &[Text("t3"), List(&["au7", "au8"])], &["accounts"]),
    (sealed::ENDS, As::Tenant, &[Text("t3")], &["events_seq"]),
    (sealed::SIZES_BETWEEN, As::Tenant, &[Text("t3"), Number(1_900), Number(1_950), Number(10)], &["events_seq"]),
    (sealed::BEGAN, As::Tenant, &[Text("t3"), Number(100), Number(110)], &[]),
    (sealed::LATEST, As::Tenant, &[Text("t3"), Text("[[\"au7\",\"role7\"]]"), Number(100)], &["standings_account"]),
    (
        sealed::HELD_ROLE,
        As::Tenant,
        &[Text("t3"), Text("role7"), Number(0), Number(5_000), Number(400), Number(300), Number(10)],
        &["standings_role"],
    ),
    (
        sealed::HELD_BY,
        As::Tenant,
        &[Text("t3"), Text("au7"), Number(0), Number(5_000), Number(400), Number(300), Number(10)],
        &["standings_account"],
    ),
    (sealed::ROLE_END, As::Tenant, &[Text("t3"), Text("role7"), Number(0), Number(9)], &["standings_role"]),
    (outbox::DUE_TENANTS, As::Platform, &[Number(100), Truth(true), Number(10)], &["delivery_lanes_due"]),
    (outbox::DUE_LANES, As::Tenant, &[Text("t3"), Truth(true), Number(100), Number(10)], &["delivery_lanes_due", "deliveries_waiting"]),
    (outbox::HEAD, As::Tenant, &[Text("t3"), Text("hook"), Text("u1900")], &["deliveries_waiting"]),
    (outbox::WAITING_EVENTS, As::Tenant, &[Text("t3"), Text("hook"), Number(100)], &["deliveries_waiting"]),
    (outbox::LANES, As::Tenant, &[Text("t3"), Text("hook"), Number(100)], &[]),
    (outbox::FORGET_EVENTS, As::Tenant, &[Text("t3"), Text("hook"), List(&["e7", "e8"])], &[]),
    (outbox::FORGET_LANES, As::Tenant, &[Text("t3"), Text("hook"), List(&["au7", "au8"])], &[]),
    (outbox::RECEIPTS, As::Tenant, &[Text("t3"), Number(20)], &["events_seq"]),
];

/// What counts all people by nature, or all that waits or is trimmed; and what goes on from page to page through a whole connection, where
/// another way would be slower for large groups.
pub(in super::super) const OF_ALL: &[&str] = &[
    people::COVERAGE,
    adoption::MARK,
    moving::MOVED_AWAY,
    people::PENDING,
    drift::LOSING,
    steps::OVERDUE,
    health::CASES,
    trial_people::NEXT_BELOW,
];

/// How one of the cases is planned.
async fn plan(conn: &mut Conn, statement: &str, values: &[Value]) -> Vec<String> {
    let types: Vec<&str> = values.iter().map(|value| value.sql_type()).collect();
    scratch::plan(conn, statement, &types).await
}

fn check(what: &str, plan: &[String], indexes: &[&str]) {
    let shown = plan.join("\n");
    assert!(!plan.iter().any(|line| is_scan(line.trim_start())), "{what}\ngoes through a whole table:\n{shown}");
    for index in indexes {
        assert!(shown.contains(index), "{what}\ndoes not use `{index}`:\n{shown}");
    }
}

async fn seeded() -> (Backend, Box<dyn std::any::Any + Send>) {
    let (store, mut owner, scratch) = open().await;
    for number in 1..=5 {
        let tenant = TenantId(format!("t{number}"));
        store.ensure_tenant(&tenant, "tenant", "api", Instant(0)).await.unwrap();
        let target = "INSERT INTO targets (tenant, target, url, sealed_secret, enabled) VALUES ($1, 'hook', '', $2, TRUE)";
        sqlx::query(target).bind(tenant.as_str()).bind([].as_slice() as &[u8]).execute(&mut owner).await.unwrap();
    }
    for statement in SEED.iter().chain(SETTLE) {
        owner.execute(AssertSqlSafe(*statement)).await.unwrap();
    }
    (store, scratch)
}

#[tokio::test]
async fn look_ups_and_claims_use_their_indexes() {
    let (store, _scratch) = seeded().await;
    for (statement, role, values, indexes) in CASES {
        let mut tx = match role {
            As::Tenant => store.read_one(&TenantId::from("t3")).await.unwrap(),
            As::Platform => store.read_platform().await.unwrap(),
        };
        check(statement, &plan(&mut tx, statement, values).await, indexes);
    }
}

/// What the plans are of: every statement with what is bound to it in the cases.
#[tokio::test]
async fn every_case_can_be_carried_out() {
    assert!(OF_ALL.iter().all(|statement| CASES.iter().any(|case| case.0 == *statement)));
    let (store, mut owner, _scratch) = open().await;
    store.ensure_tenant(&TenantId::from("t3"), "tenant", "api", Instant(0)).await.unwrap();
    for (statement, _, values, _) in CASES {
        let mut tx = owner.begin().await.unwrap();
        let mut query = sqlx::query(*statement);
        for value in *values {
            query = match value {
                Text(text) => query.bind(*text),
                List(texts) => query.bind(text_list(texts.iter().copied())),
                Number(number) => query.bind(*number),
                Truth(truth) => query.bind(*truth),
            };
        }
        if let Err(error) = query.fetch_all(&mut *tx).await {
            panic!("{error}: {statement}");
        }
        tx.rollback().await.unwrap();
    }
}

/// With many tenants both a tenant and a connection are rare, and one belongs to the other: a planner that multiplies expects one row of a
/// connection, and takes any index that begins with it for as good as the key.
#[tokio::test]
async fn nobody_is_found_by_going_through_their_connection() {
    const CONNECTIONS: &str = SEED[0];
    const USERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
         INSERT INTO resources (tenant, connection, id, kind, label, created, modified, version, document)
         SELECT tenant, connection, connection || 'u' || i, 'user', 'show', i, i, 1, '{}' FROM n, connections";
    const MEMBERS: &str = "INSERT INTO members (tenant, connection, group_id, member_id, member_kind)
         SELECT tenant, connection, id, id, 'user' FROM resources";
    let (store, mut owner, _scratch) = open().await;
    for number in 1..=200 {
        store.ensure_tenant(&TenantId(format!("t{number}")), "tenant", "api", Instant(0)).await.unwrap();
    }
    for statement in [CONNECTIONS, USERS, MEMBERS].iter().chain(SETTLE) {
        owner.execute(AssertSqlSafe(*statement)).await.unwrap();
    }
    let known_by = [Text("t3"), List(&["t3c", "t3d"]), Text("name7"), Text("name8"), Text("x7"), Number(50)];
    for (statement, values) in [(groups::USERS, &[Text("t3"), Text("t3c"), List(&["t3cu7"])][..]), (directory::KNOWN_BY, &known_by)] {
        let plan = plan(&mut store.read_one(&TenantId::from("t3")).await.unwrap(), statement, values).await;
        let through =
            plan.iter().any(|line| line.contains("resources_modified") || is_scan(line.trim_start()) && line.contains("resources"));
        assert!(!through, "{}", plan.join("\n"));
    }
}

/// By what a plan looks into a table: the lines that do, each with the one behind it. SQLite names a table by its alias, and PostgreSQL says in the
/// line behind what it compares.
fn ways_into(plan: &[String], table: &str, alias: &str) -> Vec<String> {
    let is_way = |line: &str| line.contains(&format!("SEARCH {alias} ")) || line.contains(&format!("on {table}"));
    let found = plan.iter().enumerate().filter(|(_, line)| is_way(line));
    let ways: Vec<String> = found.map(|(at, line)| format!("{line} {}", plan.get(at + 1).map_or("", String::as_str))).collect();
    assert!(!ways.is_empty(), "{}", plan.join("\n"));
    ways
}

#[tokio::test]
async fn what_was_counted_is_stepped_to() {
    let (store, _scratch) = seeded().await;
    let Some((_, _, values, _)) = CASES.iter().find(|case| case.0 == health::CASES) else { panic!("it is one of them") };
    let plan = plan(&mut store.read_one(&TenantId::from("t3")).await.unwrap(), health::CASES, values).await;
    let by_slot = |way: &String| ["slot>", "slot >", "slot=", "slot ="].iter().any(|looked| way.contains(looked));
    let ways = ways_into(&plan, "connection_traffic", "t");
    assert!(ways.iter().all(by_slot), "{}", plan.join("\n"));
}

#[tokio::test]
async fn the_newest_standings_are_found_one_by_one() {
    const STANDINGS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO standings (tenant, seq, account, role, state, reasons, since_at, held_since, held_seq)
         SELECT 't3', i, 'a' || i, 'role', 'effective', '[]', 0, 0, i FROM n";
    let (store, mut owner, _scratch) = open().await;
    store.ensure_tenant(&TenantId::from("t3"), "tenant", "api", Instant(0)).await.unwrap();
    for statement in [STANDINGS].iter().chain(SETTLE) {
        owner.execute(AssertSqlSafe(*statement)).await.unwrap();
    }
    let plan = scratch::plan(&mut store.read_one(&TenantId::from("t3")).await.unwrap(), sealed::LATEST, &[]).await;
    let by_key = |way: &String| ["seq=", "seq <"].iter().any(|looked| way.contains(looked));
    let ways = ways_into(&plan, "standings", "s");
    assert!(ways.iter().all(by_key), "{}", plan.join("\n"));
}

#[tokio::test]
async fn lines_of_reviews_are_found_by_their_indexes() {
    let (store, _scratch) = seeded().await;
    let tenant = TenantId::from("t3");
    let query =
        |reviewer: Option<&str>, decision| LineQuery { reviewer: reviewer.map(str::to_owned), decision, lines: None, after: 7, limit: 100 };
    let cases = [
        (query(None, None), ""),
        (query(Some("boss7"), None), "review_lines_reviewer"),
        (query(None, Some(ReviewDecision::Revoke)), "review_lines_decision"),
        (LineQuery { lines: Some(vec![1, 2, 3]), limit: 3, ..LineQuery::default() }, ""),
    ];
    for (query, index) in cases {
        let statement = reviews::select_lines(&tenant, "reviewg7", &query);
        let plan = scratch::plan(&mut store.read_one(&tenant).await.unwrap(), statement.sql().as_str(), &[]).await;
        check(&format!("{query:?}"), &plan, &[index]);
    }
}

#[tokio::test]
async fn rulings_and_holds_are_listed_by_their_indexes() {
    let (store, _scratch) = seeded().await;
    let tenant = TenantId::from("t3");
    let query = || RulingQuery { limit: 100, ..RulingQuery::default() };
    let cases = [
        (RulingQuery { kind: Some(RulingKind::Approval), state: Some(RulingState::Open), ..query() }, "rulings_kind"),
        (RulingQuery { kind: Some(RulingKind::Loss), after: Some("lu7".into()), ..query() }, "rulings_"),
        (RulingQuery { account: Some("au7".into()), ..query() }, "rulings_account"),
        (RulingQuery { hold: Some("hg7".into()), state: Some(RulingState::Open), account: Some("au7".into()), ..query() }, "rulings_"),
    ];
    for (query, index) in cases {
        let statement = rulings::select(&tenant, &query);
        let plan = scratch::plan(&mut store.read_one(&tenant).await.unwrap(), statement.sql().as_str(), &[]).await;
        check(&format!("{query:?}"), &plan, &[index]);
    }
    for (state, after, index) in [
        (None, None, "holds_newest"),
        (None, Some("hg7"), "holds_newest"),
        (Some(HoldState::Open), None, "holds_"),
        (Some(HoldState::Closed), Some("hg7"), "holds_newest"),
    ] {
        let statement = holds::select_holds(&tenant, state, after, 100);
        let plan = scratch::plan(&mut store.read_one(&tenant).await.unwrap(), statement.sql().as_str(), &[]).await;
        check(&format!("{state:?} {after:?}"), &plan, &[index, "rulings_"]);
    }
}

#[tokio::test]
async fn filters_use_their_indexes() {
    let (store, _scratch) = seeded().await;
    let (tenant, connection) = ("t3".into(), "t3c".into());
    let text = |column, value: &str| Condition::Text(column, value.into());
    let and = |a: Condition, b: Condition| Condition::And(a.into(), b.into());
    let cases = [
        (ResourceKind::User, text(TextColumn::UserName, "name7"), "resources_user_name"),
        (ResourceKind::User, text(TextColumn::ExternalId, "x7"), "resources_external_id"),
        (ResourceKind::Group, text(TextColumn::DisplayName, "group7"), "resources_display_name"),
        (ResourceKind::User, text(TextColumn::Id, "u7"), ""),
        (ResourceKind::User, Condition::Between(InstantColumn::Modified, 1_995, i64::MAX), "resources_modified"),
        (ResourceKind::User, and(text(TextColumn::UserName, "name7"), Condition::Active(true)), "resources_user_name"),
        (ResourceKind::User, Condition::Always, "resources_"),
        (ResourceKind::Group, Condition::Always, "resources_"),
        (ResourceKind::User, Condition::Email("u7@example.com".into()), ""),
        (ResourceKind::Group, Condition::HasMember("u7".into()), "members_member"),
        (ResourceKind::User, Condition::InGroup("g7".into()), ""),
    ];
    for (kind, condition, index) in cases {
        let place = Place { tenant: &tenant, connection: &connection };
        for start in ["SELECT count(*)", "SELECT r.id, r.document"] {
            let mut statement = select(start, place, &[(kind, condition.clone())]);
            if !start.contains("count") {
                statement.push(" ORDER BY r.id LIMIT +").push_bind(100_i64).push(" OFFSET ").push_bind(0_i64);
            }
            let mut tx = store.read(&tenant).await.unwrap();
            let plan = scratch::plan(&mut tx, statement.sql().as_str(), &[]).await;
            check(&format!("{condition:?} by {start}"), &plan, &[index]);
        }
    }
}
