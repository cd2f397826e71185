//! What a trial's differences add up to: people who gain, lose and wait, by connection, group and policy, and how many of them the guard
//! would hold. Bounded: what finds no place of its own is counted together.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Concerned, GuardDirection, GuardScope, Reason, Waiting};

/// Connections, groups or policies that are counted apart, of each.
pub const TALLIED_LIMIT: usize = 200;
/// Scopes of the guard that are counted apart: roles and connections, for each of what it counts.
pub const FORECASTS_LIMIT: usize = 600;

/// A role that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingRole {
    /// The role.
    pub role: String,
    /// For what.
    pub waits_for: Waiting,
}

/// By what a role is gained, lost or waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Because {
    /// The role.
    pub role: String,
    /// The ids of the policies: those that give it, or gave it, and those that forbid it now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The handles of the groups that they rest on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Because {
    /// What reasons name, each once.
    #[must_use]
    pub fn of<'r>(role: &str, reasons: impl IntoIterator<Item = &'r Reason>) -> Self {
        let (mut policies, mut groups) = (Vec::new(), Vec::new());
        for reason in reasons {
            policies.push(reason.policy.clone());
            groups.extend(reason.groups.iter().filter_map(|chain| chain.last()).cloned());
        }
        for names in [&mut policies, &mut groups] {
            names.sort();
            names.dedup();
        }
        Self { role: role.to_owned(), policies, groups }
    }
}

/// People by what becomes of their roles. Whoever gains one role and loses another is counted in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Those who gain a role.
    pub gains: u64,
    /// Those who lose one.
    pub loses: u64,
    /// Those for whom one waits for somebody's yes.
    pub waits: u64,
}

impl Totals {
    /// Somebody, by what becomes of their roles.
    #[must_use]
    pub fn one(gains: bool, loses: bool, waits: bool) -> Self {
        Self { gains: u64::from(gains), loses: u64::from(loses), waits: u64::from(waits) }
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.gains += other.gains;
        self.loses += other.loses;
        self.waits += other.waits;
    }
}

/// Totals by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tally {
    /// Of those that are counted apart.
    pub of: BTreeMap<String, Totals>,
    /// Of all others together: somebody who has to do with several of them is counted for each.
    pub others: Totals,
}

impl Tally {
    /// Adds to one name's totals.
    pub fn add(&mut self, name: &str, totals: Totals) {
        if totals == Totals::default() {
            return;
        }
        let is_full = self.of.len() >= TALLIED_LIMIT;
        match self.of.get_mut(name) {
            Some(known) => known.add(totals),
            None if is_full => self.others.add(totals),
            None => drop(self.of.insert(name.to_owned(), totals)),
        }
    }

    /// Adds another part of the same.
    pub fn merge(&mut self, other: &Self) {
        for (name, totals) in &other.of {
            self.add(name, *totals);
        }
        self.others.add(other.others);
    }
}

/// How many people a change concerns in the guard's eyes, and how many of them it would hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// What is counted.
    pub direction: GuardDirection,
    /// Whose people.
    pub scope: GuardScope,
    /// The connection, role or revision.
    pub of: String,
    /// How many are concerned.
    pub people: u64,
    /// How many of them the window had counted already when they were asked about: none of these is held.
    #[serde(default)]
    pub counted: u64,
    /// How many may be within the window; told when a simulation has finished.
    pub limit: Option<i64>,
    /// How many of them would be held, with whom the present window has counted already; told when a simulation has finished.
    pub held: Option<u64>,
}

impl Forecast {
    fn key(&self) -> (GuardDirection, GuardScope, &str) {
        (self.direction, self.scope, &self.of)
    }

    /// With the limit of its window, in which `counted` people are already. Whoever is one of those takes no more room.
    #[must_use]
    pub fn limited(mut self, limit: i64, counted: i64) -> Self {
        let room = u64::try_from(limit.saturating_sub(counted)).unwrap_or(0);
        self.limit = Some(limit);
        self.held = Some(self.people.saturating_sub(self.counted).saturating_sub(room));
        self
    }
}

/// Whom the guard would count, by scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Forecasts {
    /// Each scope by itself: somebody is in those of their connection, of each role, and of the revision, and whoever is beyond the
    /// limit of one of them waits.
    pub scopes: Vec<Forecast>,
    /// People of scopes that find no place of their own, counted for each.
    pub others: u64,
}

impl Forecasts {
    /// Counts somebody. Who leaves is never held, and not counted here.
    pub fn count(&mut self, concerned: &Concerned) {
        for (direction, scope, of) in Self::scopes_of(concerned) {
            self.add(Forecast { direction, scope, of, people: 1, counted: 0, limit: None, held: None });
        }
    }

    /// The scopes in which somebody counts who does not leave.
    pub fn scopes_of(concerned: &Concerned) -> impl Iterator<Item = (GuardDirection, GuardScope, String)> {
        let directions = [GuardDirection::Losses, GuardDirection::Gains, GuardDirection::PrivilegedGains];
        directions
            .into_iter()
            .flat_map(move |direction| concerned.scopes(direction).into_iter().map(move |(scope, of)| (direction, scope, of)))
    }

    /// Notes how many of a scope's people its window has counted already.
    pub fn note_counted(&mut self, (direction, scope, of): (GuardDirection, GuardScope, &str), counted: u64) {
        if let Some(known) = self.scopes.iter_mut().find(|known| known.key() == (direction, scope, of)) {
            known.counted += counted;
        }
    }

    fn add(&mut self, one: Forecast) {
        match self.scopes.binary_search_by(|known| known.key().cmp(&one.key())) {
            Ok(at) => {
                self.scopes[at].people += one.people;
                self.scopes[at].counted += one.counted;
            }
            Err(at) if self.scopes.len() < FORECASTS_LIMIT => self.scopes.insert(at, one),
            Err(_) => self.others += one.people,
        }
    }

    /// Adds another part of the same.
    pub fn merge(&mut self, other: &Self) {
        for one in &other.scopes {
            self.add(one.clone());
        }
        self.others += other.others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_each_policy_and_group_once() {
        let reason = |policy: &str, chains: &[&[&str]]| Reason {
            policy: policy.into(),
            reason: None,
            groups: chains.iter().map(|chain| chain.iter().map(|group| (*group).to_owned()).collect()).collect(),
            proposed: false,
            nomination: None,
            approval: None,
        };
        let because = Because::of("vpn", &[reason("b", &[&["team", "all"], &["all"]]), reason("a", &[]), reason("b", &[])]);
        assert_eq!((because.policies, because.groups), (vec!["a".to_owned(), "b".to_owned()], vec!["all".to_owned()]));
    }

    #[test]
    fn names_without_end_are_counted_together_and_nobody_is_lost() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.add(&format!("group-{number}"), Totals::one(true, number % 2 == 0, false));
        }
        tally.add("group-1", Totals::one(false, false, true));
        tally.add("nothing", Totals::default());
        assert_eq!((tally.of.len(), tally.of["group-1"]), (TALLIED_LIMIT, Totals { gains: 1, loses: 0, waits: 1 }));
        let mut all = tally.others;
        tally.of.values().for_each(|totals| all.add(*totals));
        assert_eq!(all, Totals { gains: 1_000, loses: 500, waits: 1 });
        let mut twice = tally.clone();
        twice.merge(&tally);
        assert_eq!((twice.of.len(), twice.others.gains), (TALLIED_LIMIT, 2 * (1_000 - TALLIED_LIMIT as u64)));
    }

    #[test]
    fn what_is_beyond_the_room_of_a_window_is_held() {
        let forecast = |people, counted| Forecast {
            direction: GuardDirection::Losses,
            scope: GuardScope::Role,
            of: "vpn".into(),
            people,
            counted,
            limit: None,
            held: None,
        };
        // How many are concerned, how many of these are among those whom the window has counted, the limit, and how many are held.
        for (people, known, limit, counted, held) in [
            (5, 0, 5, 0, 0),
            (6, 0, 5, 0, 1),
            (6, 0, 5, 2, 3),
            (6, 0, 5, 9, 6),
            (0, 0, 0, 0, 0),
            (6, 2, 5, 2, 1),
            (6, 6, 5, 9, 0),
            (6, 4, 5, 5, 2),
        ] {
            assert_eq!(forecast(people, known).limited(limit, counted).held, Some(held), "{people}, {known} of {counted}, limit {limit}");
        }
        let mut all = Forecasts { scopes: vec![forecast(6, 0)], others: 0 };
        all.note_counted((GuardDirection::Losses, GuardScope::Role, "vpn"), 2);
        all.note_counted((GuardDirection::Gains, GuardScope::Role, "vpn"), 2);
        all.merge(&Forecasts { scopes: vec![forecast(1, 1)], others: 0 });
        assert_eq!(all.scopes, [forecast(7, 3)]);
    }

    #[test]
    fn somebody_is_in_the_scopes_of_connection_role_and_revision() {
        let concerned = |lost: &[&str]| Concerned {
            connection: "entra".into(),
            activated: Some("r2".into()),
            settings: crate::model::GuardSettings::default(),
            loses: !lost.is_empty(),
            leaves: false,
            lost: lost.iter().map(|role| (*role).into()).collect(),
            gained: vec![],
            gained_privileged: vec![],
        };
        let (mut one, mut other) = (Forecasts::default(), Forecasts::default());
        one.count(&concerned(&["vpn", "mail"]));
        other.count(&concerned(&["vpn"]));
        other.count(&concerned(&[]));
        one.merge(&other);
        let told: Vec<(GuardScope, &str, u64)> = one.scopes.iter().map(|one| (one.scope, one.of.as_str(), one.people)).collect();
        let (connection, revision) = ((GuardScope::Connection, "entra", 2), (GuardScope::Revision, "r2", 2));
        assert_eq!(told, [connection, (GuardScope::Role, "mail", 1), (GuardScope::Role, "vpn", 2), revision]);
    }
}
