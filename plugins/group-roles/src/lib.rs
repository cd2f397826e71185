//! Roles from a convention for group names: `grp-<team>-<env>-<level>`, with the tenant's lookup tables saying which application is a
//! team's and what access a level means.

use rolecall_plugin::{Account, Call, Level, Plugin, Proposal, Propose, Refusal, User};
use serde::Deserialize;

/// The plugin.
pub struct GroupRoles;

rolecall_plugin::export!(GroupRoles: propose);

/// The convention. All may be left out.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What the handles of these groups start with, before the first hyphen.
    pub prefix: String,
    /// The table that gives each team its `app`.
    pub teams_table: String,
    /// The table that gives each level its `access`.
    pub levels_table: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prefix: "grp".into(), teams_table: "teams".into(), levels_table: "levels".into() }
    }
}

impl Plugin for GroupRoles {
    const NAME: &'static str = "group-roles";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Groups are enough: nothing about the person is asked for.
    const READS: &'static [&'static str] = &[];
    type Settings = Settings;

    fn check(settings: &Settings) -> Result<(), Refusal> {
        for (path, text) in [("prefix", &settings.prefix), ("teams_table", &settings.teams_table), ("levels_table", &settings.levels_table)]
        {
            if text.is_empty() {
                return Err(Refusal::new("settings_invalid", "this can't be empty; leave it out for the default").at(path));
            }
        }
        Ok(())
    }
}

impl Propose for GroupRoles {
    fn propose(call: &Call<'_>, settings: &Settings, _: &User<'_>, _: &Account) -> Result<Vec<Proposal>, Refusal> {
        let mut proposals = Vec::new();
        for handle in call.groups() {
            let Some((team, environment, level)) = parts(handle, &settings.prefix) else { continue };
            let app = call.lookup(&settings.teams_table, team);
            let access = call.lookup(&settings.levels_table, level);
            let (app, access) = (app.as_ref().and_then(|row| row.get("app")), access.as_ref().and_then(|row| row.get("access")));
            let (Some(app), Some(access)) = (app, access) else {
                call.log(Level::Warn, &format!("group `{handle}` follows the convention, but its team or its level is in no table"));
                continue;
            };
            let because = format!("group `{handle}`: team `{team}` runs `{app}`, level `{level}` is `{access}`");
            proposals.push(Proposal::new(format!("{app}-{environment}-{access}"), because));
        }
        proposals.sort();
        proposals.dedup_by(|later, first| later.role == first.role);
        Ok(proposals)
    }
}

/// Team, environment and level. Teams may have hyphens in their names; environments and levels have none.
fn parts<'a>(handle: &'a str, prefix: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let rest = handle.strip_prefix(prefix)?.strip_prefix('-')?;
    let (rest, level) = rest.rsplit_once('-')?;
    let (team, environment) = rest.rsplit_once('-')?;
    [team, environment, level].iter().all(|part| !part.is_empty()).then_some((team, environment, level))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rolecall_plugin::run::{Question, propose, validate_settings};
    use rolecall_plugin::{Host, Row};

    use super::*;

    #[derive(Default)]
    struct Tables {
        logged: RefCell<Vec<String>>,
    }

    impl Host for Tables {
        fn log(&self, _: Level, message: &str) {
            self.logged.borrow_mut().push(message.to_owned());
        }
        fn lookup(&self, table: &str, key: &str) -> Option<Row> {
            let (column, value) = match (table, key) {
                ("teams", "eng") => ("app", "billing"),
                ("teams", "data-science") => ("app", "lake"),
                ("levels", "rw") => ("access", "deployer"),
                ("levels", "ro") => ("access", "viewer"),
                _ => return None,
            };
            Some(Row(vec![(column.into(), value.into())]))
        }
    }

    fn roles(groups: &[&str], host: &Tables) -> Vec<Proposal> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let question = Question { settings: "{}".into(), user: "{}".into(), groups, ..Question::default() };
        propose::<GroupRoles>(&question, r#"{"user_name":"x"}"#, host).unwrap()
    }

    #[test]
    fn groups_of_the_convention_nominate_roles() {
        let host = Tables::default();
        let found =
            roles(&["grp-data-science-test-ro", "grp-eng-prod-rw", "grp-eng-prod-rw", "everyone", "grp-eng", "grp--prod-rw"], &host);
        let ids: Vec<_> = found.iter().map(|proposal| proposal.role.as_str()).collect();
        assert_eq!(ids, ["billing-prod-deployer", "lake-test-viewer"]);
        assert_eq!(found[0].because.as_deref(), Some("group `grp-eng-prod-rw`: team `eng` runs `billing`, level `rw` is `deployer`"));
        assert!(host.logged.borrow().is_empty());
    }

    #[test]
    fn a_team_or_level_in_no_table_is_told_and_nominates_nothing() {
        let host = Tables::default();
        assert!(roles(&["grp-ops-prod-rw", "grp-eng-prod-admin"], &host).is_empty());
        assert_eq!(host.logged.borrow().len(), 2);
    }

    #[test]
    fn settings_are_checked() {
        assert!(validate_settings::<GroupRoles>("{}").is_ok());
        assert_eq!(validate_settings::<GroupRoles>(r#"{"prefix":""}"#).unwrap_err().path.as_deref(), Some("prefix"));
        assert!(validate_settings::<GroupRoles>(r#"{"prefixx":"x"}"#).unwrap_err().message.contains("unknown field `prefixx`"));
    }
}
