//! What policies say that nobody can have meant: dead, shadowed, overruled and always-true ones, names that stand for nothing.
//!
//! A lint says nothing of what may be meant: it rests on the catalogue, on facts about the tenant where there are some, and on an abstract
//! reading of conditions that never calls impossible what is possible.

mod reading;

use std::collections::BTreeSet;

use super::rule::{Conjunct, Rule, Who};
use super::source::{self, Placed};
use super::{Policies, Role};
use crate::diagnostic::Diagnostic;
use reading::Branch;

/// How many comparisons of one policy with another are made: beyond it the rest is not compared, which is said.
const COMPARISONS_LIMIT: usize = 200_000;

/// How many facts of their alternatives are held against one another in that: of policies with many, fewer are compared.
const WORK_LIMIT: usize = 5_000_000;

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Lint {
    /// A stable word for machines, and for `@allow`.
    pub code: &'static str,
    /// Whether checking refuses it already, so that it can't be allowed.
    pub refused: bool,
    /// What it is.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

const fn lint(code: &'static str, refused: bool, meaning: &'static str, remedy: &'static str) -> Lint {
    Lint { code, refused, meaning, remedy }
}

/// Every kind.
pub const LINTS: &[Lint] = &[
    lint("no_id", true, "the policy has no `@id`", "give it one: grants and explanations know the policy by it"),
    lint("no_reason", true, "a `permit` has no `@reason`", "say why people have the role: it is shown with every grant"),
    lint("unknown_role", true, "the catalogue has no role of that name", "name one that is there, or add it under `[[roles]]`"),
    lint("unknown_family", true, "no role of the catalogue is in a family of that name", "name one that is there, or add it to a role"),
    lint(
        "unknown_tag",
        true,
        "the tenant declares its tags, and not this one or not this value",
        "name one that is there, or declare it under `[tags]`",
    ),
    lint("dead_policy", false, "no person and role can ever satisfy it", "change what contradicts itself, or take the policy out"),
    lint("past_policy", false, "its time is over: no instant from now on satisfies it", "take it out, or move its date"),
    lint(
        "shadowed_policy",
        false,
        "another policy of the same effect is satisfied wherever this one is",
        "take it out, or make the other one narrower",
    ),
    lint("overruled_permit", false, "a `forbid` is satisfied wherever this permit is", "take the permit out, or make the forbid narrower"),
    lint("always_true", false, "a part of the condition holds whatever is asked", "take the part out, or say what was meant"),
    lint(
        "privileged_for_everybody",
        false,
        "a permit gives a privileged role to everybody, without a condition on the person",
        "name a group in the scope, or ask something of the person",
    ),
    lint(
        "unknown_group",
        false,
        "no group of the tenant has the handle, and `tenant.toml` does not declare it",
        "name a handle that is there, or declare it under `[groups]`",
    ),
    lint(
        "unconfirmed_group",
        false,
        "a group has the handle, and nobody has confirmed that yet, as privileged roles ask for: its members count for nothing",
        "confirm it: `rolecall handle confirm`",
    ),
    lint("role_without_permit", false, "no permit can give the role to anybody", "write a permit, or take the role out of the catalogue"),
    lint("role_nobody_holds", false, "nobody holds the role, though some permit could give it", "see whom its permits miss"),
    lint(
        "misspelt_approval",
        false,
        "an annotation reads like `@approval` and is another one: nobody is asked",
        "write `@approval`, or give it a name that can't be taken for it",
    ),
    lint(
        "admin_for_everybody",
        false,
        "an admin policy lets everybody decide who may decide anything",
        "ask for an admin role, the right to write, or name somebody",
    ),
    lint(
        "admin_never_met",
        false,
        "an admin policy names a person in another spelling than people are named in",
        "write the name in lower case, as the finding says",
    ),
    lint(
        "action_without_permit",
        false,
        "no admin policy allows the action to anybody",
        "write a permit for it, or leave it to the operators of the platform",
    ),
    lint("unknown_lint", false, "`@allow` names no lint that can be allowed", "name one of this table"),
    lint(
        "partly_compared",
        false,
        "there is too much to compare each policy with each",
        "let groups and families say what many policies say alike",
    ),
];

/// What is known of the tenant beside the catalogue.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The handles that there are; `None` where that is not known, and nothing is said of groups.
    pub handles: Option<BTreeSet<String>>,
    /// Those of them that nobody has confirmed: whoever is in the group is not, for policies.
    pub unconfirmed: BTreeSet<String>,
    /// The roles that somebody holds; `None` where that is not known.
    pub held: Option<BTreeSet<String>>,
    /// The present; `None` where nothing is said of dates.
    pub now: Option<jiff::Timestamp>,
}

/// The findings, in the order of their places; policies that are wrong are refused as they are by [`Policies::compile`].
///
/// # Errors
/// Every problem with file, line and column.
pub fn lint_policies(sources: &[(String, String)], roles: &[Role], facts: &Facts) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let policies = Policies::compile(sources, roles)?;
    let placed = source::read_placed(sources, Some(roles))?;
    let mut read = Vec::new();
    for (number, placed) in placed.iter().enumerate() {
        let (rule, conjuncts) = Rule::of(&placed.policy).map_err(|error| vec![Diagnostic::of_file("policies", error)])?;
        read.push(Read::of(&policies, number, placed, rule, conjuncts));
    }
    let mut linting = Linting { policies: &policies, read: &read, facts, found: Vec::new() };
    linting.run();
    let mut found = linting.found;
    found.sort_by(|a, b| (&a.file, a.line, a.column, &a.code).cmp(&(&b.file, b.line, b.column, &b.code)));
    found.dedup();
    Ok(found)
}

/// A policy as it is read here.
struct Read<'a> {
    placed: &'a Placed<'a>,
    rule: Rule,
    conjuncts: Vec<Conjunct>,
    /// Whether a part may fail, so that nothing is claimed of its condition.
    may_fail: bool,
    /// The roles that it could be satisfied for, as a set of bits.
    roles: Vec<u64>,
    /// The branches in which scope and condition hold; `None` where there are too many.
    holds: Option<Vec<Branch>>,
    /// For the scope and each part that reads more than the role, the branches in which it does not hold.
    fails: Option<Vec<Vec<Branch>>>,
}

impl<'a> Read<'a> {
    fn of(policies: &Policies, number: usize, placed: &'a Placed<'a>, rule: Rule, conjuncts: Vec<Conjunct>) -> Self {
        let may_fail = conjuncts.iter().any(|part| reading::may_fail(part.expression()));
        let mut roles = vec![0; policies.roles.len().div_ceil(64)];
        for role in policies.index.can_give(number) {
            roles[role / 64] |= 1_u64 << (role % 64);
        }
        let mut holds = Some(vec![reading::scope(&rule)]);
        let mut fails = Some(vec![]);
        if rule.who != Who::Anyone {
            fails = Some(vec![reading::outside(&rule)]);
        }
        for part in &conjuncts {
            let branches = reading::branches(part.expression(), true);
            holds = holds.and_then(|known| reading::both(known, &branches?));
            // Parts that read the role alone hold for every role that the policy can give.
            if !part.of_role() {
                let opposite = reading::branches(part.expression(), false);
                fails = fails.zip(opposite).map(|(mut known, opposite)| {
                    known.push(opposite);
                    known
                });
            }
        }
        Self { placed, rule, conjuncts, may_fail, roles, holds, fails }
    }

    fn is_dead(&self) -> bool {
        let no_role = self.roles.iter().all(|bits| *bits == 0);
        // A policy that fails is not without effect: it leaves the role undecided.
        !self.may_fail && (no_role || self.holds.as_ref().is_some_and(Vec::is_empty))
    }

    /// Whether the other is satisfied wherever this one is.
    fn implies(&self, other: &Self) -> bool {
        let (false, false, Some(holds), Some(fails)) = (self.may_fail, other.may_fail, &self.holds, &other.fails) else { return false };
        let impossible = |branch: &Branch, fails: &Branch| !reading::possible(&[branch.as_slice(), fails].concat());
        holds.iter().all(|branch| fails.iter().flatten().all(|fails| impossible(branch, fails)))
    }

    /// What [`Self::implies`] takes: each alternative of this one beside each way in which the other fails.
    fn work(&self, other: &Self) -> usize {
        let fails: usize = other.fails.iter().flatten().flatten().map(|branch| 1 + branch.len()).sum();
        1 + self.holds.as_ref().map_or(0, Vec::len) * fails
    }

    /// Whether the other's scope leaves that open: cheap, and asked first.
    fn may_imply(&self, other: &Self) -> bool {
        let named = match &other.rule.who {
            Who::Anyone => true,
            Who::Group(handle) => self.rule.handles.contains(handle),
            Who::Person(_) => self.rule.who == other.rule.who,
            Who::Nobody => false,
        };
        named && self.roles.iter().zip(&other.roles).all(|(own, other)| own & !other == 0)
    }

    fn allows(&self, code: &str) -> bool {
        allowed(self.placed).any(|allowed| allowed == code)
    }
}

/// The codes that a policy's `@allow` names, separated by commas.
pub(super) fn allowed<'a>(placed: &'a Placed<'_>) -> impl Iterator<Item = &'a str> {
    placed.policy.annotation("allow").into_iter().flat_map(|codes| codes.split(',')).map(str::trim)
}

struct Linting<'a> {
    policies: &'a Policies,
    read: &'a [Read<'a>],
    facts: &'a Facts,
    found: Vec<Diagnostic>,
}

impl Linting<'_> {
    fn run(&mut self) {
        for read in self.read {
            self.names(read);
            if read.is_dead() {
                self.say(read, "dead_policy", "no person and role can ever satisfy the policy");
                continue;
            }
            self.time(read);
            self.parts(read);
            self.everybody(read);
        }
        self.pairs();
        self.roles();
    }

    fn say(&mut self, read: &Read<'_>, code: &'static str, message: impl Into<String>) {
        if !read.allows(code) {
            self.found.push(finding(read.placed.problem(message), code));
        }
    }

    fn names(&mut self, read: &Read<'_>) {
        for code in allowed(read.placed).filter(|code| !LINTS.iter().any(|lint| !lint.refused && lint.code == *code)) {
            self.found.push(finding(read.placed.problem_at("@allow", format!("`{code}` is no lint that can be allowed")), "unknown_lint"));
        }
        for (key, _) in read.placed.policy.annotations() {
            let folded = key.to_ascii_lowercase();
            if key != "approval" && ["approv", "aprov"].iter().any(|like| folded.contains(like)) && !read.allows("misspelt_approval") {
                let message = format!("`@{key}` asks nobody: what asks is `@approval`");
                self.found.push(finding(read.placed.problem_at(&format!("@{key}"), message), "misspelt_approval"));
            }
        }
        let Some(handles) = &self.facts.handles else { return };
        for handle in &read.rule.handles {
            let (code, message) = if !handles.contains(handle) {
                ("unknown_group", format!("no group has the handle `{handle}`"))
            } else if self.facts.unconfirmed.contains(handle) {
                (
                    "unconfirmed_group",
                    format!("nobody has confirmed that the handle `{handle}` is the group's: its members count for nothing"),
                )
            } else {
                continue;
            };
            if !read.allows(code) {
                let written = format!("Group::\"{}\"", handle.escape_debug());
                self.found.push(finding(read.placed.problem_at(&written, message), code));
            }
        }
    }

    fn time(&mut self, read: &Read<'_>) {
        let (false, Some(now), Some(holds)) = (read.may_fail || read.rule.turns.is_empty(), self.facts.now, &read.holds) else { return };
        let later = vec![reading::not_before(now.as_millisecond())];
        if reading::both(holds.clone(), &[later]).is_some_and(|left| left.is_empty()) {
            self.say(read, "past_policy", "the policy's time is over: nobody can satisfy it any more");
        }
    }

    /// Parts that hold whatever is asked, the scope and the parts before them granted.
    fn parts(&mut self, read: &Read<'_>) {
        let mut before = Some(vec![reading::scope(&read.rule)]);
        for part in &read.conjuncts {
            let expression = part.expression();
            let opposite = reading::branches(expression, false);
            // Validation asks for `has` in front of every use: said twice, it is no slip.
            let guards = expression.get("has").is_some() || expression.get("hasTag").is_some();
            let context = if guards { Some(vec![Vec::new()]) } else { before.clone() };
            let left = context.zip(opposite).and_then(|(known, opposite)| reading::both(known, &opposite));
            if !read.may_fail && left.is_some_and(|left| left.is_empty()) {
                let text = part.text();
                if !read.allows("always_true") {
                    let problem = read.placed.problem_in_condition(&text, format!("`{text}` always holds here"));
                    self.found.push(finding(problem, "always_true"));
                }
            }
            before = before.zip(reading::branches(expression, true)).and_then(|(known, more)| reading::both(known, &more));
        }
    }

    fn everybody(&mut self, read: &Read<'_>) {
        let privileged = self.policies.roles.iter().enumerate().find(|(number, role)| role.privileged && has(&read.roles, *number));
        let open = read.rule.permits && read.rule.who == Who::Anyone && !read.may_fail;
        // Without a part that can fail to hold, whoever is asked about has it.
        let unconditional = read.fails.as_ref().is_some_and(|fails| fails.iter().all(Vec::is_empty));
        if let (true, true, Some((_, role))) = (open, unconditional, privileged) {
            let message = format!("everybody gets the privileged role `{}`", role.id);
            self.say(read, "privileged_for_everybody", message);
        }
    }

    /// Each policy beside each that may say as much.
    fn pairs(&mut self) {
        let (mut compared, mut worked) = (0, 0);
        for (number, read) in self.read.iter().enumerate().filter(|(_, read)| !read.is_dead()) {
            let (mut shadow, mut forbid) = (None, None);
            for (at, other) in self.read.iter().enumerate().filter(|(at, other)| *at != number && !other.is_dead()) {
                let wanted = match (read.rule.permits, other.rule.permits) {
                    (true, false) => forbid.is_none(),
                    (false, true) => false,
                    // One that asks a person leaves something to do for one that asks nobody.
                    (true, true) => shadow.is_none() && (read.rule.approval.is_some() || other.rule.approval.is_none()),
                    (false, false) => shadow.is_none(),
                };
                if !wanted || !read.may_imply(other) {
                    continue;
                }
                compared += 1;
                worked += read.work(other);
                if compared > COMPARISONS_LIMIT || worked > WORK_LIMIT {
                    let message = if worked > WORK_LIMIT {
                        format!("policies may say the same in more than {WORK_LIMIT} ways: the rest was not compared")
                    } else {
                        format!("more than {COMPARISONS_LIMIT} pairs of policies may say the same: the rest was not compared")
                    };
                    self.found.push(finding(Diagnostic::of_file("policies", message), "partly_compared"));
                    return;
                }
                // Of two that say the same the later one is told.
                if read.implies(other) && (read.rule.permits != other.rule.permits || at < number || !other.says_as_much(read)) {
                    let found = if read.rule.permits == other.rule.permits { &mut shadow } else { &mut forbid };
                    *found = Some(other.rule.id.clone());
                }
            }
            if let Some(other) = shadow {
                self.say(read, "shadowed_policy", format!("`{other}` is satisfied wherever this policy is: it adds nothing"));
            }
            if let Some(other) = forbid {
                self.say(read, "overruled_permit", format!("`{other}` forbids whatever this policy permits"));
            }
        }
    }

    /// Roles of the catalogue that stand for nothing.
    fn roles(&mut self) {
        for (number, role) in self.policies.roles.iter().enumerate() {
            let given = self.read.iter().any(|read| read.rule.permits && has(&read.roles, number) && !read.is_dead());
            let at = |message: String, code| finding(Diagnostic::of_file("tenant.toml", message), code);
            if !given {
                self.found.push(at(format!("no permit can give the role `{}` to anybody", role.id), "role_without_permit"));
            } else if self.facts.held.as_ref().is_some_and(|held| !held.contains(&role.id)) {
                self.found.push(at(format!("nobody holds the role `{}`", role.id), "role_nobody_holds"));
            }
        }
    }
}

impl Read<'_> {
    fn says_as_much(&self, other: &Self) -> bool {
        self.may_imply(other) && self.implies(other)
    }
}

fn has(bits: &[u64], role: usize) -> bool {
    bits.get(role / 64).is_some_and(|word| word & (1_u64 << (role % 64)) != 0)
}

pub(super) fn finding(problem: Diagnostic, code: &str) -> Diagnostic {
    let remedy = LINTS.iter().find(|lint| lint.code == code).map_or("", |lint| lint.remedy);
    problem.with_code(code).with_help(remedy)
}

#[cfg(test)]
mod tests;
