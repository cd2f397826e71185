//! Groups above people: which groups somebody is in and by which chain. Pure; the rows come from the caller.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{GroupMembership, ResourceId};

/// What is known of the groups above some people.
#[derive(Debug, Default)]
pub(super) struct Above {
    /// For each group, the groups that it is a member of.
    pub(super) parents: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    /// The confirmed handles.
    pub(super) handles: BTreeMap<ResourceId, String>,
}

impl Above {
    /// Forgets a group, as if it did not exist.
    pub(super) fn remove(&mut self, group: &ResourceId) {
        self.parents.remove(group);
        for parents in self.parents.values_mut() {
            parents.remove(group);
        }
    }

    /// The memberships of somebody who is directly in `direct`: one entry a handle, by the shortest chain (of equally short ones
    /// the first in the order of names), sorted by handle.
    pub(super) fn memberships(&self, direct: &BTreeSet<ResourceId>) -> Vec<GroupMembership> {
        let mut found = Vec::new();
        self.climb(direct, |group, chain| {
            if let Some(handle) = self.handles.get(group) {
                found.push(GroupMembership { handle: handle.clone(), chain: chain.to_vec() });
            }
        });
        found.sort();
        found
    }

    /// Every group that somebody who is directly in `direct` is in.
    pub(super) fn groups(&self, direct: &BTreeSet<ResourceId>) -> BTreeSet<ResourceId> {
        let mut found = BTreeSet::new();
        self.climb(direct, |group, _| {
            found.insert(group.clone());
        });
        found
    }

    /// Visits every group once, nearest first, with the chain of names that led there. Ends even on circles.
    fn climb(&self, direct: &BTreeSet<ResourceId>, mut visit: impl FnMut(&ResourceId, &[String])) {
        let mut seen = BTreeSet::new();
        let mut level: Vec<(Vec<String>, &ResourceId)> = direct.iter().map(|group| (vec![self.name(group)], group)).collect();
        while !level.is_empty() {
            level.sort();
            let mut next = Vec::new();
            for (chain, group) in level {
                if !seen.insert(group) {
                    continue;
                }
                visit(group, &chain);
                for parent in self.parents.get(group).into_iter().flatten() {
                    next.push((chain.iter().cloned().chain([self.name(parent)]).collect(), parent));
                }
            }
            level = next;
        }
    }

    /// The handle, or the id of a group that has none.
    fn name(&self, group: &ResourceId) -> String {
        self.handles.get(group).cloned().unwrap_or_else(|| group.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn above(edges: &[(&str, &str)], handles: &[(&str, &str)]) -> Above {
        let mut above = Above::default();
        for (child, parent) in edges {
            above.parents.entry((*child).into()).or_default().insert((*parent).into());
        }
        above.handles = handles.iter().map(|(group, handle)| ((*group).into(), (*handle).to_owned())).collect();
        above
    }

    fn chains(above: &Above, direct: &[&str]) -> Vec<String> {
        let direct = direct.iter().map(|&group| group.into()).collect();
        above.memberships(&direct).into_iter().map(|found| format!("{}: {}", found.handle, found.chain.join(" → "))).collect()
    }

    #[test]
    fn the_shortest_chain_wins_and_ties_go_by_name() {
        let above = above(
            &[("g1", "g2"), ("g2", "g3"), ("g1", "g3"), ("g4", "g5"), ("g6", "g5")],
            &[("g1", "one"), ("g3", "three"), ("g4", "zebra"), ("g6", "ape"), ("g5", "five")],
        );
        assert_eq!(chains(&above, &["g1"]), ["one: one", "three: one → three"]);
        assert_eq!(chains(&above, &["g2"]), ["three: g2 → three"], "a group without a handle is named by its id");
        assert_eq!(chains(&above, &["g4", "g6"]), ["ape: ape", "five: ape → five", "zebra: zebra"]);
    }

    #[test]
    fn circles_end() {
        let above = above(&[("g1", "g2"), ("g2", "g1")], &[("g1", "one"), ("g2", "two")]);
        assert_eq!(chains(&above, &["g1"]), ["one: one", "two: one → two"]);
        assert_eq!(above.groups(&["g2".into()].into()).len(), 2);
    }
}
