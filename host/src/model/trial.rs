//! Candidate revisions that are tried out, what they would change, and activations.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AccountId, Actor, ConnectionId, Instant, Note, ResourceId, RevisionHash};

mod part;
mod totals;

pub use part::{Part, PersonRef};
pub use totals::{Because, Forecast, Forecasts, Tally, Totals, WaitingRole};

/// Distinct codes of faults and refusals that a summary counts apart: refusals' codes are the plugin's own words.
const CODES_LIMIT: usize = 100;
/// The word for codes beyond [`CODES_LIMIT`].
const OTHER: &str = "other";

word_enum!(
    /// How a candidate revision is tried out. Neither way has any effect.
    TrialKind {
        /// Over all people who are stored, once.
        Simulation = "simulation",
        /// Along with what is decided for people whom requests and jobs are about.
        Shadow = "shadow",
    }
);

word_enum!(
    /// How far a trial is.
    TrialState {
        /// It goes on.
        Running = "running",
        /// A simulation that has asked about everybody, or a shadow whose time is over.
        Finished = "finished",
        /// Ended by somebody before its time.
        Stopped = "stopped",
        /// It can't go on: see its problem.
        Failed = "failed",
    }
);

word_enum!(
    /// The gravest thing that a candidate makes different for a person, gravest first.
    DifferenceKind {
        /// No verdict, where there is one now.
        Fault = "fault",
        /// Refused by the mapping, and not now.
        Refused = "refused",
        /// None of the tenant's people any more.
        OutOfScope = "out_of_scope",
        /// Held, and not now.
        Held = "held",
        /// Loses roles.
        Loses = "loses",
        /// Gains roles, while losing none.
        Gains = "gains",
        /// Other roles wait for somebody's yes than now.
        Waits = "waits",
        /// Comes into use.
        Admitted = "admitted",
        /// Another account, with the same roles.
        Account = "account",
    }
);

impl DifferenceKind {
    /// Whether the person is turned away: has an account in use now, and no verdict or no account under the candidate.
    #[must_use]
    pub fn turns_away(self) -> bool {
        matches!(self, Self::Fault | Self::Refused | Self::OutOfScope)
    }
}

/// An attribute of an account that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttributeDifference {
    /// The attribute: `user_name`, `department`, `tags.…`.
    pub attribute: String,
    /// Its value now; `null` for none.
    pub before: Value,
    /// Its value under the candidate.
    pub after: Value,
}

/// What a candidate makes different for one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The gravest thing in it.
    pub kind: DifferenceKind,
    /// The account's login name now, or else under the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The account's state now.
    pub before: String,
    /// The account's state under the candidate.
    pub after: String,
    /// Attributes of the account that differ, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty", alias = "account")]
    pub attributes: Vec<AttributeDifference>,
    /// Roles that come into effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gains: Vec<String>,
    /// Roles that are no longer held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loses: Vec<String>,
    /// Roles that would be given, and wait for somebody's yes first. Who of those who gain or lose would be held by the guard depends on
    /// who comes first: how many it is, the summary says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitingRole>,
    /// Roles that wait now, and would not be given any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<String>,
    /// By which policies and groups roles are gained, lost, or wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because>,
    /// Roles that would be retained over a fault until a deadline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retains: Vec<String>,
    /// Why the candidate gives no account, where it gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Whether another account has, or would get, the name that this one would get: one of them would be held.
    #[serde(default)]
    pub collides: bool,
}

/// A person's difference in a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PersonDifference {
    /// The connection of the SCIM User.
    pub connection: ConnectionId,
    /// The SCIM User.
    pub user: ResourceId,
    /// The account.
    pub account: AccountId,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// What a trial came to so far. Sums up differences, so that parts can be added in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Summary {
    /// People whom the candidate was asked about; by a shadow as often as it was asked.
    pub people: u64,
    /// Those for whom something differs.
    pub different: u64,
    /// Those who have an account in use and are turned away: faults, refusals, out of scope.
    pub turned_away: u64,
    /// Those for whom nothing was asked of the plugin, because they are inactive.
    pub inactive: u64,
    /// People by the gravest thing that differs for them.
    pub kinds: BTreeMap<String, u64>,
    /// Accounts by attribute that differs.
    pub attributes: BTreeMap<String, u64>,
    /// Roles that people gain.
    pub gains: BTreeMap<String, u64>,
    /// Roles that people lose.
    pub loses: BTreeMap<String, u64>,
    /// Roles that wait for somebody's yes before people have them.
    pub waits: BTreeMap<String, u64>,
    /// People by what becomes of their roles.
    pub roles: Totals,
    /// The same by connection, by id.
    pub by_connection: Tally,
    /// The same by group, by handle: those that the reasons of a role name, where it is given and where it was.
    pub by_group: Tally,
    /// The same by policy: those that give a role, those that gave it, and those that forbid it.
    pub by_policy: Tally,
    /// Whom the guard would count, by the settings of the revision that is active; a simulation's.
    pub guard: Forecasts,
    /// Faults and refusals by code, those that are the same now among them.
    pub errors: BTreeMap<String, u64>,
    /// Accounts whose new name another account has or gets; told when a simulation has finished.
    pub collisions: u64,
    /// Calls of the candidate's plugins, those that ended in a fault among them.
    pub calls: u64,
    /// Fuel that they used in all.
    pub fuel: u64,
    /// The most fuel that one of them used.
    pub fuel_max: u64,
    /// Decisions that a shadow could not keep up with.
    pub missed: u64,
}

impl Summary {
    /// Counts a person's difference.
    pub fn count(&mut self, person: &PersonDifference) {
        let difference = &person.difference;
        self.different += 1;
        if difference.kind.turns_away() && difference.before == super::AccountState::Active.word() {
            self.turned_away += 1;
        }
        add(&mut self.kinds, difference.kind.word(), 1);
        for attribute in &difference.attributes {
            add(&mut self.attributes, &attribute.attribute, 1);
        }
        for role in &difference.gains {
            add(&mut self.gains, role, 1);
        }
        for role in &difference.loses {
            add(&mut self.loses, role, 1);
        }
        for waiting in &difference.waits {
            add(&mut self.waits, &waiting.role, 1);
        }
        self.tally(person);
    }

    /// Counts the person by what becomes of their roles: in all, by connection, and by each group and policy of their reasons.
    fn tally(&mut self, PersonDifference { connection, difference, .. }: &PersonDifference) {
        let totals = Totals::one(!difference.gains.is_empty(), !difference.loses.is_empty(), !difference.waits.is_empty());
        self.roles.add(totals);
        self.by_connection.add(connection.as_str(), totals);
        let (mut by_group, mut by_policy) = (BTreeMap::<&str, Vec<&str>>::new(), BTreeMap::<&str, Vec<&str>>::new());
        for Because { role, policies, groups } in &difference.because {
            groups.iter().for_each(|group| by_group.entry(group).or_default().push(role));
            policies.iter().for_each(|policy| by_policy.entry(policy).or_default().push(role));
        }
        let of = |roles: &[&str]| {
            let any = |of: &[String]| of.iter().any(|role| roles.contains(&role.as_str()));
            Totals::one(
                any(&difference.gains),
                any(&difference.loses),
                difference.waits.iter().any(|one| roles.contains(&one.role.as_str())),
            )
        };
        by_group.iter().for_each(|(group, roles)| self.by_group.add(group, of(roles)));
        by_policy.iter().for_each(|(policy, roles)| self.by_policy.add(policy, of(roles)));
    }

    /// Counts a fault or refusal.
    pub fn error(&mut self, code: &str) {
        add(&mut self.errors, code, 1);
    }

    /// Counts a call.
    pub fn call(&mut self, fuel: u64) {
        self.calls += 1;
        self.fuel = self.fuel.saturating_add(fuel);
        self.fuel_max = self.fuel_max.max(fuel);
    }

    /// Adds another part of the same trial.
    pub fn merge(&mut self, other: &Self) {
        self.people += other.people;
        self.different += other.different;
        self.turned_away += other.turned_away;
        self.inactive += other.inactive;
        self.collisions += other.collisions;
        self.calls += other.calls;
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.fuel_max = self.fuel_max.max(other.fuel_max);
        self.missed += other.missed;
        self.roles.add(other.roles);
        self.by_connection.merge(&other.by_connection);
        self.by_group.merge(&other.by_group);
        self.by_policy.merge(&other.by_policy);
        self.guard.merge(&other.guard);
        let maps = [
            (&mut self.kinds, &other.kinds),
            (&mut self.attributes, &other.attributes),
            (&mut self.gains, &other.gains),
            (&mut self.loses, &other.loses),
            (&mut self.waits, &other.waits),
            (&mut self.errors, &other.errors),
        ];
        for (mine, theirs) in maps {
            for (word, count) in theirs {
                add(mine, word, *count);
            }
        }
    }
}

/// Adds to a count; a map that is full counts what is new in it as [`OTHER`].
fn add(counts: &mut BTreeMap<String, u64>, word: &str, count: u64) {
    let word = if counts.len() >= CODES_LIMIT && !counts.contains_key(word) { OTHER } else { word };
    *counts.entry(word.to_owned()).or_default() += count;
}

/// A candidate revision that is, or was, tried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Its id.
    pub id: String,
    /// How it is tried out.
    pub kind: TrialKind,
    /// The candidate.
    pub revision: RevisionHash,
    /// The revision that was active when it began.
    pub base: Option<RevisionHash>,
    /// How far it is.
    pub state: TrialState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Who began it.
    pub actor: Actor,
    /// The share of the people that a shadow asks about; always the same ones.
    pub percent: u8,
    /// When it began.
    pub started: Instant,
    /// When a shadow ends by itself.
    pub ends: Option<Instant>,
    /// When it ended.
    pub finished: Option<Instant>,
    /// How many people a simulation found when it began; `null` before it has, and where it is of a part of them.
    pub population: Option<i64>,
    /// The part of the people that a simulation asks about; left out where it is everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// What it came to so far.
    pub summary: Summary,
}

word_enum!(
    /// What became of an activation.
    ActivationState {
        /// The revision is active.
        Active = "active",
        /// It was active, and another was activated after it.
        Superseded = "superseded",
        /// It turned too many people away, and the revision before it is active again.
        Returned = "returned",
        /// Its simulation turns too many people away: it waits for somebody to activate it.
        Held = "held",
        /// It was held, and another was activated or held after it: it never was active.
        Dropped = "dropped",
    }
);

impl ActivationState {
    /// Whether the revision is or was active by it.
    #[must_use]
    pub fn came_into_force(self) -> bool {
        !matches!(self, Self::Held | Self::Dropped)
    }
}

/// People whom a fresh revision turned away and the one before it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TurnedAway {
    /// No verdict: the plugin failed.
    pub faults: i64,
    /// Refused by the mapping.
    pub refused: i64,
    /// None of the tenant's people.
    pub out_of_scope: i64,
}

impl TurnedAway {
    /// All of them.
    #[must_use]
    pub fn people(self) -> i64 {
        self.faults + self.refused + self.out_of_scope
    }
}

/// When a fresh revision is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// How many people it may turn away whom the one before did not.
    pub limit: i64,
    /// Until when they are counted.
    pub until: Instant,
}

/// A revision as it is listed: without its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedRevision {
    /// It, by the hash of its files.
    pub hash: RevisionHash,
    /// When it was stored first.
    pub created: Instant,
    /// Whether it decides at present.
    pub active: bool,
    /// Whether it is or was active; what only waits for somebody to activate it is not.
    pub activated: bool,
    /// Whether it is or was tried out: a simulation or a shadow that is kept.
    pub tried: bool,
}

/// An activation of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    /// Ascending in the tenant, from 1.
    pub number: i64,
    /// The revision.
    pub revision: RevisionHash,
    /// The one that was active before.
    pub replaces: Option<RevisionHash>,
    /// When.
    pub at: Instant,
    /// By whom or what.
    pub actor: Actor,
    /// The simulation that it was activated with.
    pub simulation: Option<String>,
    /// What became of it.
    pub state: ActivationState,
    /// Why it was taken back, or is held.
    pub reason: Option<String>,
    /// When it is taken back by itself; `null` where nothing watches.
    pub watch: Option<Watch>,
    /// Whom it turned away while it was watched.
    pub turned_away: TurnedAway,
}

/// How an activation is watched: the settings of the revision that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivationSettings {
    /// Whether a revision has to be simulated before it is activated (default: no).
    pub require_simulation: bool,
    /// For how many hours a fresh revision is watched; 0 for not at all (default 24).
    pub watch_hours: u32,
    /// The share of the tenant's people, in percent, that it may turn away beyond what its simulation said (default 10).
    pub turned_away_percent: u32,
    /// The most people that it may turn away, whatever the share is (default 500).
    pub turned_away_people: u32,
    /// The share of the tenant's people, in percent, about whom something may be other than when its simulation began (default 10).
    pub moved_percent: u32,
    /// The most of those, whatever the share is (default 500).
    pub moved_people: u32,
}

impl Default for ActivationSettings {
    fn default() -> Self {
        Self {
            require_simulation: false,
            watch_hours: 24,
            turned_away_percent: 10,
            turned_away_people: 500,
            moved_percent: 10,
            moved_people: 500,
        }
    }
}

impl ActivationSettings {
    /// So many people may always be concerned: with a lower limit, a few real changes would look like a fault, or like a crowd.
    const FEWEST: i64 = 5;

    /// How many of `population` people may be turned away beyond what is expected.
    #[must_use]
    pub fn limit(&self, population: i64) -> i64 {
        let share = population.saturating_mul(i64::from(self.turned_away_percent)) / 100;
        share.min(i64::from(self.turned_away_people)).max(Self::FEWEST)
    }

    /// About how many of `population` people something may be other than when a simulation began.
    #[must_use]
    pub fn moved_limit(&self, population: i64) -> i64 {
        let share = population.saturating_mul(i64::from(self.moved_percent)) / 100;
        share.min(i64::from(self.moved_people)).max(Self::FEWEST)
    }

    /// How many people have to be counted: more make no difference to [`Self::limit`].
    #[must_use]
    pub fn population_needed(&self) -> i64 {
        i64::from(self.turned_away_people).saturating_mul(100) / i64::from(self.turned_away_percent.max(1)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::Waiting;
    use super::*;

    #[test]
    fn the_limit_is_the_lesser_of_share_and_number_and_never_below_five() {
        let settings = ActivationSettings::default();
        let limits = [0, 49, 100, 4_999, 5_000, 1_000_000].map(|people| settings.limit(people));
        assert_eq!(limits, [5, 5, 10, 499, 500, 500]);
        assert_eq!(settings.limit(settings.population_needed()), settings.limit(i64::MAX));
        let settings = ActivationSettings { moved_percent: 1, moved_people: 7, ..settings };
        assert_eq!([0, 599, 600, 1_000_000].map(|people| settings.moved_limit(people)), [5, 5, 6, 7]);
    }

    #[test]
    fn parts_of_a_summary_add_up() {
        let difference = |kind, gains: &[&str], loses: &[&str], connection: &str| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let because =
                |(role, policy): (&str, &str)| Because { role: role.into(), policies: owned(&[policy]), groups: owned(&["staff"]) };
            let difference = Difference {
                kind,
                user_name: None,
                before: "active".into(),
                after: "active".into(),
                attributes: vec![AttributeDifference { attribute: "title".into(), before: Value::Null, after: "x".into() }],
                gains: owned(gains),
                loses: owned(loses),
                waits: vec![WaitingRole { role: "root".into(), waits_for: Waiting::Approval }],
                withdrawn: vec![],
                because: [("mail", "all-staff"), ("vpn", "remote"), ("root", "admins")].map(because).to_vec(),
                retains: vec![],
                note: None,
                collides: false,
            };
            PersonDifference { connection: connection.into(), user: "u".into(), account: "a".into(), difference }
        };
        let mut one = Summary { people: 3, ..Summary::default() };
        one.count(&difference(DifferenceKind::Gains, &["mail"], &[], "entra"));
        one.call(10);
        let mut other = Summary { people: 2, ..Summary::default() };
        other.count(&difference(DifferenceKind::OutOfScope, &[], &["mail", "vpn"], "okta"));
        other.call(30);
        other.error("fuel");
        let mut whole = one.clone();
        whole.merge(&other);
        let mut swapped = other;
        swapped.merge(&one);
        assert_eq!(whole, swapped);
        assert_eq!((whole.people, whole.different, whole.turned_away, whole.fuel, whole.fuel_max), (5, 2, 1, 40, 30));
        assert_eq!((whole.attributes["title"], whole.gains["mail"], whole.errors["fuel"]), (2, 1, 1));
        assert_eq!((whole.waits["root"], whole.roles), (2, Totals { gains: 1, loses: 1, waits: 2 }));
        assert_eq!(whole.by_connection.of["okta"], Totals { gains: 0, loses: 1, waits: 1 });
        assert_eq!(whole.by_group.of["staff"], whole.roles, "each person once, however many roles of theirs rest on it");
        assert_eq!(whole.by_policy.of["all-staff"], Totals { gains: 1, loses: 1, waits: 0 });
        assert_eq!(whole.by_policy.of["remote"], Totals { gains: 0, loses: 1, waits: 0 });
        assert_eq!(whole.by_policy.of["admins"], Totals { gains: 0, loses: 0, waits: 2 });
    }

    #[test]
    fn codes_without_end_are_counted_together() {
        let mut summary = Summary::default();
        for number in 0..10_000 {
            summary.error(&format!("code_{number}"));
        }
        assert_eq!(summary.errors.len(), CODES_LIMIT + 1);
        assert_eq!(summary.errors.values().sum::<u64>(), 10_000);
    }
}
