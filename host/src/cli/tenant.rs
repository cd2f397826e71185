//! `rolecall tenant`: check and test a folder without a server; compare it with a running one; try it out; put it there.

mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::client::{Api, ApiError, Remote};
use crate::cli::connection::At;
use crate::cli::render::{self, Paint};
use crate::cli::{EXIT_FOUND, Output, sandbox, word};
use crate::config::ConfigError;
use crate::crypto::sha256_hex;
use crate::diagnostic::{self, Diagnostic};
use crate::reload;
use crate::revision::{self, Files, GoldenResult, Revision};

/// How much of a revision's hash is shown in a table: enough to tell two apart.
const HASH_CHARS_SHOWN: usize = 12;
/// How long it is.
const HASH_CHARS: usize = 64;

/// Work on a tenant's folder: plugin, policies, roles, tables, golden cases.
#[derive(clap::Subcommand)]
pub enum Tenant {
    /// Say what is wrong with a folder, with file, line and caret. Needs no server
    #[command(after_help = "Example:\n  rolecall tenant check examples/tenants/acme\n\nExit code 1 when something is wrong.")]
    Check(Folder),
    /// Check a folder and run its golden cases. Needs no server
    #[command(after_help = "Example:\n  rolecall tenant test examples/tenants/acme\n\nExit code 1 when a case fails.")]
    Test(Folder),
    /// Compare a folder with the tenant's active revision
    #[command(after_help = "Example:\n  rolecall tenant diff examples/tenants/acme --server https://rolecall.example\n\n\
        Exit code 1 when they differ.")]
    Diff(Deployed),
    /// Make a folder the tenant's active revision; the tenant is made if it is missing
    #[command(after_help = "Example:\n  rolecall tenant apply examples/tenants/acme --server https://rolecall.example\n\n\
        The server checks the folder and runs its golden cases first: what is broken is never activated.")]
    Apply(Apply),
    /// Try a folder out on everybody who is stored, without effect, and show what would be different
    #[command(after_help = "Example:\n  rolecall tenant simulate examples/tenants/acme --server https://rolecall.example\n  \
        rolecall tenant simulate examples/tenants/acme --group engineering --export differences.csv\n\n\
        Exit code 1 when somebody with an account would be turned away: by a fault, a refusal, or as out of scope.")]
    Simulate(trial::Simulate),
    /// Let a folder go along with what is decided from now on, without effect
    #[command(after_help = "Example:\n  rolecall tenant shadow examples/tenants/acme --percent 10 --hours 48\n\n\
        What it finds is shown by `rolecall tenant trial show`.")]
    Shadow(trial::Shadow),
    /// Look at what was tried out
    #[command(subcommand)]
    Trial(trial::Trials),
    /// Activate a revision that is stored: one that was simulated, one that was held, or an older one
    #[command(
        after_help = "Examples:\n  rolecall tenant activate --tenant acme HASH --simulation ID\n  rolecall tenant activate --tenant acme HASH\n  \
                      rolecall tenant activate --tenant acme HASH --simulation ID \\\n    --despite-changes 'only the new site was synced'"
    )]
    Activate(Activate),
    /// Go back to the revision that was active before
    Rollback(At),
    /// Show what was activated, newest first, and what became of it
    History(At),
    /// List the stored revisions, newest first, with those that were neither activated nor tried out
    Revisions {
        #[command(flatten)]
        at: At,
        /// Only those that were stored before this one
        #[arg(long, value_name = "HASH")]
        after: Option<String>,
    },
    /// Show how far everybody has been decided under the active revision
    #[command(after_help = "Example:\n  rolecall tenant progress --tenant acme --server https://rolecall.example")]
    Progress(At),
    /// List the tenants
    List(Listing),
}

/// A folder on this machine.
#[derive(clap::Args)]
pub struct Folder {
    /// The tenant's folder (it holds `tenant.toml`)
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// A folder and the server that it belongs on.
#[derive(clap::Args)]
pub struct Deployed {
    #[command(flatten)]
    folder: Folder,
    /// The tenant [default: the folder's name]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// A folder to be activated.
#[derive(clap::Args)]
pub struct Apply {
    #[command(flatten)]
    deployed: Deployed,
    /// Simulate it first, and leave it at that when somebody with an account would be turned away
    #[arg(long)]
    simulate: bool,
}

/// A stored revision to be activated.
#[derive(clap::Args)]
pub struct Activate {
    #[command(flatten)]
    at: At,
    /// The revision
    #[arg(value_name = "HASH")]
    revision: String,
    /// The simulation that it rests on: people whom it turned away are expected then
    #[arg(long, value_name = "TRIAL")]
    simulation: Option<String>,
    /// Activate it although something has changed about more people than may be since that simulation began, and say why
    #[arg(long, value_name = "REASON", requires = "simulation")]
    despite_changes: Option<String>,
}

/// A server.
#[derive(clap::Args)]
pub struct Listing {
    #[command(flatten)]
    remote: Remote,
}

impl Tenant {
    /// Runs the command.
    ///
    /// # Errors
    /// What could not be read, and the server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(folder) => check(&folder.dir, output),
            Self::Test(folder) => test(&folder.dir, output),
            Self::Diff(deployed) => diff(deployed, output).await,
            Self::Apply(wanted) => apply(wanted, output).await,
            Self::Simulate(simulate) => trial::simulate(simulate, output).await,
            Self::Shadow(shadow) => trial::shadow(shadow, output).await,
            Self::Trial(command) => trial::trials(command, output).await,
            Self::Activate(wanted) => activate(wanted, output).await,
            Self::Rollback(at) => rollback(at, output).await,
            Self::History(at) => history(at, output).await,
            Self::Revisions { at, after } => revisions(at, after, output).await,
            Self::Progress(at) => progress(at, output).await,
            Self::List(listing) => list(listing, output).await,
        }
    }
}

fn build(dir: &Path) -> anyhow::Result<Result<(Revision, Files), Vec<Diagnostic>>> {
    let sandbox = sandbox::make()?;
    Ok(revision::read_folder(dir).and_then(|files| Ok((Revision::build(&files, &sandbox)?, files))))
}

fn check(dir: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let revision = match build(dir)? {
        Ok((revision, _)) => revision,
        Err(problems) => return broken(dir, &problems, output),
    };
    let value = json!({"ok": true, "hash": revision.hash, "name": revision.name, "golden_cases": revision.golden_cases, "problems": []});
    output.show(&value, |paint| {
        let cases = revision.golden_cases;
        let roles = revision.policies.roles().len();
        let headline = paint.good(&format!("{} is in order", dir.display()));
        Ok(format!("{headline}: {roles} roles, {cases} golden cases (not run: see `rolecall tenant test`)\nrevision {}\n", revision.hash))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what is wrong with a folder.
pub(super) fn broken(dir: &Path, problems: &[Diagnostic], output: Output) -> anyhow::Result<ExitCode> {
    output.show(&json!({"ok": false, "problems": problems}), |paint| {
        Ok(format!("{} in {}\n", diagnostic::render(problems, paint.colours()).trim_end(), dir.display()))
    })?;
    Ok(ExitCode::from(EXIT_FOUND))
}

/// Checks a folder and runs its golden cases.
pub(super) fn test(dir: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let tested = build(dir)?.and_then(|(revision, files)| Ok((revision.run_tests(&files)?, revision)));
    let (cases, revision) = match tested {
        Ok(tested) => tested,
        Err(problems) => return broken(dir, &problems, output),
    };
    let failed = cases.iter().filter(|case| case.diff.is_some()).count();
    output.show(&json!({"ok": failed == 0, "hash": revision.hash, "cases": cases}), |paint| Ok(golden(&cases, failed, paint)))?;
    Ok(ExitCode::from(if failed == 0 { 0 } else { EXIT_FOUND }))
}

/// How cases ended, for people.
pub(super) fn golden(cases: &[GoldenResult], failed: usize, paint: Paint) -> String {
    let mut text = String::new();
    for case in cases {
        let place = paint.faint(&case.file);
        match &case.diff {
            None => text += &format!("{} {} {place}\n", paint.good("pass"), case.name),
            Some(diff) => text += &format!("{} {} {place}\n{}", paint.bad("FAIL"), case.name, render::diff(diff, paint)),
        }
    }
    let passed = cases.len() - failed;
    let summary = format!("{passed} passed, {failed} failed");
    text + &if failed == 0 { paint.good(&summary) } else { paint.bad(&summary) } + "\n"
}

/// What this command reads of an active revision: what is in its files only where that is asked for.
#[derive(Deserialize)]
pub(super) struct Active {
    hash: String,
    digests: BTreeMap<String, String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

impl Active {
    pub(super) fn contents(self) -> anyhow::Result<Files> {
        let decoded = |(path, text): (String, String)| Ok((path, STANDARD.decode(text).context("the server's answer can't be read")?));
        self.files.into_iter().map(decoded).collect()
    }
}

/// The tenant, the files and the API; or the folder and what is wrong with it.
type Opened = Result<(String, Files, Api), (PathBuf, Vec<Diagnostic>)>;

impl Deployed {
    fn open(self) -> anyhow::Result<Opened> {
        let dir = self.folder.dir;
        let named = || dir.canonicalize().ok()?.file_name()?.to_str().map(str::to_owned);
        let tenant = self
            .tenant
            .or_else(named)
            .ok_or(ConfigError::Argument { name: "--tenant", problem: "is needed: the folder's name is none of a tenant".into() })?;
        let api = self.remote.connect()?;
        Ok(match revision::read_folder(&dir) {
            Ok(files) => Ok((tenant, files, api)),
            Err(problems) => Err((dir, problems)),
        })
    }
}

pub(super) async fn active(api: &Api, tenant: &str, contents: bool) -> anyhow::Result<Option<Active>> {
    match api.get(&["tenants", tenant, "revisions", "active"], &[("contents", if contents { "true" } else { "false" })]).await {
        Ok(value) => Ok(Some(serde_json::from_value(value).context("the server's answer can't be read")?)),
        Err(ApiError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a tenant that there is not: what only compares or tries out must not make one of a name that was mistyped.
async fn known(api: &Api, tenant: &str) -> anyhow::Result<()> {
    match api.get(&["tenants", tenant], &[]).await {
        Err(error @ ApiError::Refused { status: 404, .. }) => {
            Err(anyhow::Error::new(error).context(format!("tenant `{tenant}` is not there; `rolecall tenant apply` makes a tenant")))
        }
        found => Ok(found.map(|_| ())?),
    }
}

async fn diff(deployed: Deployed, output: Output) -> anyhow::Result<ExitCode> {
    let (tenant, files, api) = match deployed.open()? {
        Ok(opened) => opened,
        Err((dir, problems)) => return broken(&dir, &problems, output),
    };
    known(&api, &tenant).await?;
    let local = revision::hash(&files);
    let active = active(&api, &tenant, true).await?;
    let before = active.as_ref().map(|active| active.hash.clone());
    let same = before.as_ref() == Some(&local.0);
    let difference = revision::diff(&active.map_or_else(|| Ok(Files::new()), Active::contents)?, &files);
    let value = json!({"tenant": tenant, "active": before, "local": local, "same": same, "difference": difference});
    output.show(&value, |paint| {
        let text = render::diff(&difference.to_string(), paint);
        Ok(format!("{text}\nactive {}\nfolder {local}\n", before.as_deref().unwrap_or("–")))
    })?;
    Ok(ExitCode::from(if same { 0 } else { EXIT_FOUND }))
}

async fn apply(wanted: Apply, output: Output) -> anyhow::Result<ExitCode> {
    let (tenant, files, api) = match wanted.deployed.open()? {
        Ok(opened) => opened,
        Err((dir, problems)) => return broken(&dir, &problems, output),
    };
    let local = revision::hash(&files);
    let (before, digests) = active(&api, &tenant, false).await?.map(|active| (active.hash, active.digests)).unzip();
    if before.is_none() {
        make_tenant(&api, &tenant, &files).await?;
    }
    let changed = before.as_ref() != Some(&local.0);
    let mut simulation = None;
    if changed && wanted.simulate {
        let trial = trial::run(&api, &tenant, &files, &Value::Null, output).await?;
        let id = word(&trial["id"]);
        if trial["summary"]["turned_away"] != 0 {
            let away = word(&trial["summary"]["turned_away"]);
            let value = json!({"tenant": tenant, "before": before, "after": before, "changed": false, "trial": trial});
            output.show(&value, |paint| {
                let headline = paint.bad(&format!("{tenant}: not activated, because {away} people would be turned away"));
                let show = format!("rolecall tenant trial differences --tenant {tenant} {id}");
                let activate = format!("rolecall tenant activate --tenant {tenant} {local} --simulation {id}");
                Ok(format!("{headline}\nwho they are: {show}\nto do it all the same: {activate}\n"))
            })?;
            return Ok(ExitCode::from(EXIT_FOUND));
        }
        simulation = Some(id);
    }
    if changed {
        let body =
            json!({"files": encoded(&files, &digests.unwrap_or_default()), "activate": true, "replaces": before, "simulation": simulation});
        api.post(&["tenants", &tenant, "revisions"], &body).await?;
    }
    output.show(&json!({"tenant": tenant, "before": before, "after": local, "changed": changed}), |paint| {
        let done = if changed { "activated" } else { "already active" };
        Ok(format!("{}\nbefore {}\nafter  {local}\n", paint.good(&format!("{tenant}: {done}")), before.as_deref().unwrap_or("–")))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A revision's files as the API takes them: what the server has, which is the plugin more often than not, by its digest.
fn encoded<'f>(files: &'f Files, digests: &BTreeMap<String, String>) -> BTreeMap<&'f String, Value> {
    let stored: BTreeSet<&String> = digests.values().collect();
    let contents = |bytes: &[u8]| {
        let digest = sha256_hex(bytes);
        if stored.contains(&digest) { json!({"sha256": digest}) } else { json!(STANDARD.encode(bytes)) }
    };
    files.iter().map(|(path, bytes)| (path, contents(bytes))).collect()
}

/// A revision's hash in a table.
fn short(hash: &Value) -> String {
    word(hash).chars().take(HASH_CHARS_SHOWN).collect()
}

async fn activate(wanted: Activate, output: Output) -> anyhow::Result<ExitCode> {
    let Activate { at, revision, simulation, despite_changes } = wanted;
    let api = at.remote.connect()?;
    let before = api.get(&["tenants", &at.tenant], &[]).await?["active_revision"].clone();
    let rests_on = json!({"simulation": simulation, "despite_changes": despite_changes});
    let done = switch(&api, &at.tenant, &before, &revision, rests_on, output).await;
    // Tables show the beginning of a hash where there is little room.
    let abbreviated = revision.len() < HASH_CHARS && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if abbreviated { done.context("a revision is named by its whole hash: `rolecall tenant revisions` lists them") } else { done }
}

async fn switch(api: &Api, tenant: &str, before: &Value, revision: &str, mut rests_on: Value, output: Output) -> anyhow::Result<ExitCode> {
    rests_on["replaces"] = before.clone();
    let body = rests_on;
    api.post(&["tenants", tenant, "revisions", revision, "activate"], &body).await?;
    let changed = before.as_str() != Some(revision);
    output.show(&json!({"tenant": tenant, "before": before, "after": revision, "changed": changed}), |paint| {
        let done = if changed { "activated" } else { "already active" };
        Ok(format!("{}\nbefore {}\nafter  {revision}\n", paint.good(&format!("{tenant}: {done}")), word(before)))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn rollback(at: At, output: Output) -> anyhow::Result<ExitCode> {
    let api = at.remote.connect()?;
    let before = api.get(&["tenants", &at.tenant], &[]).await?["active_revision"].clone();
    let answer = api.get(&["tenants", &at.tenant, "activations"], &[]).await?;
    let standing = super::items(&answer, "activations").iter().find(|activation| activation["state"] == "active");
    if let Some(by_guard) = standing.filter(|activation| activation["actor"]["kind"] == "guard") {
        let taken_back = word(&by_guard["replaces"]);
        anyhow::bail!(
            "revision {} was taken back by itself, because it turned too many people away, and the one before it is active already: there is \
             nothing to go back from. `rolecall tenant activate --tenant {} {taken_back}` activates it all the same",
            short(&by_guard["replaces"]),
            at.tenant
        );
    }
    let last = standing.and_then(|activation| activation["replaces"].as_str()).map(str::to_owned);
    let last = last.with_context(|| format!("tenant `{}` had no other revision before this one", at.tenant))?;
    switch(&api, &at.tenant, &before, &last, json!({}), output).await
}

async fn history(at: At, output: Output) -> anyhow::Result<ExitCode> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "activations"], &[]).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["", "revision", "at", "by", "state", "turned away", "why"]);
        for activation in super::items(&answer, "activations") {
            let away: i64 =
                ["faults", "refused", "out_of_scope"].into_iter().filter_map(|key| activation["turned_away"][key].as_i64()).sum();
            table.add_row([
                word(&activation["number"]),
                short(&activation["revision"]),
                word(&activation["at"]),
                format!("{} {}", word(&activation["actor"]["kind"]), word(&activation["actor"]["id"])),
                word(&activation["state"]),
                away.to_string(),
                word(&activation["reason"]),
            ]);
        }
        Ok(format!("{table}\n"))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn revisions(at: At, after: Option<String>, output: Output) -> anyhow::Result<ExitCode> {
    let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "revisions"], &query).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["revision", "stored", "what became of it"]);
        for revision in super::items(&answer, "revisions") {
            let is = |key: &str| revision[key] == true;
            let became = match (is("active"), is("activated"), is("tried")) {
                (true, ..) => "active",
                (_, true, _) => "was activated",
                (_, _, true) => "tried out",
                _ => "neither activated nor tried out",
            };
            table.add_row([word(&revision["hash"]), word(&revision["created"]), became.to_owned()]);
        }
        let more = answer["next"].as_str().map(|next| format!("more: --after {next}\n")).unwrap_or_default();
        Ok(format!("{table}\n{more}"))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn make_tenant(api: &Api, tenant: &str, files: &Files) -> Result<(), ApiError> {
    let name = reload::display_name(files).unwrap_or_else(|| tenant.to_owned());
    match api.post(&["tenants"], &json!({"id": tenant, "name": name})).await {
        // A token for one tenant may not make any: if that tenant is there, only its first revision is missing.
        Ok(_) | Err(ApiError::Refused { status: 403, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn progress(at: At, output: Output) -> anyhow::Result<ExitCode> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "progress"], &[]).await?;
    output.show(&answer, |_| {
        let (done, total, pending) = (word(&answer["done"]), word(&answer["total"]), word(&answer["pending"]));
        let mut text = format!("{done} of {total} people are decided under {}", short(&answer["revision"]));
        if let (Some(rate), Some(seconds)) = (answer["per_second"].as_f64(), answer["remaining_seconds"].as_i64()) {
            text.push_str(&format!(", {rate} a second; about {seconds} s remain"));
        }
        Ok(format!("{text}\n{pending} evaluations are due\n"))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(listing: Listing, output: Output) -> anyhow::Result<ExitCode> {
    let answer = listing.remote.connect()?.get(&["tenants"], &[]).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["tenant", "name", "managed by", "active revision"]);
        for tenant in super::items(&answer, "tenants") {
            table.add_row([word(&tenant["id"]), word(&tenant["name"]), word(&tenant["managed_by"]), short(&tenant["active_revision"])]);
        }
        Ok(format!("{table}\n"))
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_revision_is_read_as_files() {
        let active = |text: &str| Active {
            hash: String::new(),
            digests: BTreeMap::new(),
            files: BTreeMap::from([("a".to_owned(), text.to_owned())]),
        };
        assert_eq!(active("eA==").contents().unwrap(), Files::from([("a".to_owned(), b"x".to_vec())]));
        assert!(active("?").contents().is_err());
    }

    #[test]
    fn failing_cases_show_their_difference() {
        let case =
            |name: &str, diff: Option<&str>| GoldenResult { file: "tests/a.json".into(), name: name.into(), diff: diff.map(Into::into) };
        let text = golden(&[case("joiner", None), case("mover", Some("-a\n+b\n"))], 1, Paint::default());
        assert_eq!(text, "pass joiner tests/a.json\nFAIL mover tests/a.json\n-a\n+b\n1 passed, 1 failed\n");
    }
}
