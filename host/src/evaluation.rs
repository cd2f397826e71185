//! The one decision: `evaluate(revision, subject, as_of)` gives account, roles and reasons.
//!
//! Pure: no clock, no I/O, no randomness. Live writes, the worker, explanation, golden tests and
//! benchmarks all call it, so what was tried is what happens. It knows nothing of what stands at
//! present: comparing with that is `lifecycle`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolecall_scim::resource::Document;

use crate::mapping::{AccountShape, Dates, Mapping};
use crate::model::{
    AccountId, CallInput, ConnectionId, Failing, FailureDetail, FailureKind, Grant, GroupMembership, Instant, LogLine, Note, Reason,
    ResourceId,
};
use crate::plugins::{Call, PluginFault, Seen, Usage};
use crate::policies::{DeclaredTags, Loss, Principal, RoleDecision};
use crate::revision::{Bound, FailureRules, Keep, Revision};

/// Everything that a decision reads about one person.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The SCIM User.
    pub user: ResourceId,
    /// The connection that wrote it.
    pub connection: ConnectionId,
    /// The document, in normal form.
    pub document: Document,
    /// Direct and inherited memberships in groups with a confirmed handle.
    pub groups: Vec<GroupMembership>,
    /// The other account of the tenant that has the name which the mapping gives this one, if there is one.
    /// A collision is a fact of the tenant, not of one subject, so it is told and not looked up.
    pub collision: Option<AccountId>,
    /// Roles that the person holds, or may hold by an exception: where the policies don't give them, they are asked whether they forbid
    /// them.
    pub excepted: Vec<String>,
}

/// What became of the account.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The identity provider says that the person is inactive: nothing is mapped and nothing is granted.
    Inactive,
    /// The identity provider's end date has come: nothing is granted, whatever else it says.
    Ended,
    /// The mapping made an account.
    Account(Box<AccountShape>),
    /// The mapping made an account whose name another account has.
    Collision(Box<AccountShape>, AccountId),
    /// The mapping says that this person is none of the tenant's.
    OutOfScope(String),
    /// The mapping refuses this person.
    Refused(Note),
    /// No verdict: a plugin fault, or no revision. Nothing is granted on a doubt.
    Fault(Fault),
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What happened, for people.
    pub note: Note,
    /// What happened, for counting: the plugin fault's code, `no_revision`, `overloaded`.
    pub code: &'static str,
    /// Whether trying again may give another answer (a timeout), as opposed to a deterministic fault.
    pub infrastructure: bool,
}

/// A role that could not be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// The role.
    pub role: String,
    /// What failed.
    pub note: Note,
}

/// Nominated roles, each with the plugin's words for why.
pub type Nominations = BTreeMap<String, Option<String>>;

/// What a revision makes of a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The account.
    pub outcome: Outcome,
    /// Where each account attribute came from.
    pub provenance: BTreeMap<String, String>,
    /// The roles that the policies give, with their reasons; sorted by role.
    pub roles: Vec<RoleDecision>,
    /// The roles that a policy error left undecided: never an Allow, and no reason to take away at once.
    pub undecided: Vec<Undecided>,
    /// Those of the excepted roles that a `forbid` keeps from the person, or may.
    pub forbidden: BTreeSet<String>,
    /// Of the roles that were held before, why they are given no more.
    pub lost: Vec<Loss>,
    /// When the person begins and ends, as far as that is known.
    pub dates: Dates,
    /// The next instant at which the same inputs may give another result.
    pub next_change: Option<Instant>,
    /// The plugins' calls, in their order.
    pub calls: Vec<HookCall>,
}

/// A call of a tenant's plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    /// `transform-user` or `propose-roles`.
    pub hook: &'static str,
    /// The name that the plugin gives itself.
    pub plugin: Arc<str>,
    /// What it used, or the code of the fault that it ended with.
    pub result: Result<Usage, &'static str>,
    /// The fuel that it used, also until a fault; none where it could not begin.
    pub fuel: u64,
    /// What its author may want to see; `None` for a call that answered without a word.
    pub told: Option<Box<Told>>,
}

/// What a call has to tell its author.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The plugin's digest.
    pub digest: String,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// How it failed, and over what, as far as the tenant wants that to be kept.
    pub failing: Option<Failing>,
}

impl Evaluation {
    /// An evaluation with that outcome and no roles.
    #[must_use]
    pub fn outcome(outcome: Outcome) -> Self {
        Self {
            outcome,
            provenance: BTreeMap::new(),
            roles: Vec::new(),
            undecided: Vec::new(),
            forbidden: BTreeSet::new(),
            lost: Vec::new(),
            dates: Dates::default(),
            next_change: None,
            calls: Vec::new(),
        }
    }

    /// The evaluation of somebody whom the identity provider calls inactive: no revision is asked.
    #[must_use]
    pub fn inactive() -> Self {
        Self::outcome(Outcome::Inactive)
    }

    /// No verdict.
    #[must_use]
    pub fn fault(fault: Fault) -> Self {
        Self::outcome(Outcome::Fault(fault))
    }

    /// The evaluation where a tenant has no revision: no verdict.
    #[must_use]
    pub fn without_revision() -> Self {
        Self::fault(Fault {
            note: Note {
                code: "no_revision".into(),
                path: None,
                message: "the tenant has no active revision: apply one with `rolecall tenant apply`".into(),
            },
            code: "no_revision",
            infrastructure: false,
        })
    }
}

/// What the revision makes of the subject at `as_of`.
#[must_use]
pub fn evaluate(revision: &Revision, subject: &Subject, as_of: Instant) -> Evaluation {
    evaluate_standing(revision, subject, &[], as_of)
}

/// The same, and of the roles that the person holds why those are lost that the policies give no more. What is held changes no decision.
#[must_use]
pub fn evaluate_standing(revision: &Revision, subject: &Subject, held: &[Grant], as_of: Instant) -> Evaluation {
    if !subject.document.is_active() {
        return Evaluation::outcome(Outcome::Inactive);
    }
    let dates = match revision.calendar.in_document(&subject.document) {
        Ok(dates) => dates,
        Err(note) => return Evaluation::outcome(Outcome::Refused(note)),
    };
    if dates.ended_at(as_of) {
        return Evaluation { dates, ..Evaluation::outcome(Outcome::Ended) };
    }
    let asking = Asking::about(revision, subject, as_of);
    let mut calls = Vec::new();
    let mapping = match asking.map(&mut calls) {
        Ok(mapping) => mapping,
        Err(fault) => return Evaluation { calls, dates, ..Evaluation::outcome(Outcome::Fault(fault_of(&fault))) },
    };
    let (shape, provenance) = match mapping {
        Mapping::Account { shape, provenance } => (shape, provenance),
        Mapping::OutOfScope { reason } => return Evaluation { calls, dates, ..Evaluation::outcome(Outcome::OutOfScope(reason)) },
        Mapping::Refused { code, path, message } => {
            let note = Note { code, path, message };
            return Evaluation { calls, dates, ..Evaluation::outcome(Outcome::Refused(note)) };
        }
    };
    let dates = match revision.calendar.with_tags(dates, &shape) {
        Ok(dates) => dates,
        Err(note) => return Evaluation { calls, dates, ..Evaluation::outcome(Outcome::Refused(note)) },
    };
    if dates.ended_at(as_of) {
        return Evaluation { calls, dates, ..Evaluation::outcome(Outcome::Ended) };
    }
    if let Some(holder) = &subject.collision {
        let outcome = Outcome::Collision(Box::new(shape), holder.clone());
        return Evaluation { calls, dates, provenance, ..Evaluation::outcome(outcome) };
    }
    let proposed = match asking.propose(&shape, &mut calls) {
        Ok(proposed) => proposed,
        Err(fault) => return Evaluation { calls, dates, ..Evaluation::outcome(Outcome::Fault(fault_of(&fault))) },
    };
    let principal = principal(subject, &shape);
    let roles = proposed.keys().cloned().collect();
    let mut decision = revision.policies.decide(&principal, &roles, as_of.timestamp());
    for granted in &mut decision.grants {
        name_nomination(&mut granted.reasons, proposed.get(&granted.role));
    }
    let given =
        |role: &str| decision.grants.iter().any(|grant| grant.role == role) || decision.errors.iter().any(|error| error.role == role);
    let not_given: Vec<String> =
        subject.excepted.iter().filter(|role| !decision.grants.iter().any(|granted| granted.role == **role)).cloned().collect();
    let forbidden = revision.policies.forbidden(&principal, &not_given, &roles, as_of.timestamp());
    let lost = held.iter().filter(|grant| !given(&grant.role.0)).map(|grant| {
        let role = grant.role.0.as_str();
        revision.policies.loss(&principal, role, &grant.reasons, proposed.contains_key(role), as_of.timestamp())
    });
    let lost = lost.collect();
    let undecided = decision
        .errors
        .into_iter()
        .map(|error| Undecided {
            note: Note {
                code: "policy_error".into(),
                path: None,
                message: format!("policy `{}` failed for role `{}`: {}", error.policy, error.role, error.message),
            },
            role: error.role,
        })
        .collect();
    Evaluation {
        outcome: Outcome::Account(Box::new(shape)),
        provenance,
        roles: decision.grants,
        undecided,
        forbidden,
        lost,
        dates,
        next_change: decision.next_change.map(Instant::from),
        calls,
    }
}

/// What Cedar is asked about: shared with explanation, so that both see the same person.
#[must_use]
pub fn principal<'a>(subject: &'a Subject, shape: &'a AccountShape) -> Principal<'a> {
    Principal::of(subject.user.as_str(), subject.connection.as_str(), shape, &subject.groups)
}

/// The roles that the tenant's plugin nominates for an account of this shape, each with why.
///
/// # Errors
/// The plugin's fault.
pub fn nominations(revision: &Revision, subject: &Subject, shape: &AccountShape, as_of: Instant) -> Result<Nominations, PluginFault> {
    Asking::about(revision, subject, as_of).propose(shape, &mut Vec::new())
}

/// Puts the plugin's words beside the reasons that rest on its nomination.
pub fn name_nomination(reasons: &mut [Reason], because: Option<&Option<String>>) {
    for reason in reasons.iter_mut().filter(|reason| reason.proposed) {
        reason.nomination = because.cloned().flatten();
    }
}

/// Whether nothing of the tenant's has to be asked about a subject, because it is clear that nothing is given.
#[must_use]
pub fn is_plain(revision: &Revision, subject: &Subject, as_of: Instant) -> bool {
    !subject.document.is_active() || revision.calendar.in_document(&subject.document).is_ok_and(|dates| dates.ended_at(as_of))
}

/// What a tenant's plugins are asked with, made once for both hooks.
struct Asking<'a> {
    revision: &'a Revision,
    connection: &'a str,
    user: serde_json::Value,
    handles: Vec<&'a str>,
    as_of: jiff::Timestamp,
}

impl<'a> Asking<'a> {
    fn about(revision: &'a Revision, subject: &'a Subject, as_of: Instant) -> Self {
        Self {
            revision,
            connection: subject.connection.as_str(),
            user: subject.document.to_value(),
            handles: subject.groups.iter().map(|group| group.handle.as_str()).collect(),
            as_of: as_of.timestamp(),
        }
    }

    fn call<'c>(&'c self, bound: &'c Bound) -> Call<'c> {
        Call {
            as_of: self.as_of,
            connection: self.connection,
            settings: &bound.settings,
            user: &self.user,
            groups: &self.handles,
            tables: &self.revision.tables,
        }
    }

    fn map(&self, calls: &mut Vec<HookCall>) -> Result<Mapping, PluginFault> {
        let Some(bound) = &self.revision.transform else {
            let declared = self.revision.tags.as_ref();
            return Ok(declared.map_or_else(|| Mapping::default_for(&self.user), |tags| Mapping::default_with(&self.user, tags)));
        };
        let mut seen = Seen::default();
        let answer =
            bound.plugin.transform_seen(&self.call(bound), &mut seen).and_then(|answer| declared(answer, self.revision.tags.as_ref()));
        let failing = match &answer {
            Err(fault) => self.failing(bound, &seen, None, Why::Fault(fault)),
            Ok(Mapping::Refused { code, path, message }) if self.revision.failures.refusals => {
                self.failing(bound, &seen, None, Why::Refusal(code, path.as_deref(), message))
            }
            Ok(_) => None,
        };
        calls.push(told("transform-user", bound, answer.as_ref().err(), seen, failing));
        answer
    }

    fn propose(&self, shape: &AccountShape, calls: &mut Vec<HookCall>) -> Result<Nominations, PluginFault> {
        let Some(bound) = &self.revision.propose else { return Ok(Nominations::new()) };
        let mut seen = Seen::default();
        let answer = bound.plugin.propose_seen(&self.call(bound), shape, &mut seen);
        let failing = answer.as_ref().err().and_then(|fault| self.failing(bound, &seen, Some(shape), Why::Fault(fault)));
        calls.push(told("propose-roles", bound, answer.as_ref().err(), seen, failing));
        Ok(answer?.into_iter().map(|proposal| (proposal.role, proposal.because)).collect())
    }

    /// What is kept of a call that failed. A call that found no slot was none.
    fn failing(&self, bound: &Bound, seen: &Seen, shape: Option<&AccountShape>, why: Why<'_>) -> Option<Failing> {
        let (kind, code, path, message, limit) = match why {
            Why::Fault(PluginFault::NoSlot { .. }) => return None,
            Why::Fault(fault) => (FailureKind::Fault, fault.code(), fault.path(), fault.to_string(), fault.limit()),
            Why::Refusal(code, path, message) => (FailureKind::Refusal, code, path, message.to_owned(), None),
        };
        let silent = self.revision.failures.keep == Keep::None;
        let in_its_words = matches!(why, Why::Fault(PluginFault::NoVerdict { .. }) | Why::Refusal(..));
        let hidden = silent && in_its_words;
        let detail = FailureDetail {
            message: if hidden { "the tenant's `[plugins.failures]` keeps no words of the plugin".into() } else { message },
            path: path.filter(|_| !hidden).map(str::to_owned),
            limit,
            spent: seen.usage.into(),
            backtrace: seen.backtrace.clone(),
            logs: if silent { Vec::new() } else { seen.logs.clone() },
        };
        Some(Failing { kind, code: code.to_owned(), detail, input: self.input(bound, shape) })
    }

    /// What the plugin was asked, masked by the tenant's rules; or why that is not kept.
    fn input(&self, bound: &Bound, shape: Option<&AccountShape>) -> Result<CallInput, String> {
        let rules = &self.revision.failures;
        if rules.keep == Keep::None {
            return Err("the tenant's `[plugins.failures]` keeps no inputs".into());
        }
        let mut user = bound.plugin.sees(&self.user, &bound.settings);
        let mut masked = rules.redact_user(&mut user);
        let mut account = shape.map(|shape| serde_json::to_value(shape).unwrap_or_default());
        if let Some(account) = &mut account {
            masked.extend(rules.redact_account(account));
        }
        let groups: Vec<String> = self.handles.iter().map(|&handle| handle.to_owned()).collect();
        let input = CallInput { as_of: Instant::from(self.as_of), user, groups, account, masked };
        let bytes = serde_json::to_string(&input).map_or(usize::MAX, |text| text.len());
        FailureRules::too_large(bytes).map_or(Ok(input), Err)
    }
}

/// Why a call is kept.
#[derive(Clone, Copy)]
enum Why<'a> {
    Fault(&'a PluginFault),
    /// The plugin's code, path and sentence.
    Refusal(&'a str, Option<&'a str>, &'a str),
}

fn told(hook: &'static str, bound: &Bound, fault: Option<&PluginFault>, seen: Seen, failing: Option<Failing>) -> HookCall {
    let (fuel, result) = (seen.usage.fuel, fault.map_or(Ok(seen.usage), |fault| Err(fault.code())));
    let silent = seen.logs.is_empty() && failing.is_none();
    let told = (!silent).then(|| Box::new(Told { digest: bound.plugin.digest().to_owned(), logs: seen.logs, failing }));
    HookCall { hook, plugin: bound.plugin.label(), result, fuel, told }
}

fn fault_of(fault: &PluginFault) -> Fault {
    let note = Note { code: Note::PLUGIN_FAULT.into(), path: fault.path().map(str::to_owned), message: fault.to_string() };
    Fault { note, code: fault.code(), infrastructure: fault.is_infrastructure() }
}

/// A plugin's answer, where it keeps to the tags that the tenant declares.
///
/// # Errors
/// `InvalidAnswer`, with the tag's place in the answer.
pub fn declared(answer: Mapping, declared: Option<&DeclaredTags>) -> Result<Mapping, PluginFault> {
    if let (Mapping::Account { shape, .. }, Some(declared)) = (&answer, declared)
        && let Some((tag, problem)) = shape.undeclared(declared)
    {
        // A JSON pointer (RFC 6901 §3) into the answer.
        let path = format!("/account/json/tags/{}", tag.replace('~', "~0").replace('/', "~1"));
        return Err(PluginFault::InvalidAnswer { path, problem: problem.into() });
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::{Sandbox, SandboxConfig};

    const SETTINGS: &str = "name = \"T\"\n[[roles]]\nid = \"mail\"\n[[roles]]\nid = \"wiki\"\nrisk = 1\n";
    const POLICIES: &str = r#"
        @id("staff") @reason("staff") permit(principal in Rolecall::Group::"staff", action, resource)
        when { context.asOf < datetime("2026-06-01") };
        @id("broken") forbid(principal, action, resource == Rolecall::Role::"wiki")
        when { resource.risk + 9223372036854775807 > 0 };
    "#;

    fn revision(policies: &str) -> Revision {
        let files = [("tenant.toml", SETTINGS), ("policies/a.cedar", policies)];
        let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect();
        Revision::build(&files, &Sandbox::new(&SandboxConfig::default()).unwrap()).unwrap_or_else(|found| panic!("{found:?}"))
    }

    fn subject(user: &Value, handles: &[&str]) -> Subject {
        Subject {
            user: "u1".into(),
            connection: "c1".into(),
            document: Document::from_stored(&user.to_string()).unwrap(),
            groups: handles.iter().map(|&handle| GroupMembership { handle: handle.into(), chain: vec![handle.into()] }).collect(),
            collision: None,
            excepted: Vec::new(),
        }
    }

    fn at(text: &str) -> Instant {
        Instant::from(text.parse::<jiff::Timestamp>().unwrap())
    }

    #[test]
    fn a_policy_that_fails_leaves_its_role_undecided_and_the_others_decided() {
        let evaluation = evaluate(&revision(POLICIES), &subject(&json!({"userName": "robin"}), &["staff"]), at("2026-05-01T00:00:00Z"));
        assert!(matches!(&evaluation.outcome, Outcome::Account(shape) if shape.user_name == "robin"));
        let roles: Vec<&str> = evaluation.roles.iter().map(|granted| granted.role.as_str()).collect();
        assert_eq!(roles, ["mail"]);
        let undecided: Vec<(&str, &str)> = evaluation.undecided.iter().map(|role| (role.role.as_str(), role.note.code.as_str())).collect();
        assert_eq!(undecided, [("wiki", "policy_error")]);
        assert_eq!(evaluation.next_change, Some(at("2026-06-01T00:00:00Z")));
        assert_eq!(evaluation.provenance["user_name"], "userName");
    }

    #[test]
    fn inactive_people_are_neither_mapped_nor_asked_about_and_absent_is_not_inactive() {
        let revision = revision(POLICIES);
        let outcome = |user: Value| evaluate(&revision, &subject(&user, &["staff"]), at("2026-05-01T00:00:00Z"));
        assert_eq!(outcome(json!({"active": false})), Evaluation::outcome(Outcome::Inactive));
        assert!(!outcome(json!({"userName": "robin"})).roles.is_empty());
        assert!(!outcome(json!({"userName": "robin", "active": true})).roles.is_empty());
    }

    #[test]
    fn an_answer_is_held_against_declared_tags() {
        let declaring = |tags: &str| {
            let files = [("tenant.toml", format!("{SETTINGS}{tags}")), ("policies/a.cedar", POLICIES.to_owned())];
            let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect();
            Revision::build(&files, &Sandbox::new(&SandboxConfig::default()).unwrap()).unwrap_or_else(|found| panic!("{found:?}"))
        };
        let dated = "[tags.\"a/b\"]\nvalues = [\"x\"]\n[processes]\ntime_zone = \"UTC\"\nend_date_tag = \"last\"\n";
        let revision = declaring(dated);
        let answer = |tag: &str, value: &str| {
            let tags = [(tag.to_owned(), [value.to_owned()].into())].into();
            let shape = AccountShape { user_name: "robin".into(), tags, ..AccountShape::default() };
            declared(Mapping::Account { shape, provenance: BTreeMap::new() }, revision.tags.as_ref())
        };
        assert!(answer("a/b", "x").is_ok() && answer("last", "2031-01-01").is_ok(), "a date's tag is declared by that");
        let refused = answer("a/b", "secret").unwrap_err();
        assert_eq!((refused.code(), refused.path()), ("invalid_answer", Some("/account/json/tags/a~1b")));
        assert!(!refused.to_string().contains("secret") && !refused.is_infrastructure(), "{refused}");
        assert_eq!(answer("team", "x").unwrap_err().path(), Some("/account/json/tags/team"));
        let undeclaring = declaring("");
        let shape = AccountShape { tags: [("team".to_owned(), ["x".to_owned()].into())].into(), ..AccountShape::default() };
        assert!(
            declared(Mapping::Account { shape, provenance: BTreeMap::new() }, undeclaring.tags.as_ref()).is_ok(),
            "nothing is declared"
        );
        // Without a plugin the person's own words are held against it.
        let revision = declaring("[tags.roles]\nvalues = [\"clerk\"]\n");
        let of = |role: &str| {
            let user = subject(&json!({"userName": "robin", "roles": [{"value": role}], "entitlements": [{"value": "e"}]}), &["staff"]);
            evaluate(&revision, &user, at("2026-05-01T00:00:00Z")).outcome
        };
        assert!(matches!(of("clerk"), Outcome::Account(shape) if shape.tags.len() == 1));
        assert!(matches!(of("clrek"), Outcome::Refused(note) if note.code == "undeclared_value" && note.path.as_deref() == Some("roles")));
    }

    #[test]
    fn people_without_an_account_of_their_own_hold_nothing() {
        let revision = revision(POLICIES);
        let refused = evaluate(&revision, &subject(&json!({"userName": "\u{7}"}), &["staff"]), at("2026-05-01T00:00:00Z"));
        assert!(matches!(&refused.outcome, Outcome::Refused(note) if note.code == "invalid_user_name"));
        let held = Subject { collision: Some("other".into()), ..subject(&json!({"userName": "robin"}), &["staff"]) };
        let held = evaluate(&revision, &held, at("2026-05-01T00:00:00Z"));
        assert!(matches!(&held.outcome, Outcome::Collision(shape, holder) if shape.user_name == "robin" && holder.as_str() == "other"));
        let none = Evaluation::without_revision();
        assert!(matches!(&none.outcome, Outcome::Fault(fault) if !fault.infrastructure));
        for evaluation in [refused, held, none] {
            assert!(evaluation.roles.is_empty() && evaluation.undecided.is_empty());
        }
    }
}
