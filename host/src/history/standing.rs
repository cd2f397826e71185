//! What stood from when to when, as events tell: pure. One rule for the job that keeps it and for whoever verifies it.
//!
//! Events count in the order of their numbers. One that bears an earlier instant than what it follows (two hosts' clocks may differ)
//! takes effect at the later of the two, so that what stood has one answer at every instant.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{AccountId, AccountState, GrantState, Instant, RevisionHash, RoleId};
use crate::store::history::{Standing, StoredEvent};

/// An account and a role (`""` for the account's own state).
pub type Key = (AccountId, String);

/// The key of a standing.
#[must_use]
pub fn key(standing: &Standing) -> Key {
    (standing.account.clone(), standing.role.as_ref().map(|role| role.0.clone()).unwrap_or_default())
}

/// What an event says of a grant or of an account.
#[derive(Debug)]
enum Says {
    /// A role is granted, or granted for other reasons.
    Grants { state: GrantState, reasons: Value, revision: Option<RevisionHash> },
    /// A grant is retained until a deadline, for the reasons and by the revision that it had.
    Retains { deadline: Option<Instant> },
    /// A grant ends.
    Removes,
    /// The account's state.
    IsNow { state: AccountState, note: Option<String>, revision: Option<RevisionHash> },
}

/// What an event says, and of whom; `None` for one that is about neither.
fn read(event: &StoredEvent) -> Option<(Key, Says)> {
    let account = AccountId(event.account.clone()?);
    let is_of_grant = event.kind.starts_with("grant.");
    if !is_of_grant && !event.kind.starts_with("account.") {
        return None;
    }
    let data: Value = serde_json::from_str(&event.data).ok()?;
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    let revision = text("revision").map(RevisionHash);
    if !is_of_grant {
        let state = AccountState::from_word(data["state"].as_str()?)?;
        return Some(((account, String::new()), Says::IsNow { state, note: text("note"), revision }));
    }
    let role = text("role").filter(|role| !role.is_empty())?;
    let says = match event.kind.as_str() {
        "grant.added" | "grant.changed" => Says::Grants { state: GrantState::Effective, reasons: data["reasons"].clone(), revision },
        "grant.pending" => Says::Grants { state: GrantState::Pending, reasons: data["reasons"].clone(), revision },
        "grant.dormant" => Says::Grants { state: GrantState::Dormant, reasons: data["reasons"].clone(), revision },
        "grant.retained" => {
            let deadline = data["deadline"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).map(Instant::from);
            Says::Retains { deadline }
        }
        "grant.removed" => Says::Removes,
        _ => return None,
    };
    Some(((account, role), says))
}

/// Whom events are about.
#[must_use]
pub fn keys(events: &[StoredEvent]) -> Vec<Key> {
    events.iter().filter_map(read).map(|(key, _)| key).collect()
}

/// What events make of what stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// What they began, ended or not.
    pub began: Vec<Standing>,
    /// What had stood before and they ended.
    pub ended: Vec<Standing>,
}

/// Applies events in order to the newest standing of each account and role that they are about.
#[must_use]
pub fn project(latest: Vec<Standing>, events: &[StoredEvent]) -> Made {
    let mut latest: BTreeMap<Key, Standing> = latest.into_iter().map(|standing| (key(&standing), standing)).collect();
    let first = events.first().map_or(i64::MAX, |event| event.seq);
    let mut made = Made::default();
    for event in events {
        let Some((key, says)) = read(event) else { continue };
        let before = latest.get(&key).filter(|standing| standing.until.is_none()).cloned();
        if let (Some(before), Says::IsNow { state, note, .. }) = (&before, &says)
            && before.state == state.word()
            && before.note == *note
        {
            continue;
        }
        let mut floor = latest.get(&key).map_or(event.at, |standing| standing.until.unwrap_or(standing.since));
        floor = floor.max(event.at);
        if let Some(mut ended) = latest.remove(&key) {
            if ended.until.is_none() {
                (ended.until, ended.until_seq) = (Some(floor), Some(event.seq));
                if ended.seq < first {
                    made.ended.push(ended.clone());
                }
            }
            if matches!(says, Says::Removes) {
                latest.insert(key, ended);
                continue;
            }
            if ended.seq >= first {
                made.began.push(ended);
            }
        }
        if let Some(began) = began(&key, says, event.seq, floor, before.as_ref()) {
            latest.insert(key, began);
        }
    }
    made.began.extend(latest.into_values().filter(|standing| standing.seq >= first));
    made.began.sort_by_key(|standing| standing.seq);
    made.ended.sort_by_key(|standing| standing.seq);
    made
}

/// What an event begins, given what stood until then without a break.
fn began((account, role): &Key, says: Says, seq: i64, since: Instant, before: Option<&Standing>) -> Option<Standing> {
    let plain = Standing {
        seq,
        account: account.clone(),
        role: (!role.is_empty()).then(|| RoleId(role.clone())),
        state: String::new(),
        reasons: "[]".into(),
        revision: None,
        note: None,
        deadline: None,
        since,
        until: None,
        until_seq: None,
        held_since: before.filter(|_| !role.is_empty()).map_or(since, |before| before.held_since),
        held_seq: before.filter(|_| !role.is_empty()).map_or(seq, |before| before.held_seq),
    };
    Some(match says {
        Says::Removes => return None,
        Says::Grants { state, reasons, revision } => {
            let reasons = if reasons.is_array() { reasons.to_string() } else { plain.reasons };
            Standing { state: state.word().into(), reasons, revision, ..plain }
        }
        Says::Retains { deadline } => {
            let reasons = before.map_or_else(|| plain.reasons.clone(), |before| before.reasons.clone());
            let revision = before.and_then(|before| before.revision.clone());
            Standing { state: GrantState::Retained.word().into(), reasons, revision, deadline, ..plain }
        }
        Says::IsNow { state, note, revision } => Standing { state: state.word().into(), note, revision, ..plain },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(seq: i64, at: i64, account: &str, kind: &str, data: &Value) -> StoredEvent {
        StoredEvent {
            seq,
            id: format!("id{seq}"),
            at: Instant(at),
            kind: kind.into(),
            actor_kind: "worker".into(),
            actor_id: "host".into(),
            request_id: None,
            account: Some(account.into()),
            data: data.to_string(),
            personal: None,
        }
    }

    fn spans(standings: &[Standing]) -> Vec<(i64, &str, i64, Option<i64>, i64)> {
        standings.iter().map(|s| (s.seq, s.state.as_str(), s.since.0, s.until.map(|at| at.0), s.held_since.0)).collect()
    }

    #[test]
    fn a_grant_from_its_beginning_to_its_end() {
        let reasons = json!([{"policy": "engineers", "groups": [], "proposed": false}]);
        let granted = json!({"role": "dev", "reasons": reasons, "revision": "r1"});
        let deadline = json!({"role": "dev", "deadline": "2026-09-21T14:13:20Z", "revision": "r2"});
        let gone = json!({"role": "dev", "was": "effective", "why": "policy"});
        let events = [
            event(1, 10, "ana", "grant.added", &granted),
            event(2, 20, "ana", "grant.retained", &deadline),
            event(3, 30, "ana", "grant.changed", &granted),
            event(4, 40, "ana", "grant.removed", &gone),
            event(5, 50, "ana", "grant.added", &granted),
        ];
        let all = project(Vec::new(), &events);
        let expected = [
            (1, "effective", 10, Some(20), 10),
            (2, "retained", 20, Some(30), 10),
            (3, "effective", 30, Some(40), 10),
            (5, "effective", 50, None, 50),
        ];
        assert_eq!(spans(&all.began), expected);
        assert_eq!(all.began[1].reasons, reasons.to_string(), "what is retained is retained for the reasons that it had");
        assert_eq!((all.began[1].revision.clone(), all.began[1].deadline), (Some("r1".into()), Some(Instant(1_790_000_000_000_000))));
        assert_eq!((all.began[2].held_seq, all.began[2].until_seq), (1, Some(4)));
    }

    #[test]
    fn an_account_is_told_when_it_is_something_else() {
        let state = |state: &str, note: Option<&str>| json!({"state": state, "note": note, "revision": "r1"});
        let events = [
            event(1, 10, "ana", "account.created", &state("active", None)),
            event(2, 20, "ana", "account.changed", &state("active", None)),
            event(3, 30, "ana", "account.held", &state("held", Some("collision"))),
            event(4, 40, "ana", "account.removed", &state("removed", None)),
        ];
        let made = project(Vec::new(), &events);
        let expected = [(1, "active", 10, Some(30), 10), (3, "held", 30, Some(40), 30), (4, "removed", 40, None, 40)];
        assert_eq!(spans(&made.began), expected);
        assert_eq!(made.began[1].note.as_deref(), Some("collision"));
    }

    #[test]
    fn what_says_nothing_of_a_grant_or_a_state_changes_nothing() {
        let odd = [
            event(1, 1, "ana", "grant.added", &json!({"role": ""})),
            event(2, 1, "ana", "grant.other", &json!({"role": "dev"})),
            event(3, 1, "ana", "account.changed", &json!({"state": "odd"})),
            event(4, 1, "ana", "user.changed", &json!({"role": "dev", "state": "active"})),
            StoredEvent { data: "{".into(), ..event(5, 1, "ana", "grant.added", &json!({})) },
            StoredEvent { account: None, ..event(6, 1, "ana", "grant.added", &json!({"role": "dev"})) },
            event(7, 1, "ana", "grant.removed", &json!({"role": "dev"})),
        ];
        assert_eq!(project(Vec::new(), &odd), Made::default());
    }

    /// An event of a made-up history: whose, what, and when.
    fn step() -> impl Strategy<Value = (usize, usize, usize, i64)> {
        (0..3_usize, 0..2_usize, 0..5_usize, 0..40_i64)
    }

    /// The history that steps make: instants mostly ascend, and some are behind those before them.
    fn history(steps: &[(usize, usize, usize, i64)]) -> Vec<StoredEvent> {
        let made = steps.iter().enumerate().map(|(number, (who, role, what, at))| {
            let seq = i64::try_from(number).unwrap() + 1;
            let (account, role) = (["ana", "bob", "eve"][*who], ["dev", "ops"][*role]);
            let data = json!({"role": role, "reasons": [{"policy": format!("p{seq}"), "groups": [], "proposed": false}], "revision": "r"});
            let (kind, data) = match what {
                0 => ("grant.added", data),
                1 => ("grant.changed", data),
                2 => ("grant.retained", json!({"role": role})),
                3 => ("grant.removed", json!({"role": role})),
                _ => ("account.changed", json!({"state": if at % 2 == 0 { "active" } else { "held" }})),
            };
            event(seq, seq * 5 + at, account, kind, &data)
        });
        made.collect()
    }

    /// What an account and role came to with each event that changed it, and when that took effect: state and reasons.
    type Changes = Vec<(i64, Option<(String, String)>)>;

    /// What each account and role came to with each event that changed it, and when that took effect.
    fn replayed(events: &[StoredEvent]) -> BTreeMap<Key, Changes> {
        let mut replayed = BTreeMap::<Key, Vec<(i64, Option<(String, String)>)>>::new();
        for event in events {
            let data: Value = serde_json::from_str(&event.data).unwrap();
            let key = (AccountId(event.account.clone().unwrap()), data["role"].as_str().unwrap_or_default().to_owned());
            let changes = replayed.entry(key).or_default();
            let before = changes.last().and_then(|(_, held)| held.clone());
            let after = match event.kind.as_str() {
                "grant.removed" => None,
                "grant.retained" => Some(("retained".to_owned(), before.clone().map_or_else(|| "[]".to_owned(), |(_, reasons)| reasons))),
                "account.changed" => Some((data["state"].as_str().unwrap().to_owned(), "[]".to_owned())),
                _ => Some(("effective".to_owned(), data["reasons"].to_string())),
            };
            let is_news = before != after || event.kind.starts_with("grant.") && after.is_some();
            if is_news {
                let at = changes.last().map_or(event.at.0, |(at, _)| event.at.0.max(*at));
                changes.push((at, after));
            }
        }
        replayed
    }

    /// Who held what at an instant: account, role and state, reasons.
    fn held_at(replayed: &BTreeMap<Key, Changes>, at: i64) -> Vec<(String, String, String)> {
        let held = replayed.iter().filter_map(|((account, role), changes)| {
            let (state, reasons) = changes.iter().rfind(|(since, _)| *since <= at)?.1.clone()?;
            Some((account.0.clone(), format!("{role} {state}"), reasons))
        });
        held.collect()
    }

    proptest! {
        /// However events are cut into batches, who held what at any instant is what a replay of all events says.
        #[test]
        fn what_stood_is_what_a_replay_says(steps in proptest::collection::vec(step(), 1..60), cut in 1..20_usize) {
            let events = history(&steps);
            let mut kept = BTreeMap::<i64, Standing>::new();
            for batch in events.chunks(cut) {
                let mut latest = BTreeMap::<Key, Standing>::new();
                for standing in kept.values() {
                    latest.insert(key(standing), standing.clone());
                }
                let made = project(latest.into_values().collect(), batch);
                kept.extend(made.ended.into_iter().chain(made.began).map(|standing| (standing.seq, standing)));
            }
            prop_assert_eq!(kept.values().cloned().collect::<Vec<_>>(), project(Vec::new(), &events).began);
            let replayed = replayed(&events);
            for at in 0..400 {
                let mut held: Vec<_> = kept.values()
                    .filter(|standing| standing.since.0 <= at && standing.until.is_none_or(|until| until.0 > at))
                    .map(|standing| {
                        let (account, role) = key(standing);
                        (account.0, format!("{role} {}", standing.state), standing.reasons.clone())
                    })
                    .collect();
                held.sort();
                prop_assert_eq!(held, held_at(&replayed, at), "at {}", at);
            }
        }
    }
}
