//! Steps and invitations of `[processes]`: what is wrong with them.

use std::collections::BTreeSet;

use crate::model::{Invited, ProcessKind, ProcessSettings, StepSettings, check_span};
use crate::policies::Role;

/// The most steps of a process: they are stored for each person, and somebody carries them out.
const STEPS_LIMIT: usize = 50;
/// The longest name of a step, in characters.
const STEP_ID_CHARS_LIMIT: usize = 64;
/// The longest text of what is to be done, in characters.
const TITLE_CHARS_LIMIT: usize = 200;
/// The longest name of a step's owner, in characters: as long as an owner of anything else.
const OWNER_CHARS_LIMIT: usize = 200;
/// The longest time that an invitation's link is good, in hours: 90 days.
const INVITATION_HOURS_LIMIT: u32 = 2_160;

/// What is wrong with the steps and invitations. Roles are those of the catalogue.
pub(super) fn problems(settings: &ProcessSettings, roles: &[Role]) -> Vec<String> {
    let mut problems = Vec::new();
    for kind in ProcessKind::ALL {
        let steps = &settings.steps(*kind).steps;
        if steps.len() > STEPS_LIMIT {
            problems.push(format!("a {kind} has {} steps: at most {STEPS_LIMIT} are allowed", steps.len()));
        }
        if !steps.is_empty() && settings.time_zone.is_none() {
            problems.push(format!("the steps of a {kind} need a `time_zone`: a day has another length in each"));
        }
        let mut ids = BTreeSet::new();
        for step in steps.iter().take(STEPS_LIMIT) {
            problems.extend(problem(*kind, step, roles).map(|problem| format!("step `{}` of a {kind}: {problem}", step.id)));
            if !ids.insert(step.id.as_str()) {
                problems.push(format!("step `{}` of a {kind} is there twice", step.id));
            }
        }
    }
    let invitations = &settings.invitations;
    if (invitations.accounts == Invited::Tagged) != invitations.tag.is_some() {
        problems.push(
            "`invitations.tag` names the tag of those who are invited: it goes with `accounts = \"tagged\"`, and only with that".into(),
        );
    }
    if !(1..=INVITATION_HOURS_LIMIT).contains(&invitations.expire_hours) {
        problems.push(format!("`invitations.expire_hours` must be from 1 to {INVITATION_HOURS_LIMIT}"));
    }
    problems
}

fn problem(kind: ProcessKind, step: &StepSettings, roles: &[Role]) -> Option<String> {
    let is_id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let sound = |text: &str, limit| !text.trim().is_empty() && text.chars().count() <= limit && !text.chars().any(char::is_control);
    if step.id.is_empty() || step.id.len() > STEP_ID_CHARS_LIMIT || !step.id.chars().all(is_id) {
        return Some(format!("its `id` must have 1 to {STEP_ID_CHARS_LIMIT} lower-case ASCII letters, digits, `-`, `_` or `.`"));
    }
    if !sound(&step.title, TITLE_CHARS_LIMIT) {
        return Some(format!("its `title` says in 1 to {TITLE_CHARS_LIMIT} characters what is to be done"));
    }
    if !sound(&step.owner, OWNER_CHARS_LIMIT) {
        return Some(format!("its `owner` names in 1 to {OWNER_CHARS_LIMIT} characters who does it"));
    }
    if let Err(problem) = check_span(&step.due) {
        return Some(format!("`due`: {problem}"));
    }
    let (gains, loses) = (&step.when.gains, &step.when.loses);
    if kind != ProcessKind::Mover && gains.is_some() {
        return Some("`when.gains` is for movers: others get their roles after the process has begun".into());
    }
    if kind == ProcessKind::Joiner && loses.is_some() {
        return Some("`when.loses` is for movers and leavers: who joins has nothing to lose".into());
    }
    let unknown = [gains, loses].into_iter().flatten().find(|role| !roles.iter().any(|known| known.id == role.0));
    unknown.map(|role| format!("role `{role}` is not in the catalogue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(toml: &str) -> String {
        let settings: ProcessSettings = toml::from_str(toml).expect("the test writes settings");
        let role: Role = toml::from_str("id = \"developer\"\nrisk = 1").expect("a role");
        problems(&settings, &[role]).join("\n")
    }

    fn step(kind: &str, with: &str) -> String {
        format!("time_zone = \"UTC\"\n[[{kind}.steps]]\nid = \"laptop\"\ntitle = \"A laptop\"\nowner = \"it\"\ndue = \"3 days\"\n{with}")
    }

    #[test]
    fn sound_steps_are_sound() {
        for sound in [
            step("joiner", "when = { user_type = \"Employee\" }"),
            step("mover", "when = { gains = \"developer\", loses = \"developer\" }"),
            step("leaver", "when = { loses = \"developer\" }"),
            "[invitations]\naccounts = \"tagged\"\ntag = \"invite\"".into(),
            "[invitations]\naccounts = \"all\"\nexpire_hours = 1".into(),
        ] {
            assert_eq!(found(&sound), "", "{sound}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let with = |from: &str, to: &str| step("joiner", "").replace(from, to);
        for (toml, why) in [
            (with("time_zone = \"UTC\"\n", ""), "need a `time_zone`"),
            (with("\"laptop\"", "\"A Laptop\""), "lower-case"),
            (with("A laptop", " "), "what is to be done"),
            (with("\"it\"", "\"\""), "who does it"),
            (with("3 days", "soon"), "no span"),
            (with("3 days", "3 years"), "366 days"),
            (step("joiner", "when = { gains = \"developer\" }"), "for movers"),
            (step("joiner", "when = { loses = \"developer\" }"), "movers and leavers"),
            (step("leaver", "when = { gains = \"developer\" }"), "for movers"),
            (step("leaver", "when = { loses = \"dancer\" }"), "not in the catalogue"),
            (step("joiner", "[[joiner.steps]]\nid = \"laptop\"\ntitle = \"x\"\nowner = \"x\"\ndue = \"P1D\""), "twice"),
            ("[invitations]\naccounts = \"tagged\"".into(), "invitations.tag"),
            ("[invitations]\ntag = \"invite\"".into(), "invitations.tag"),
            ("[invitations]\nexpire_hours = 0".into(), "expire_hours"),
        ] {
            let said = found(&toml);
            assert!(said.contains(why), "{toml}: {said}");
        }
    }
}
