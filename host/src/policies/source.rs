//! From policy files to checked Cedar policies: parsing, annotations, strict validation, names of the catalogue; every problem with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::sync::LazyLock;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic as Labelled;

use super::admin::{ADMIN_POLICIES_LIMIT, ADMIN_SCHEMA};
use super::{DeclaredTags, POLICIES_LIMIT, Role, SCHEMA, rule, scan};
use crate::diagnostic::Diagnostic;

/// How far a policy may follow references between entities: a person's own attributes, and no manager's.
const LEVEL: u32 = 1;
/// The longest `@id` in characters: it is part of every reason that is stored.
const ID_CHARS_LIMIT: usize = 128;
/// The longest `@reason` in characters: it is part of every reason that is stored.
const REASON_CHARS_LIMIT: usize = 500;
/// The longest `@approval` in characters, for the same reason.
const APPROVAL_CHARS_LIMIT: usize = 500;
/// How many names an error offers as alternatives.
const NAMES_OFFERED: usize = 8;

/// What policies are written in: a schema, and what is said of those that can't mean what they say.
struct Language {
    /// The schema's namespace.
    namespace: &'static str,
    /// The folder.
    folder: &'static str,
    /// The most policies.
    limit: usize,
    /// What is said where there are more.
    fewer: &'static str,
    validator: Validator,
    /// What is said of a policy that follows a reference too far.
    too_far: (&'static str, &'static str),
    /// What is said of one that nothing can satisfy.
    impossible: &'static str,
    /// What is said of one whose scope fits no question.
    unfit: &'static str,
}

fn validator(schema: &str) -> Validator {
    let (schema, _) = Schema::from_cedarschema_str(schema).expect("the schema is part of the program and a test parses it");
    Validator::new(schema)
}

/// The policies that say who holds which role.
static ROLES: LazyLock<Language> = LazyLock::new(|| Language {
    namespace: "Rolecall",
    folder: "policies",
    limit: POLICIES_LIMIT,
    fewer: "let groups and families say what many policies say alike",
    validator: validator(SCHEMA),
    too_far: ("a policy may read a person's own attributes, and not those of the manager", "name the manager, or the group, instead"),
    impossible: "no person and role can ever satisfy it: change it, or take it out",
    unfit: "in the scope, the principal is a user, or in a group; the resource is a role, or in a role family",
});

/// The policies that say who decides.
static ADMIN: LazyLock<Language> = LazyLock::new(|| Language {
    namespace: "RolecallAdmin",
    folder: "admin",
    limit: ADMIN_POLICIES_LIMIT,
    fewer: "let admin roles say what many policies say alike",
    validator: validator(ADMIN_SCHEMA),
    too_far: ("an admin policy may read who decides and what about, and nothing beyond", "see `rolecall-admin.cedarschema`"),
    impossible: "nobody can ever decide anything by it: change it, or take it out",
    unfit: "in the scope, the principal is an admin, and the resource is what the action is about: see `rolecall-admin.cedarschema`",
});

/// The schema of admin policies.
pub(super) fn admin_schema() -> &'static Schema {
    ADMIN.validator.schema()
}

/// One policy with where it stands.
pub(super) struct Placed<'a> {
    file: &'a str,
    text: &'a str,
    range: Range<usize>,
    head: usize,
    pub policy: Policy,
}

impl Placed<'_> {
    pub(super) fn problem(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.file, self.text, self.head..self.range.end, message)
    }

    /// A problem at the last place in the policy where `needle` stands: conditions follow the scope.
    pub(super) fn problem_in_condition(&self, needle: &str, message: impl Into<String>) -> Diagnostic {
        let found = self.text[self.range.clone()].rfind(needle).map(|at| self.range.start + at..self.range.start + at + needle.len());
        Diagnostic::at(self.file, self.text, found.unwrap_or(self.head..self.range.end), message)
    }

    /// A problem at the first place in the policy where `needle` stands.
    pub(super) fn problem_at(&self, needle: &str, message: impl Into<String>) -> Diagnostic {
        let found = self.text[self.range.clone()].find(needle).map(|at| self.range.start + at..self.range.start + at + needle.len());
        Diagnostic::at(self.file, self.text, found.unwrap_or(self.head..self.range.end), message)
    }
}

/// Reads and checks all files; without a catalogue all but the roles that they name. The policies have their `@id` as policy id.
pub(super) fn read(sources: &[(String, String)], roles: Option<&[Role]>) -> Result<Vec<Policy>, Vec<Diagnostic>> {
    Ok(read_placed(sources, roles)?.into_iter().map(|placed| placed.policy).collect())
}

/// The same, each with where it stands.
pub(super) fn read_placed<'a>(sources: &'a [(String, String)], roles: Option<&[Role]>) -> Result<Vec<Placed<'a>>, Vec<Diagnostic>> {
    read_in(&ROLES, sources, roles)
}

/// The same of admin policies.
pub(super) fn read_admin<'a>(sources: &'a [(String, String)], roles: Option<&[Role]>) -> Result<Vec<Placed<'a>>, Vec<Diagnostic>> {
    read_in(&ADMIN, sources, roles)
}

fn read_in<'a>(language: &Language, sources: &'a [(String, String)], roles: Option<&[Role]>) -> Result<Vec<Placed<'a>>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut placed = Vec::new();
    for (file, text) in sources {
        match parse(file, text) {
            Ok(found) => placed.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if placed.len() > language.limit {
        let message = format!("there are {} policies: at most {} are allowed", placed.len(), language.limit);
        return Err(vec![Diagnostic::of_file(language.folder, message).with_help(language.fewer)]);
    }
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for (number, placed) in placed.iter_mut().enumerate() {
        problems.extend(check_annotations(placed, &mut ids));
        problems.extend(roles.into_iter().flat_map(|roles| check_names(language, placed, roles)));
        problems.extend(check_time(placed));
        // Policies that lack an id of their own are validated too: all problems at once.
        let own = placed.policy.annotation("id").filter(|id| ids.get(*id).is_some_and(|at| *at == place(placed)));
        let id = own.map_or_else(|| format!("policy {number}"), str::to_owned);
        placed.policy = placed.policy.new_id(PolicyId::new(id));
    }
    problems.extend(validate(language, &placed));
    if problems.is_empty() { Ok(placed) } else { Err(problems) }
}

/// The policies with their texts by `@id`, of the files that can be parsed.
pub(super) fn policies_by_id(sources: &[(String, String)]) -> BTreeMap<String, (Policy, String)> {
    let parsed = sources.iter().filter_map(|(file, text)| parse(file, text).ok()).flatten();
    let by_id = |placed: Placed<'_>| {
        let text = placed.text[placed.range.clone()].to_owned();
        Some((placed.policy.annotation("id")?.to_owned(), (placed.policy, text)))
    };
    parsed.filter_map(by_id).collect()
}

/// See [`super::incomparable`].
pub(super) fn incomparable(sources: &[(String, String)]) -> Vec<Diagnostic> {
    let of = |(file, text): &(String, String)| match parse(file, text) {
        Ok(placed) => placed.iter().filter(|placed| placed.policy.annotation("id").is_none_or(str::is_empty)).map(without_id).collect(),
        Err(problems) => problems,
    };
    sources.iter().flat_map(of).collect()
}

fn without_id(placed: &Placed<'_>) -> Diagnostic {
    placed.problem("the policy has no `@id`").with_help("write `@id(\"a-short-name\")` in front of it").with_code("no_id")
}

/// See [`super::texts_by_id`].
pub(super) fn texts_by_id(sources: &[(String, String)]) -> BTreeMap<String, String> {
    policies_by_id(sources).into_iter().map(|(id, (_, text))| (id, text)).collect()
}

fn place(placed: &Placed<'_>) -> String {
    format!("{}:{}", placed.file, placed.text[..placed.range.start].matches('\n').count() + 1)
}

pub(super) fn parse<'a>(file: &'a str, text: &'a str) -> Result<Vec<Placed<'a>>, Vec<Diagnostic>> {
    let statements = scan::statements(file, text)?;
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|error| labelled(file, text, error, error.to_string())).collect::<Vec<_>>()
    })?;
    let mut placed = Vec::new();
    let mut problems = Vec::new();
    for (number, scan::Statement { range, head }) in statements.into_iter().enumerate() {
        // Cedar numbers a file's statements in their order.
        match set.policy(&PolicyId::new(format!("policy{number}"))) {
            Some(policy) => placed.push(Placed { file, text, range, head, policy: policy.clone() }),
            None => problems.push(
                Diagnostic::at(file, text, head..range.end, "templates are not allowed: a policy may not use `?principal` or `?resource`")
                    .with_help("name the group or the role"),
            ),
        }
    }
    if problems.is_empty() { Ok(placed) } else { Err(problems) }
}

/// Cedar's word on a problem, at the place that it marks.
fn labelled(file: &str, text: &str, error: &(impl Labelled + Display), message: String) -> Diagnostic {
    let label = error.labels().and_then(|mut labels| labels.next());
    let diagnostic = match label {
        Some(label) => {
            // "expected `;`" and the like stand in the label, not in the message.
            let message = label.label().filter(|text| !text.is_empty()).map_or(message.clone(), |text| format!("{message}: {text}"));
            Diagnostic::at(file, text, label.offset()..label.offset() + label.len(), message)
        }
        None => Diagnostic::of_file(file, message),
    };
    match error.help() {
        Some(help) => diagnostic.with_help(help.to_string()),
        None => diagnostic,
    }
}

fn check_annotations(placed: &Placed<'_>, ids: &mut BTreeMap<String, String>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    match placed.policy.annotation("id") {
        None | Some("") => problems.push(without_id(placed)),
        Some(id) if id.chars().count() > ID_CHARS_LIMIT || id.chars().any(char::is_control) => {
            problems.push(
                placed.problem_at("@id", format!("an `@id` has at most {ID_CHARS_LIMIT} characters, none of them a control character")),
            );
        }
        Some(id) => match ids.get(id) {
            Some(first) => {
                problems.push(
                    placed
                        .problem_at("@id", format!("`@id(\"{id}\")` is taken by the policy at {first}"))
                        .with_help("ids are unique over all files"),
                );
            }
            None => {
                ids.insert(id.to_owned(), place(placed));
            }
        },
    }
    match placed.policy.annotation("reason") {
        None | Some("") if placed.policy.effect() == Effect::Permit => problems.push(
            placed
                .problem("the policy has no `@reason`")
                .with_help("write `@reason(\"why people have the role\")` in front of it: it is shown with every grant")
                .with_code("no_reason"),
        ),
        Some(reason) if reason.chars().count() > REASON_CHARS_LIMIT => {
            problems.push(placed.problem_at("@reason", format!("a `@reason` has at most {REASON_CHARS_LIMIT} characters")));
        }
        _ => {}
    }
    problems.extend(check_approval(placed));
    problems
}

/// What `@approval` says is shown to whoever is asked.
fn check_approval(placed: &Placed<'_>) -> Option<Diagnostic> {
    let asks = placed.policy.annotation("approval")?;
    let at = |message: String| Some(placed.problem_at("@approval", message));
    match () {
        () if placed.policy.effect() == Effect::Forbid => {
            Some(at("`@approval` goes with a `permit`: what is forbidden is not asked about".into())?.with_help("take it out"))
        }
        () if asks.trim().is_empty() => Some(
            at("`@approval` says nothing".into())?
                .with_help("say what is asked of whoever approves, `@approval(\"the owner of the ledger agrees\")`, or `\"required\"`"),
        ),
        () if asks.chars().count() > APPROVAL_CHARS_LIMIT || asks.chars().any(char::is_control) => {
            at(format!("an `@approval` has at most {APPROVAL_CHARS_LIMIT} characters, none of them a control character"))
        }
        () => None,
    }
}

/// Roles and families that the catalogue does not have: a policy about them would silently do nothing.
fn check_names(language: &Language, placed: &Placed<'_>, roles: &[Role]) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let families: BTreeSet<&str> = roles.iter().flat_map(|role| role.families.iter().map(String::as_str)).collect();
    for literal in placed.policy.entity_literals() {
        let id: &str = literal.id().unescaped();
        if literal.type_name().namespace() != language.namespace {
            continue;
        }
        let (what, code, known): (&str, &str, Vec<&str>) = match literal.type_name().basename() {
            "Role" => ("role", "unknown_role", roles.iter().map(|role| role.id.as_str()).collect()),
            "RoleFamily" => ("role family", "unknown_family", families.iter().copied().collect()),
            _ => continue,
        };
        if known.contains(&id) || !seen.insert(literal.to_string()) {
            continue;
        }
        let written = format!("{}::\"{}\"", literal.type_name().basename(), id.escape_debug());
        let problem = placed.problem_at(&written, format!("the catalogue has no {what} `{id}`"));
        let help = format!("add it under `[[roles]]` in tenant.toml, or name one that is there: {}", offered(&known));
        problems.push(problem.with_help(help).with_code(code));
    }
    problems
}

fn offered(known: &[&str]) -> String {
    if known.is_empty() {
        return "(there is none)".into();
    }
    let mut names = known.iter().take(NAMES_OFFERED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if known.len() > NAMES_OFFERED {
        names.push_str(" …");
    }
    names
}

/// Arithmetic on time: Rolecall evaluates a person again on the dates that policies name, and could not know of others.
fn check_time(placed: &Placed<'_>) -> Option<Diagnostic> {
    const ARITHMETIC: [&str; 4] = ["offset", "durationSince", "toDate", "toTime"];
    let json = placed.policy.to_json().ok()?;
    let used = ARITHMETIC.into_iter().find(|name| rule::bodies(&json).any(|body| rule::calls(body, name)))?;
    let message = format!("`{used}` is not allowed: a policy may only compare `context.asOf` with dates");
    Some(
        placed.problem_in_condition(used, message).with_help(
            "write the date, `context.asOf < datetime(\"2027-01-31\")`: people are evaluated again on the dates that policies name",
        ),
    )
}

/// See [`super::check_tags`].
pub(super) fn check_tags(sources: &[(String, String)], declared: &DeclaredTags) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for placed in sources.iter().filter_map(|(file, text)| parse(file, text).ok()).flatten() {
        let Ok(json) = placed.policy.to_json() else { continue };
        let named: BTreeSet<rule::Tag> = rule::bodies(&json).flat_map(rule::tags).collect();
        for rule::Tag { name, value } in named {
            let (message, known, wrong) = match (declared.get(&name), value) {
                (None, None) => {
                    (format!("the tag `{name}` is not declared"), declared.keys().map(String::as_str).collect::<Vec<_>>(), name)
                }
                (Some(values), Some(value)) if !values.is_empty() && !values.contains(&value) => {
                    let message = format!("the tag `{name}` is not declared to have the value `{value}`");
                    (message, values.iter().map(String::as_str).collect(), value)
                }
                _ => continue,
            };
            let problem = placed.problem_in_condition(&format!("\"{}\"", wrong.escape_debug()), message);
            let help = format!("declare it under `[tags]` in tenant.toml, or name one that is there: {}", offered(&known));
            problems.push(problem.with_help(help).with_code("unknown_tag"));
        }
    }
    problems
}

fn validate(language: &Language, placed: &[Placed<'_>]) -> Vec<Diagnostic> {
    let set = match PolicySet::from_policies(placed.iter().map(|placed| placed.policy.clone())) {
        Ok(set) => set,
        Err(error) => return vec![Diagnostic::of_file(language.folder, error.to_string())],
    };
    let by_id: BTreeMap<&PolicyId, &Placed<'_>> = placed.iter().map(|placed| (placed.policy.id(), placed)).collect();
    let result = language.validator.validate_with_level(&set, ValidationMode::Strict, LEVEL);
    let mut problems = Vec::new();
    let mut refused: BTreeSet<&PolicyId> = BTreeSet::new();
    for error in result.validation_errors() {
        refused.insert(error.policy_id());
        let problem = refusal(&by_id, error.policy_id(), error);
        problems.push(match error {
            ValidationError::EntityDerefLevelViolation(_) => {
                Diagnostic { message: language.too_far.0.into(), help: Some(language.too_far.1.into()), ..problem }
            }
            _ => problem,
        });
    }
    // A warning is of a policy that can't mean what it says; where an error says why, that is enough. Text in several scripts is
    // what some organisations have.
    for warning in result.validation_warnings().filter(|warning| !matches!(warning, ValidationWarning::MixedScriptString(_))) {
        if refused.insert(warning.policy_id()) {
            let problem = refusal(&by_id, warning.policy_id(), warning);
            let help = match warning {
                ValidationWarning::ImpossiblePolicy(_) => Some(language.impossible.into()),
                ValidationWarning::InvalidActionApplication(_) => Some(language.unfit.into()),
                _ => problem.help.clone(),
            };
            problems.push(Diagnostic { help, ..problem });
        }
    }
    problems
}

fn refusal(by_id: &BTreeMap<&PolicyId, &Placed<'_>>, id: &PolicyId, error: &(impl Labelled + Display)) -> Diagnostic {
    // The place says which policy is meant.
    let prefix = format!("for policy `{id}`");
    let bare = |text: &str| text.strip_prefix(&prefix).unwrap_or(text).trim_start_matches([',', ':', ' ']).to_owned();
    let message = bare(&error.to_string());
    let Some(placed) = by_id.get(id) else { return Diagnostic::of_file("policies", message) };
    let found = labelled(placed.file, placed.text, error, message.clone());
    // Cedar marks a whole policy from its annotations on.
    let start = Diagnostic::at(placed.file, placed.text, placed.range.start..placed.range.start, "");
    let whole = found.line.is_none() || (found.line, found.column) == (start.line, start.column);
    let found = if whole { Diagnostic { help: found.help, ..placed.problem(message) } } else { found };
    Diagnostic { help: found.help.map(|help| bare(&help)), ..found }
}

#[cfg(test)]
pub(super) fn schema() -> &'static Schema {
    ROLES.validator.schema()
}
