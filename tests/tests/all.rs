//! Black-box tests of Rolecall over HTTP, each on SQLite and on PostgreSQL.
//!
//! One binary, so that it is linked once. A module a subject; none knows what another does.

#[path = "all/admin_policies.rs"]
mod admin_policies;
#[path = "all/backups.rs"]
mod backups;
#[path = "all/bad_input.rs"]
mod bad_input;
#[path = "all/bulk.rs"]
mod bulk;
#[path = "all/cases.rs"]
mod cases;
#[path = "all/characteristics.rs"]
mod characteristics;
#[path = "all/collisions.rs"]
mod collisions;
#[path = "all/command_line.rs"]
mod command_line;
#[path = "all/connections.rs"]
mod connections;
#[path = "all/corpus.rs"]
mod corpus;
#[path = "all/crashes.rs"]
mod crashes;
#[path = "all/cursors.rs"]
mod cursors;
#[path = "all/dev.rs"]
mod dev;
#[path = "all/dialects.rs"]
mod dialects;
#[path = "all/discovery.rs"]
mod discovery;
#[path = "all/doubts.rs"]
mod doubts;
#[path = "all/drift.rs"]
mod drift;
#[path = "all/first_sync.rs"]
mod first_sync;
#[path = "all/folders.rs"]
mod folders;
#[path = "all/governance.rs"]
mod governance;
#[path = "all/governed_traffic.rs"]
mod governed_traffic;
#[path = "all/handles.rs"]
mod handles;
#[path = "all/health.rs"]
mod health;
#[path = "all/history.rs"]
mod history;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/hosts.rs"]
mod hosts;
#[path = "all/jwt.rs"]
mod jwt;
#[path = "all/large_groups.rs"]
mod large_groups;
#[path = "all/leavers.rs"]
mod leavers;
#[path = "all/log.rs"]
mod log;
#[path = "all/monitoring.rs"]
mod monitoring;
#[path = "all/moving.rs"]
mod moving;
#[path = "all/oauth.rs"]
mod oauth;
#[path = "all/one_decision.rs"]
mod one_decision;
#[path = "all/outage.rs"]
mod outage;
#[path = "all/people.rs"]
mod people;
#[path = "all/plugin_failures.rs"]
mod plugin_failures;
#[path = "all/plugin_logs.rs"]
mod plugin_logs;
#[path = "all/plugin_projects.rs"]
mod plugin_projects;
#[path = "all/plugin_uploads.rs"]
mod plugin_uploads;
#[path = "all/policy_authoring.rs"]
mod policy_authoring;
#[path = "all/processes.rs"]
mod processes;
#[path = "all/provisioning_log.rs"]
mod provisioning_log;
#[path = "all/races.rs"]
mod races;
#[path = "all/rate_limits.rs"]
mod rate_limits;
#[path = "all/reevaluation.rs"]
mod reevaluation;
#[path = "all/reload.rs"]
mod reload;
#[path = "all/reviews.rs"]
mod reviews;
#[path = "all/routes.rs"]
mod routes;
#[path = "all/search.rs"]
mod search;
#[path = "all/security_events.rs"]
mod security_events;
#[path = "all/steps.rs"]
mod steps;
#[path = "all/tenants.rs"]
mod tenants;
#[path = "all/trials.rs"]
mod trials;
#[path = "all/webhooks.rs"]
mod webhooks;
#[path = "all/workspace_connections.rs"]
mod workspace_connections;
#[path = "all/workspace_decisions.rs"]
mod workspace_decisions;
#[path = "all/workspace_drift.rs"]
mod workspace_drift;
#[path = "all/workspace_history.rs"]
mod workspace_history;
#[path = "all/workspace_mapping.rs"]
mod workspace_mapping;
#[path = "all/workspace_people.rs"]
mod workspace_people;
#[path = "all/workspace_sessions.rs"]
mod workspace_sessions;
#[path = "all/workspace_setup.rs"]
mod workspace_setup;
