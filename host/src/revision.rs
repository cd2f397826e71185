//! A revision: everything that a tenant customises, read, checked, hashed, immutable.
//!
//! A tenant folder is `tenant.toml`, `policies/*.cedar` and `admin/*.cedar` (their tests, `*.test.json`, beside them), the `plugins/*.wasm` that tenant.toml names (each with its signature, if there
//! is one), `tables/*.csv`, `schemas/*.json` and `tests/*.json`. Whatever is wrong with it is found in one go, with file, line and column.
//!
//! Knows nothing of how revisions are stored or activated, nor of people other than those in golden cases.

mod admin_test;
mod case_file;
mod difference;
mod folder;
mod golden;
mod policy_test;
mod redaction;
mod rulebook;
mod settings;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolecall_scim::schema::{Schema, Schemas};
use unicode_normalization::UnicodeNormalization;

use crate::crypto::sha256_hex;
use crate::diagnostic::Diagnostic;
use crate::mapping::{Calendar, Conditions};
use crate::model::{
    ActivationSettings, ApprovalSettings, DecisionSettings, GuardSettings, Handle, ProbeSettings, ProcessSettings, RevisionHash,
};
use crate::plugins::{Plugin, PluginError, PluginSettings, Sandbox, Tables};
use crate::policies::admin::AdminPolicies;
use crate::policies::{self, DeclaredTags, Policies};

pub use difference::{Difference, FileDifference, Named, diff};
pub use folder::{SETTINGS, SIGNATURE_ENDING, TOTAL_BYTES_LIMIT, is_plugin, read_bounded, read_folder, too_large_together};
pub use golden::GoldenResult;
pub use policy_test::Person;
pub use redaction::{FailureRules, Keep};
pub use rulebook::{Formatted, Rulebook, format, incomparable, is_rule, laid_out, policy_diff};

use admin_test::AdminCase;
use folder::Kind;
use golden::GoldenCase;
use policy_test::PolicyCase;
use settings::{Hook, Settings};

/// The longest handle in characters: handles are compared, stored and shown with every reason.
pub const HANDLE_CHARS_LIMIT: usize = 128;
/// The most problems that one check reports: a reader stops long before, and a hostile folder must not make a report of gigabytes.
const PROBLEMS_LIMIT: usize = 200;

/// A tenant folder's files: path with `/` → contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A plugin with its settings, for one hook.
#[derive(Clone)]
pub struct Bound {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Its settings.
    pub settings: PluginSettings,
}

/// A checked revision, ready to evaluate.
pub struct Revision {
    /// SHA-256 over its files.
    pub hash: RevisionHash,
    /// The tenant's name for people.
    pub name: String,
    /// The mapping plugin.
    pub transform: Option<Bound>,
    /// The nominating plugin.
    pub propose: Option<Bound>,
    /// Lookup tables.
    pub tables: Arc<Tables>,
    /// Policies and the role catalogue.
    pub policies: Policies,
    /// Who may decide.
    pub admin: Arc<AdminPolicies>,
    /// How doubts are settled.
    pub decisions: DecisionSettings,
    /// How the activation of the revision after it is watched.
    pub activation: ActivationSettings,
    /// How many people may be concerned by losses and gains before a person is asked.
    pub guard: GuardSettings,
    /// For how long a request for an approval stands.
    pub approvals: ApprovalSettings,
    /// The roles that nobody holds without a person's yes.
    pub approved: BTreeSet<String>,
    /// SHA-256 over what decides who holds privileged roles: another one needs a second person's eyes.
    pub privilege: String,
    /// How people begin, move and leave.
    pub processes: ProcessSettings,
    /// Clients' own test people and test groups.
    pub probes: ProbeSettings,
    /// Where their dates are.
    pub calendar: Calendar,
    /// Whom their steps are for, where filters say so.
    pub conditions: Conditions,
    /// The tags that a mapping may make, with their values, where the tenant declares them; those that dates come from are among them.
    pub tags: Option<DeclaredTags>,
    /// What is kept of plugin calls that fail.
    pub failures: FailureRules,
    /// The standard schemas and the tenant's extensions.
    pub schemas: Arc<Schemas>,
    /// How many golden cases and policy tests there are.
    pub golden_cases: usize,
    /// Declared handles by folded display name.
    pub declared_handles: BTreeMap<String, Handle>,
}

/// The hash of the files: over each path and content with their lengths, so that no two sets of files read alike.
#[must_use]
pub fn hash(files: &Files) -> RevisionHash {
    let mut canonical = b"rolecall revision 1\n".to_vec();
    for (path, contents) in files {
        for part in [path.as_bytes(), contents] {
            canonical.extend((part.len() as u64).to_be_bytes());
            canonical.extend(part);
        }
    }
    RevisionHash(sha256_hex(&canonical))
}

/// The digest of what decides who holds privileged roles: the policies about them and, where a plugin's nomination counts, all that nominates.
/// Who may decide about them is a part of it, and so is what keeps one person from doing it alone.
fn privilege(policies: &Policies, admin: &AdminPolicies, settings: &Settings, files: &Files, own_admin: bool) -> String {
    let privilege = policies.privilege();
    let nominates = |path: &str| path == SETTINGS || path.starts_with("tables/") || is_plugin(path);
    let nominating = files.iter().filter(|(path, _)| privilege.by_proposal && nominates(path));
    let named = settings.declared_handles.iter().map(|(name, handle)| format!("{handle} = {name}"));
    // What keeps a single person from giving them: whether somebody approves, whether a second one activates, how many gain at once.
    let ApprovalSettings { privileged, second_person, .. } = &settings.approvals;
    let GuardSettings { enabled, privileged_percent, privileged_people, privileged_at_least, .. } = &settings.guard;
    let kept = format!(
        "approvals {privileged} {}, guard {enabled} {privileged_percent} {privileged_people} {privileged_at_least}",
        second_person.word()
    );
    let mut canonical = Vec::new();
    let admin = if own_admin { admin.texts() } else { Vec::new() };
    for part in privilege
        .rules
        .into_iter()
        .chain(named)
        .chain([kept])
        .chain(admin)
        .map(String::into_bytes)
        .chain(nominating.map(|(_, contents)| contents.clone()))
    {
        canonical.extend((part.len() as u64).to_be_bytes());
        canonical.extend(part);
    }
    sha256_hex(&canonical)
}

/// What makes a plugin of its bytes: the sandbox, or a test's stand-in for plugins that it does not call.
type Load<'a> = &'a dyn Fn(&[u8]) -> Result<Arc<Plugin>, PluginError>;

impl Revision {
    /// Checks everything (settings, catalogue, schemas, tables, plugins with their settings, policies) and makes the revision.
    /// Slow (compiles plugins). Golden cases are checked, and run by [`Revision::run_tests`].
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn build(files: &Files, sandbox: &Sandbox) -> Result<Self, Vec<Diagnostic>> {
        Self::assemble(files, &|bytes| sandbox.load(bytes))
    }

    fn assemble(files: &Files, load: Load<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut check = Check { files, problems: folder::check(files) };
        let settings = check.settings();
        let tables = check.tables();
        let schemas = check.schemas(settings.as_ref());
        let calendar = check.calendar(settings.as_ref(), &schemas);
        let conditions = check.conditions(settings.as_ref(), &schemas);
        check.failures(settings.as_ref(), &schemas);
        let sources = check.sources();
        let policies = check.policies(&sources, settings.as_ref());
        let admin_sources = check.admin_sources();
        let admin = check.admin(&admin_sources, &sources, settings.as_ref());
        let transform = check.plugin(settings.as_ref().and_then(|settings| settings.transform.as_ref()), "transform-user", load);
        let propose = check.plugin(settings.as_ref().and_then(|settings| settings.propose.as_ref()), "propose-roles", load);
        let catalogue = settings.as_ref().map(|settings| settings.roles.iter().map(|role| role.id.as_str()).collect());
        let tests = check.tests(&schemas, catalogue.as_ref());
        let policy_tests = check.policy_tests(&sources, settings.as_ref());
        let admin_tests = check.admin_tests(&admin_sources, settings.as_ref());
        match (settings, policies, admin) {
            (Some(settings), Some(policies), Some(admin)) if check.problems.is_empty() => Ok(Self {
                privilege: privilege(&policies, &admin, &settings, files, !admin_sources.is_empty()),
                approved: settings.approved(),
                admin,
                hash: hash(files),
                name: settings.name,
                transform,
                propose,
                tables: Arc::new(tables),
                policies,
                decisions: settings.decisions,
                activation: settings.activation,
                guard: settings.guard,
                approvals: settings.approvals,
                tags: settings.tags,
                processes: settings.processes,
                probes: settings.probes,
                calendar,
                conditions,
                failures: settings.failures,
                schemas: if schemas == *Schemas::standard() { Schemas::standard() } else { Arc::new(schemas) },
                golden_cases: tests.len() + policy_tests.len() + admin_tests.len(),
                declared_handles: settings.declared_handles,
            }),
            _ => Err(check.report()),
        }
    }

    /// Whether none of the tenant's code is run.
    #[must_use]
    pub fn runs_no_plugin(&self) -> bool {
        self.transform.is_none() && self.propose.is_none()
    }

    /// Whether two revisions that run no plugin make the same accounts of people and settle them alike, so that only policies and their
    /// catalogue make a difference. The guard is not asked about whom nothing changes for, and tables are read by plugins.
    #[must_use]
    pub fn differs_in_policies_alone(&self, other: &Self) -> bool {
        self.runs_no_plugin()
            && other.runs_no_plugin()
            && self.decisions == other.decisions
            && self.approvals == other.approvals
            && self.processes == other.processes
            && self.calendar == other.calendar
            // What a mapping may answer is held against them.
            && self.tags == other.tags
            && self.schemas == other.schemas
            && self.declared_handles == other.declared_handles
    }

    /// Runs the golden cases and the policy tests among the revision's files. They are read again, because what is active in thousands of tenants has no
    /// use for them.
    ///
    /// # Errors
    /// What is wrong with them, if the files are another revision's.
    pub fn run_tests(&self, files: &Files) -> Result<Vec<GoldenResult>, Vec<Diagnostic>> {
        let mut check = Check { files, problems: Vec::new() };
        let catalogue = self.policies.roles().iter().map(|role| role.id.as_str()).collect();
        let tests = check.tests(&self.schemas, Some(&catalogue));
        let sources = check.sources();
        let policy_tests = check.policy_tests(&sources, None);
        let admin_sources = check.admin_sources();
        let admin_tests = check.admin_tests(&admin_sources, None);
        if !check.problems.is_empty() {
            return Err(check.report());
        }
        let golden = tests.iter().map(|case| case.run(self));
        let admin = admin_tests.iter().map(|case| case.run(&self.admin, self.policies.roles()));
        Ok(golden.chain(policy_tests.iter().map(|case| case.run(&self.policies, &self.approved))).chain(admin).collect())
    }

    /// The handle for a group's display name: the declared one, else a slug of the name: its ASCII letters, in lower case, and
    /// digits, with a hyphen for whatever stands between them. `None` when nothing is left, when it is too long, or when the slug is
    /// a handle that the tenant declared for a group of another name: nobody renames a group into it.
    #[must_use]
    pub fn handle_for(&self, display_name: &str) -> Option<Handle> {
        if let Some(declared) = self.declared_handles.get(&folded_name(display_name)) {
            return Some(declared.clone());
        }
        let mut slug = String::new();
        for c in display_name.chars() {
            match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9') => slug.push(c),
                _ if slug.is_empty() || slug.ends_with('-') => {}
                _ => slug.push('-'),
            }
        }
        let slug = slug.trim_end_matches('-');
        let free = !slug.is_empty() && slug.len() <= HANDLE_CHARS_LIMIT && self.declared_handles.values().all(|handle| handle.0 != slug);
        free.then(|| slug.into())
    }
}

/// The admin policies of files that make no revision any more; `None` where they can't be read either.
#[must_use]
pub fn admin_policies(files: &Files) -> Option<Arc<AdminPolicies>> {
    let mut check = Check { files, problems: Vec::new() };
    let sources = check.admin_sources();
    if !check.problems.is_empty() {
        return None;
    }
    AdminPolicies::compile(&sources, None).ok()
}

/// How many days removed accounts are kept by what a `tenant.toml` says: read alone, so that nobody builds a revision to know it.
#[must_use]
pub fn retain_days(settings: &[u8]) -> Option<u32> {
    std::str::from_utf8(settings).ok().and_then(|text| settings::retain_days(text.strip_prefix('\u{feff}').unwrap_or(text)))
}

/// How many days closed reviews are kept by what a `tenant.toml` says.
#[must_use]
pub fn review_keep_days(settings: &[u8]) -> u32 {
    settings::review_keep_days(std::str::from_utf8(settings).unwrap_or_default().trim_start_matches('\u{feff}'))
}

/// A group's display name as it is compared: trimmed, case and compatibility folded.
fn folded_name(display_name: &str) -> String {
    rolecall_scim::filter::fold(display_name.trim()).nfkc().collect()
}

/// A check of a folder on its way, with what was found.
struct Check<'a> {
    files: &'a Files,
    problems: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    /// The files of a kind as text. Those that are no UTF-8 are a problem each.
    fn texts(&mut self, kind: Kind) -> Vec<(String, &'a str)> {
        let mut texts = Vec::new();
        for (path, contents) in self.files.iter().filter(|(path, _)| Kind::of(path) == Some(kind)) {
            match std::str::from_utf8(contents) {
                // Some editors and spreadsheets begin a file with a byte order mark.
                Ok(text) => texts.push((path.clone(), text.strip_prefix('\u{feff}').unwrap_or(text))),
                Err(error) => {
                    let line = contents[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                    let problem = Diagnostic { line: Some(line), column: Some(1), ..Diagnostic::of_file(path, "not valid UTF-8") };
                    self.problems.push(problem.with_help("save the file as UTF-8"));
                }
            }
        }
        texts
    }

    /// The problems in the order of their places: the same folder always makes the same report.
    fn report(mut self) -> Vec<Diagnostic> {
        self.problems.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
        self.problems.dedup();
        self.problems.truncate(PROBLEMS_LIMIT);
        self.problems
    }

    /// Keeps what a reader made, or what was wrong.
    fn keep<T>(&mut self, read: Result<T, Vec<Diagnostic>>) -> Option<T> {
        read.map_err(|found| self.problems.extend(found)).ok()
    }

    fn settings(&mut self) -> Option<Settings> {
        let texts = self.texts(Kind::Settings);
        let Some((file, text)) = texts.first() else {
            if !self.files.contains_key(SETTINGS) {
                let problem = Diagnostic::of_file(SETTINGS, "the file is missing");
                self.problems.push(problem.with_help("write one with at least `name = \"…\"` and the roles, each under `[[roles]]`"));
            }
            return None;
        };
        let (settings, problems) = settings::read(file, text);
        self.problems.extend(problems);
        settings
    }

    fn tables(&mut self) -> Tables {
        let (mut tables, mut room) = (Tables::new(), tables::Room::default());
        for (file, text) in self.texts(Kind::Table) {
            if let Some(rows) = self.keep(tables::read(&file, text, &mut room)) {
                tables.insert(folder::stem(&file).to_owned(), rows);
            }
        }
        tables
    }

    /// The standard schemas with those of the tenant's that are sound.
    fn schemas(&mut self, settings: Option<&Settings>) -> Schemas {
        let mut written: Vec<(Schema, Diagnostic)> = Vec::new();
        for (file, text) in self.texts(Kind::Schema) {
            match serde_json::from_str(text) {
                Ok(schema) => written.push((schema, Diagnostic::of_file(&file, ""))),
                Err(error) => self.problems.push(json_problem(&file, text, &error)),
            }
        }
        written.extend(settings.into_iter().flat_map(|settings| settings.schemas.iter().cloned()));
        let mut sound = Vec::new();
        let mut schemas = Schemas::default();
        for (schema, place) in written {
            sound.push(schema);
            match Schemas::with_extensions(sound.clone()) {
                Ok(with) => schemas = with,
                Err(message) => {
                    sound.pop();
                    self.problems.push(Diagnostic { message, ..place });
                }
            }
        }
        schemas
    }

    /// Where people's dates are; nowhere where that is wrong.
    fn calendar(&mut self, settings: Option<&Settings>, schemas: &Schemas) -> Calendar {
        let Some(settings) = settings else { return Calendar::default() };
        Calendar::of(&settings.processes, schemas).unwrap_or_else(|problems| {
            self.problems.extend(problems.into_iter().map(|message| Diagnostic { message, ..settings.processes_at.clone() }));
            Calendar::default()
        })
    }

    /// Whom steps are for; nobody where that is wrong.
    fn conditions(&mut self, settings: Option<&Settings>, schemas: &Schemas) -> Conditions {
        let Some(settings) = settings else { return Conditions::default() };
        Conditions::of(&settings.processes, schemas).unwrap_or_else(|problems| {
            let text = self.files.get(SETTINGS).and_then(|contents| std::str::from_utf8(contents).ok()).unwrap_or_default();
            self.problems.extend(problems.into_iter().map(|(span, message)| Diagnostic::at(SETTINGS, text, span, message)));
            Conditions::default()
        })
    }

    /// That what is to be masked, or shown, is something that there is.
    fn failures(&mut self, settings: Option<&Settings>, schemas: &Schemas) {
        let Some(Settings { failures, failures_at, .. }) = settings else { return };
        self.problems.extend(failures.unknown(schemas).map(|message| Diagnostic { message, ..failures_at.clone() }));
    }

    /// The policy files with their texts.
    fn sources(&mut self) -> Vec<(String, String)> {
        self.texts(Kind::Policy).into_iter().map(|(file, text)| (file, text.to_owned())).collect()
    }

    fn policies(&mut self, sources: &[(String, String)], settings: Option<&Settings>) -> Option<Policies> {
        match settings {
            Some(settings) => {
                self.problems.extend(settings.tags.iter().flat_map(|tags| policies::check_tags(sources, tags)));
                self.keep(Policies::compile(sources, &settings.roles))
            }
            // Without a catalogue nothing can be said of the roles that they name.
            None => {
                self.problems.extend(policies::check(sources));
                None
            }
        }
    }

    /// The files of admin policies with their texts.
    fn admin_sources(&mut self) -> Vec<(String, String)> {
        self.texts(Kind::Admin).into_iter().map(|(file, text)| (file, text.to_owned())).collect()
    }

    /// Admin policies; their ids are others than those of the policies, so that each names one.
    fn admin(
        &mut self,
        sources: &[(String, String)],
        policies: &[(String, String)],
        settings: Option<&Settings>,
    ) -> Option<Arc<AdminPolicies>> {
        self.problems.extend(policies::admin::check_ids(sources, policies));
        // Without a catalogue nothing can be said of the roles that they name.
        let roles = settings.map(|settings| settings.roles.as_slice());
        self.keep(AdminPolicies::compile(sources, roles))
    }

    /// Tests of admin policies; without settings all is checked but the roles that they name.
    fn admin_tests(&mut self, sources: &[(String, String)], settings: Option<&Settings>) -> Vec<AdminCase> {
        let catalogue = settings.map(|settings| settings.roles.iter().map(|role| role.id.as_str()).collect::<BTreeSet<_>>());
        let ids = policies::admin::ids(sources);
        let mut cases = Vec::new();
        for (file, text) in self.texts(Kind::AdminTest) {
            cases.extend(self.keep(admin_test::read(&file, text, &ids, catalogue.as_ref())).into_iter().flatten());
        }
        cases
    }

    /// Policy tests; without settings all is checked but what they name.
    fn policy_tests(&mut self, sources: &[(String, String)], settings: Option<&Settings>) -> Vec<PolicyCase> {
        let texts = self.texts(Kind::PolicyTest);
        if texts.is_empty() {
            return Vec::new();
        }
        let ids = policies::texts_by_id(sources);
        let catalogue: BTreeSet<&str> = settings.iter().flat_map(|settings| settings.roles.iter().map(|role| role.id.as_str())).collect();
        let tags = settings.and_then(|settings| settings.tags.as_ref());
        let known = settings.map(|_| policy_test::Known { catalogue: &catalogue, policies: &ids, tags });
        let mut cases = Vec::new();
        for (file, text) in texts {
            cases.extend(self.keep(policy_test::read(&file, text, known.as_ref())).into_iter().flatten());
        }
        cases
    }

    fn plugin(&mut self, hook: Option<&Hook>, export: &str, load: Load<'_>) -> Option<Bound> {
        let hook = hook?;
        // Only what is a plugin by its path: signatures are asked for by path.
        let Some(bytes) = self.files.get(&hook.file).filter(|_| is_plugin(&hook.file)) else {
            let help = "build it (`rolecall plugin build`, where the folder is its project) or copy it there; the path is relative to the tenant folder";
            self.problems.push(hook.problem(format!("there is no file `{}`", hook.file)).with_help(help).with_code("missing_file"));
            return None;
        };
        let plugin = match load(bytes) {
            Ok(plugin) => plugin,
            Err(error) => {
                self.problems.push(Diagnostic::of_file(&hook.file, error.to_string()).with_code(error.code()));
                return None;
            }
        };
        let exports = if export == "transform-user" { plugin.transforms() } else { plugin.proposes() };
        if !exports {
            let problem = hook.problem(format!("the plugin does not export `{export}`"));
            self.problems.push(problem.with_help("name a plugin that has this hook, or leave the hook out").with_code("missing_hook"));
            return None;
        }
        if let Err(problem) = plugin.check_settings(&hook.settings_json) {
            self.problems.push(hook.settings_problem(problem.to_string()).with_code(problem.code()));
            return None;
        }
        Some(Bound { plugin, settings: hook.settings_json.as_str().into() })
    }

    /// Golden cases; without a catalogue all is checked but the roles that they name.
    fn tests(&mut self, schemas: &Schemas, catalogue: Option<&BTreeSet<&str>>) -> Vec<GoldenCase> {
        let mut cases = Vec::new();
        for (file, text) in self.texts(Kind::Test) {
            cases.extend(self.keep(golden::read(&file, text, schemas, catalogue)));
        }
        cases
    }
}

/// What is wrong with a JSON file, at the place that the parser names: the last character that it read. Where that ends a text, the
/// text is what it means.
fn json_problem(file: &str, text: &str, error: &serde_json::Error) -> Diagnostic {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let place = Diagnostic::at_position(file, text, error.line(), error.column(), message);
    let before: Vec<char> = place.source.iter().flat_map(|source| source.chars().take(place.column.unwrap_or(0))).collect();
    match before.split_last() {
        Some(('"', before)) => match before.iter().rposition(|c| *c == '"') {
            Some(start) => Diagnostic { column: Some(start + 1), length: before.len() + 1 - start, ..place },
            None => place,
        },
        _ => place,
    }
}

#[cfg(test)]
mod tests;
