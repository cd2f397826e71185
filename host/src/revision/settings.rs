//! `tenant.toml`: the name, the role catalogue, which plugins with which settings, declared group handles, decisions, small schemas.

mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rolecall_scim::schema::Schema;
use serde::Deserialize;
use toml::Spanned;

use super::{FailureRules, HANDLE_CHARS_LIMIT, folded_name};
use crate::diagnostic::Diagnostic;
use crate::mapping::{TAG_VALUES_LIMIT, TAGS_LIMIT, TEXT_BYTES_LIMIT};
use crate::model::{
    ActivationSettings, ApprovalSettings, DecisionSettings, GuardSettings, Handle, PROBE_MINUTES, PROBE_NAMES_LIMIT, ProbeSettings,
    ProcessSettings, ReviewSettings,
};
use crate::policies::{DeclaredTags, ROLES_LIMIT, Role};

/// The longest name of a tenant, in characters.
const NAME_CHARS_LIMIT: usize = 200;
/// The longest id of a role or name of a family or application, in characters: stored with every grant.
const ID_CHARS_LIMIT: usize = 128;
/// The longest description of a role, in characters.
const DESCRIPTION_CHARS_LIMIT: usize = 1_000;
/// The longest name of a role's owner, in characters: as long as an owner of anything else.
const ROLE_OWNER_CHARS_LIMIT: usize = 200;
/// The most families of a role: each is a parent to Cedar.
const FAMILIES_LIMIT: usize = 16;
/// The most declared handles: every group's name is looked up in them.
const HANDLES_LIMIT: usize = 5_000;
/// The longest time that a grant is retained over a fault, in hours: 30 days, beyond which nobody is repairing anything.
const RETAIN_HOURS_LIMIT: u32 = 720;
/// The longest time that a fresh revision is watched, in hours: 30 days, beyond which what changes is not its doing.
const WATCH_HOURS_LIMIT: u32 = 720;
/// The longest window of the guard, in hours: 30 days, beyond which what was counted is no one event any more.
const GUARD_HOURS_LIMIT: u32 = 720;
/// The most people that the guard may be told to let pass in a window: each is remembered while it lasts.
const GUARD_PEOPLE_LIMIT: u32 = 10_000;
/// The longest time that a request for an approval stands, in hours: 90 days.
const APPROVAL_HOURS_LIMIT: u32 = 2_160;
/// The longest time that somebody who moved keeps old roles, in days: a quarter, beyond which nobody is handing anything over.
const OVERLAP_DAYS_LIMIT: u32 = 90;
/// The longest retention of removed accounts, in days: ten years.
const RETAIN_DAYS_LIMIT: u32 = 3_660;
/// The longest time that a target may be given to acknowledge a departure, in hours: 30 days.
const TARGET_HOURS_LIMIT: u32 = 720;
/// The earliest reminder of somebody's end, in days before it.
const REMIND_DAYS_LIMIT: u32 = 90;
/// The most people that a fresh revision may be allowed to turn away: each is remembered while it is watched.
const TURNED_AWAY_LIMIT: u32 = 10_000;
/// The most people about whom something may be other than when a simulation began: they are counted with each activation.
const MOVED_LIMIT: u32 = 100_000;

/// What a sound `tenant.toml` says.
pub(super) struct Settings {
    pub name: String,
    pub decisions: DecisionSettings,
    pub activation: ActivationSettings,
    pub guard: GuardSettings,
    pub approvals: ApprovalSettings,
    pub processes: ProcessSettings,
    pub probes: ProbeSettings,
    /// Where they stand, for what is found with them later.
    pub processes_at: Diagnostic,
    pub transform: Option<Hook>,
    pub propose: Option<Hook>,
    pub failures: FailureRules,
    /// Where they stand, for what is found with them later.
    pub failures_at: Diagnostic,
    pub roles: Vec<Role>,
    pub declared_handles: BTreeMap<String, Handle>,
    /// The tags that the mapping derives, where the tenant declares them.
    pub tags: Option<DeclaredTags>,
    /// Each with a diagnostic that stands where it does and has no message yet.
    pub schemas: Vec<(Schema, Diagnostic)>,
}

/// A plugin for one hook.
pub(super) struct Hook {
    pub file: String,
    pub settings_json: String,
    at: Diagnostic,
    settings_at: Diagnostic,
}

impl Hook {
    pub(super) fn problem(&self, message: String) -> Diagnostic {
        Diagnostic { message, ..self.at.clone() }
    }

    pub(super) fn settings_problem(&self, message: String) -> Diagnostic {
        Diagnostic { message, ..self.settings_at.clone() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    decisions: Option<Spanned<DecisionSettings>>,
    activation: Option<Spanned<ActivationSettings>>,
    guard: Option<Spanned<GuardSettings>>,
    approvals: Option<Spanned<ApprovalSettings>>,
    processes: Option<Spanned<ProcessSettings>>,
    reviews: Option<Spanned<ReviewSettings>>,
    probes: Option<Spanned<ProbeSettings>>,
    #[serde(default)]
    plugins: WrittenHooks,
    #[serde(default)]
    roles: Vec<Spanned<Role>>,
    #[serde(default)]
    groups: BTreeMap<Spanned<String>, Spanned<String>>,
    tags: Option<BTreeMap<Spanned<String>, Spanned<WrittenTag>>>,
    #[serde(default)]
    schemas: Vec<Spanned<Schema>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHooks {
    transform: Option<WrittenHook>,
    propose: Option<WrittenHook>,
    failures: Option<Spanned<FailureRules>>,
}

/// A tag that the mapping derives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTag {
    /// For people.
    #[serde(default)]
    description: String,
    /// The values that it can have; any, where none is named.
    #[serde(default)]
    values: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHook {
    file: Spanned<String>,
    settings: Option<Spanned<toml::Table>>,
}

/// Reads the settings. What is wrong with a part does not hide what is wrong with the others: problems may come with settings.
pub(super) fn read(file: &str, text: &str) -> (Option<Settings>, Vec<Diagnostic>) {
    let place = Place { file, text };
    let written: Written = match toml::from_str(text) {
        Ok(written) => written,
        Err(error) => {
            let message = error.message().trim_end().replace('\n', ", ");
            let problem = match error.span() {
                Some(span) => place.at(span, message),
                None => Diagnostic::of_file(file, message),
            };
            return (None, vec![problem]);
        }
    };
    let mut problems = Vec::new();
    let name = written.name.get_ref().trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_LIMIT || name.chars().any(char::is_control) {
        problems.push(place.at(written.name.span(), format!("the name has 1 to {NAME_CHARS_LIMIT} characters")));
    }
    reviews(&place, written.reviews.as_ref(), &mut problems);
    let roles = roles(&place, written.roles, &mut problems);
    let processes_at = written.processes.as_ref().map_or_else(|| Diagnostic::of_file(file, ""), |written| place.at(written.span(), ""));
    let processes = processes(&place, written.processes, &roles, &mut problems);
    let tags = written.tags.map(|tags| with_dates(declared_tags(&place, tags, &mut problems), &processes));
    let settings = Settings {
        name: name.to_owned(),
        decisions: decisions(&place, written.decisions, &mut problems),
        activation: activation(&place, written.activation, &mut problems),
        guard: guard(&place, written.guard, &mut problems),
        approvals: approvals(&place, written.approvals, &mut problems),
        probes: probes(&place, written.probes, &mut problems),
        processes_at,
        processes,
        transform: written.plugins.transform.map(|hook| hook.read(&place)),
        propose: written.plugins.propose.map(|hook| hook.read(&place)),
        failures_at: written
            .plugins
            .failures
            .as_ref()
            .map_or_else(|| Diagnostic::of_file(file, ""), |written| place.at(written.span(), "")),
        failures: failures(&place, written.plugins.failures, &mut problems),
        roles,
        declared_handles: handles(&place, &written.groups, &mut problems),
        tags,
        schemas: written.schemas.into_iter().map(|schema| (schema.get_ref().clone(), place.at(schema.span(), ""))).collect(),
    };
    (Some(settings), problems)
}

struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn at(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.file, self.text, span, message)
    }
}

impl Settings {
    /// The roles that nobody holds without a person's yes.
    pub(super) fn approved(&self) -> BTreeSet<String> {
        self.roles.iter().filter(|role| role.needs_approval(&self.approvals)).map(|role| role.id.clone()).collect()
    }
}

impl WrittenHook {
    fn read(self, place: &Place<'_>) -> Hook {
        let settings_span = self.settings.as_ref().map_or(self.file.span(), Spanned::span);
        let settings = self.settings.map_or_else(toml::Table::new, Spanned::into_inner);
        Hook {
            at: place.at(self.file.span(), ""),
            settings_at: place.at(settings_span, ""),
            file: self.file.into_inner(),
            settings_json: json(toml::Value::Table(settings)).to_string(),
        }
    }
}

/// TOML as JSON; dates become texts.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(word) => word.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(fields) => fields.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

fn decisions(place: &Place<'_>, written: Option<Spanned<DecisionSettings>>, problems: &mut Vec<Diagnostic>) -> DecisionSettings {
    let Some(written) = written else { return DecisionSettings::default() };
    let decisions = written.get_ref();
    if decisions.retain_hours.max(decisions.retain_privileged_hours) > RETAIN_HOURS_LIMIT {
        let message = format!("a grant can be retained for at most {RETAIN_HOURS_LIMIT} hours");
        problems.push(place.at(written.span(), message));
    }
    written.into_inner()
}

fn activation(place: &Place<'_>, written: Option<Spanned<ActivationSettings>>, problems: &mut Vec<Diagnostic>) -> ActivationSettings {
    let Some(written) = written else { return ActivationSettings::default() };
    let settings = written.get_ref();
    if settings.watch_hours > WATCH_HOURS_LIMIT {
        problems.push(place.at(written.span(), format!("a revision can be watched for at most {WATCH_HOURS_LIMIT} hours")));
    }
    if settings.turned_away_percent > 100 {
        problems.push(place.at(written.span(), "`turned_away_percent` is a share of the people: at most 100"));
    }
    if settings.turned_away_people > TURNED_AWAY_LIMIT {
        problems.push(place.at(written.span(), format!("`turned_away_people` is at most {TURNED_AWAY_LIMIT}")));
    }
    if settings.moved_percent > 100 {
        problems.push(place.at(written.span(), "`moved_percent` is a share of the people: at most 100"));
    }
    if settings.moved_people > MOVED_LIMIT {
        problems.push(place.at(written.span(), format!("`moved_people` is at most {MOVED_LIMIT}")));
    }
    written.into_inner()
}

fn guard(place: &Place<'_>, written: Option<Spanned<GuardSettings>>, problems: &mut Vec<Diagnostic>) -> GuardSettings {
    let Some(written) = written else { return GuardSettings::default() };
    let settings = written.get_ref();
    if !(1..=GUARD_HOURS_LIMIT).contains(&settings.window_hours) {
        problems.push(place.at(written.span(), format!("`window_hours` must be from 1 to {GUARD_HOURS_LIMIT}")));
    }
    if settings.percent.max(settings.privileged_percent) > 100 {
        problems.push(place.at(written.span(), "`percent` and `privileged_percent` are shares of the people: at most 100"));
    }
    let people = [settings.people, settings.at_least, settings.privileged_people, settings.privileged_at_least];
    if people.into_iter().any(|people| people > GUARD_PEOPLE_LIMIT) {
        problems.push(place.at(written.span(), format!("the guard lets at most {GUARD_PEOPLE_LIMIT} people pass")));
    }
    written.into_inner()
}

/// The tags that a mapping may make: those that are declared, and those that dates come from.
fn with_dates(mut declared: DeclaredTags, processes: &ProcessSettings) -> DeclaredTags {
    for tag in [&processes.start_date_tag, &processes.end_date_tag].into_iter().flatten() {
        declared.entry(tag.clone()).or_default();
    }
    declared
}

fn approvals(place: &Place<'_>, written: Option<Spanned<ApprovalSettings>>, problems: &mut Vec<Diagnostic>) -> ApprovalSettings {
    let Some(written) = written else { return ApprovalSettings::default() };
    let settings = written.get_ref();
    if !(1..=APPROVAL_HOURS_LIMIT).contains(&settings.expire_hours) {
        problems.push(place.at(written.span(), format!("`expire_hours` must be from 1 to {APPROVAL_HOURS_LIMIT}")));
    }
    if settings.remind_hours >= settings.expire_hours {
        problems.push(place.at(written.span(), "`remind_hours` must be less than `expire_hours`, or 0 for no reminder"));
    }
    written.into_inner()
}

fn processes(
    place: &Place<'_>,
    written: Option<Spanned<ProcessSettings>>,
    roles: &[Role],
    problems: &mut Vec<Diagnostic>,
) -> ProcessSettings {
    let Some(written) = written else { return ProcessSettings::default() };
    let settings = written.get_ref();
    if settings.overlap_days > OVERLAP_DAYS_LIMIT {
        problems.push(place.at(written.span(), format!("`overlap_days` is at most {OVERLAP_DAYS_LIMIT}")));
    }
    if settings.remind_days > REMIND_DAYS_LIMIT {
        problems.push(place.at(written.span(), format!("`remind_days` is at most {REMIND_DAYS_LIMIT}")));
    }
    if settings.retain_days.is_some_and(|days| !(1..=RETAIN_DAYS_LIMIT).contains(&days)) {
        problems
            .push(place.at(written.span(), format!("`retain_days` must be from 1 to {RETAIN_DAYS_LIMIT}, or left out to erase nobody")));
    }
    if settings.target_hours > TARGET_HOURS_LIMIT {
        problems.push(place.at(written.span(), format!("`target_hours` is at most {TARGET_HOURS_LIMIT}")));
    }
    problems.extend(steps::problems(settings, roles).into_iter().map(|problem| place.at(written.span(), problem)));
    written.into_inner()
}

fn reviews(place: &Place<'_>, written: Option<&Spanned<ReviewSettings>>, problems: &mut Vec<Diagnostic>) {
    let (least, most) = ReviewSettings::KEEP_DAYS;
    if let Some(written) = written.filter(|written| !(least..=most).contains(&written.get_ref().keep_days)) {
        problems.push(place.at(written.span(), format!("`keep_days` must be from {least} to {most}")));
    }
}

fn probes(place: &Place<'_>, written: Option<Spanned<ProbeSettings>>, problems: &mut Vec<Diagnostic>) -> ProbeSettings {
    let Some(written) = written else { return ProbeSettings::default() };
    let (least, most) = PROBE_MINUTES;
    let settings = written.get_ref();
    if !(least..=most).contains(&settings.minutes) {
        problems.push(place.at(written.span(), format!("`minutes` must be from {least} to {most}")));
    }
    if settings.names.len() > PROBE_NAMES_LIMIT || settings.names.iter().any(|name| name.trim().is_empty()) {
        problems.push(place.at(written.span(), format!("`names` has at most {PROBE_NAMES_LIMIT} names, and none is empty")));
    }
    written.into_inner()
}

/// How long reviews are kept by what a `tenant.toml` says: as by default where it says nothing, or can't be read.
pub(super) fn review_keep_days(text: &str) -> u32 {
    let written: Option<Written> = toml::from_str(text).ok();
    written.and_then(|written| written.reviews).map(Spanned::into_inner).unwrap_or_default().keep_days
}

/// How long removed accounts are kept by what a `tenant.toml` says; `None` where they are kept for ever, or the file can't be read.
pub(super) fn retain_days(text: &str) -> Option<u32> {
    let written: Written = toml::from_str(text).ok()?;
    written.processes?.into_inner().retain_days
}

fn failures(place: &Place<'_>, written: Option<Spanned<FailureRules>>, problems: &mut Vec<Diagnostic>) -> FailureRules {
    let Some(written) = written else { return FailureRules::default() };
    problems.extend(written.get_ref().problem().map(|problem| place.at(written.span(), problem)));
    written.into_inner()
}

/// The catalogue without repeats.
fn roles(place: &Place<'_>, written: Vec<Spanned<Role>>, problems: &mut Vec<Diagnostic>) -> Vec<Role> {
    let mut ids = BTreeSet::new();
    let mut roles = Vec::new();
    if let Some(beyond) = written.get(ROLES_LIMIT) {
        problems.push(place.at(beyond.span(), format!("the catalogue has {} roles: at most {ROLES_LIMIT} are allowed", written.len())));
    }
    for role in written.into_iter().take(ROLES_LIMIT) {
        let span = role.span();
        let role = role.into_inner();
        problems.extend(check_role(&role).err().map(|message| place.at(span.clone(), message)));
        if ids.insert(role.id.clone()) {
            roles.push(role);
        } else {
            problems.push(place.at(span, format!("role `{}` is in the catalogue twice", role.id)));
        }
    }
    roles
}

fn declared_tags(
    place: &Place<'_>,
    written: BTreeMap<Spanned<String>, Spanned<WrittenTag>>,
    problems: &mut Vec<Diagnostic>,
) -> DeclaredTags {
    let mut declared = DeclaredTags::new();
    if let Some((beyond, _)) = written.iter().nth(TAGS_LIMIT) {
        problems.push(place.at(beyond.span(), format!("more than {TAGS_LIMIT} tags are declared: no account has as many")));
    }
    for (name, tag) in written.into_iter().take(TAGS_LIMIT) {
        let sound = |text: &str| !text.is_empty() && text.len() <= TEXT_BYTES_LIMIT && !text.chars().any(char::is_control);
        let (at, inner) = (tag.span(), tag.into_inner());
        if !sound(name.get_ref()) || !inner.values.iter().all(|value| sound(value)) {
            problems
                .push(place.at(name.span(), format!("a tag and its values have 1 to {TEXT_BYTES_LIMIT} bytes and no control characters")));
        }
        if inner.values.len() > TAG_VALUES_LIMIT {
            problems
                .push(place.at(at.clone(), format!("the tag has {} values: at most {TAG_VALUES_LIMIT} are allowed", inner.values.len())));
        }
        if inner.description.chars().count() > DESCRIPTION_CHARS_LIMIT {
            problems.push(place.at(at, format!("the description has more than {DESCRIPTION_CHARS_LIMIT} characters")));
        }
        declared.insert(name.into_inner(), inner.values);
    }
    declared
}

fn check_role(role: &Role) -> Result<(), String> {
    let names = [("id", &role.id)].into_iter().chain(role.app.iter().map(|app| ("app", app)));
    for (what, name) in names.chain(role.families.iter().map(|family| ("family", family))) {
        let sound = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
        if name.is_empty() || name.chars().count() > ID_CHARS_LIMIT || !name.chars().all(sound) {
            return Err(format!("the role's {what} `{name}` must have 1 to {ID_CHARS_LIMIT} letters, digits, `-`, `_`, `.`, `:` or `/`"));
        }
    }
    if !(0..=100).contains(&role.risk) {
        return Err(format!("the risk of role `{}` is {}: it must be from 0 to 100", role.id, role.risk));
    }
    if role.families.len() > FAMILIES_LIMIT {
        return Err(format!("role `{}` has {} families: at most {FAMILIES_LIMIT} are allowed", role.id, role.families.len()));
    }
    if role.description.chars().count() > DESCRIPTION_CHARS_LIMIT {
        return Err(format!("the description of role `{}` has more than {DESCRIPTION_CHARS_LIMIT} characters", role.id));
    }
    let sound =
        |owner: &String| !owner.trim().is_empty() && owner.chars().count() <= ROLE_OWNER_CHARS_LIMIT && !owner.contains(char::is_control);
    if role.owner.as_ref().is_some_and(|owner| !sound(owner)) {
        return Err(format!(
            "the owner of role `{}` must have 1 to {ROLE_OWNER_CHARS_LIMIT} characters: a login name or an address",
            role.id
        ));
    }
    Ok(())
}

fn handles(
    place: &Place<'_>,
    written: &BTreeMap<Spanned<String>, Spanned<String>>,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Handle> {
    let mut declared: BTreeMap<String, Handle> = BTreeMap::new();
    if let Some((beyond, _)) = written.iter().nth(HANDLES_LIMIT) {
        problems.push(place.at(beyond.span(), format!("more than {HANDLES_LIMIT} handles are declared")));
    }
    for (handle, display_name) in written.iter().take(HANDLES_LIMIT) {
        let text = handle.get_ref();
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if text.is_empty() || text.len() > HANDLE_CHARS_LIMIT || !text.chars().all(sound) {
            let message = format!("the handle must have 1 to {HANDLE_CHARS_LIMIT} lower-case ASCII letters, digits, `-`, `_` or `.`");
            problems.push(place.at(handle.span(), message));
            continue;
        }
        let name = folded_name(display_name.get_ref());
        if name.is_empty() {
            problems.push(place.at(display_name.span(), "the group's display name is empty"));
        } else if let Some(other) = declared.insert(name, Handle(text.clone())) {
            let message = format!("handle `{other}` is declared for a group of this name already");
            problems.push(place.at(display_name.span(), message).with_help("names are compared in any case"));
        }
    }
    declared
}
