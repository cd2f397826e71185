//! `rolecall policy`: policies as they are written: checked, formatted, linted, tested, asked and compared; on this machine, or by what a
//! server knows.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::cli::account;
use crate::cli::client::{Api, Remote};
use crate::cli::render::{self, Paint};
use crate::cli::{EXIT_FOUND, Output, tenant, word};
use crate::clock::{Clock as _, SystemClock};
use crate::config::ConfigError;
use crate::diagnostic::{self, Diagnostic};
use crate::policies::{self, Facts, PolicyDifference};
use crate::revision::{self, Files, Formatted, GoldenResult, Person, Rulebook};

/// The most of a policy or a person that is read from a file or from standard input: more than a policy file may have.
const INPUT_BYTES_LIMIT: u64 = 2 << 20;
/// The name that problems of standard input have.
const STDIN: &str = "-";

/// Work on policies: check, format, lint, test, explain, compare. Needs no server, and no plugin
#[derive(clap::Subcommand)]
pub enum Policy {
    /// Say what is wrong with policies and their tests, with file, line and caret
    #[command(after_help = "Example:\n  rolecall policy check policies/birthright\n\nExit code 1 when something is wrong.")]
    Check(Source),
    /// Lay policies out in the one way; comments stay
    #[command(after_help = "Examples:\n  rolecall policy fmt policies/birthright\n  rolecall policy fmt --check policies/birthright\n  \
        rolecall policy fmt - < main.cedar\n\nExit code 1 with --check when something would change.")]
    Fmt(Format),
    /// Say what policies say that nobody can have meant: dead, shadowed, always true …
    #[command(
        after_help = "Examples:\n  rolecall policy lint policies/birthright\n  rolecall policy lint DIR --tenant acme   by the groups of a \
        running tenant\n  rolecall policy lint --tenant acme       the active revision\n\nExit code 1 when there is a finding."
    )]
    Lint(Source),
    /// Run the tests beside policies (policies/*.test.json)
    #[command(after_help = "Example:\n  rolecall policy test policies/birthright\n\nExit code 1 when a test fails.")]
    Test(Source),
    /// Say why somebody has a role or has not
    #[command(after_help = "Examples:\n  rolecall policy explain DIR --person ada.json --role deployer\n  \
        rolecall policy explain --tenant acme --user ada.okonkwo@acme.example --role deployer\n\nThe file holds what a policy test says of its \
        person: {\"subject\": {\"department\": \"Sales\"}, \"groups\": [\"staff\"]}")]
    Explain(Explain),
    /// Compare the policies of two folders, or of two revisions, by their ids
    #[command(
        after_help = "Examples:\n  rolecall policy diff before after\n  rolecall policy diff --tenant acme HASH active\n\nExit code 1 when they differ."
    )]
    Diff(Diff),
}

/// Which policies.
#[derive(clap::Args)]
pub struct Source {
    /// The folder (it holds `tenant.toml`); may be left out with `--tenant`
    #[arg(value_name = "DIR", required_unless_present = "tenant")]
    dir: Option<PathBuf>,
    /// Let the server do it, by what this tenant has
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The stored revision, where no folder is given [default: the active one]
    #[arg(long, value_name = "HASH", requires = "tenant", conflicts_with = "dir")]
    revision: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Which files.
#[derive(clap::Args)]
pub struct Format {
    /// Folders and files; `-` for standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Change nothing, and show what would change
    #[arg(long)]
    check: bool,
}

/// Whom about what.
#[derive(clap::Args)]
pub struct Explain {
    #[command(flatten)]
    source: Source,
    /// A file with the person, as policy tests write it; `-` for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "user")]
    person: Option<PathBuf>,
    /// A person on the server, by login name or account id
    #[arg(long, value_name = "NAME", requires = "tenant", conflicts_with_all = ["person", "dir"])]
    user: Option<String>,
    /// The role
    #[arg(long, value_name = "ROLE")]
    role: String,
}

/// What with what.
#[derive(clap::Args)]
pub struct Diff {
    /// The first folder; with `--tenant` a revision's hash, or `active`
    #[arg(value_name = "A")]
    from: String,
    /// The second
    #[arg(value_name = "B")]
    to: String,
    /// Compare stored revisions of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Policy {
    /// Runs the command.
    ///
    /// # Errors
    /// What could not be read, and the server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(source) => check(source, output).await,
            Self::Fmt(wanted) => format(&wanted, output),
            Self::Lint(source) => lint(source, output).await,
            Self::Test(source) => test(source, output).await,
            Self::Explain(wanted) => explain(wanted, output).await,
            Self::Diff(wanted) => diff(wanted, output).await,
        }
    }
}

/// Where the policies are looked at.
enum Place {
    /// On this machine.
    Here(PathBuf, Files),
    /// On the server: the API, the tenant, and what is sent.
    There(Api, String, Map<String, Value>),
    /// The folder can't be read.
    Broken(PathBuf, Vec<Diagnostic>),
}

impl Source {
    fn open(self) -> anyhow::Result<Place> {
        let files = match self.dir {
            None => None,
            Some(dir) => match revision::read_folder(&dir) {
                Ok(files) => Some((dir, files)),
                Err(problems) => return Ok(Place::Broken(dir, problems)),
            },
        };
        let Some(tenant) = self.tenant else {
            let (dir, files) = files.context("a folder is needed, or `--tenant`")?;
            return Ok(Place::Here(dir, files));
        };
        let mut body = Map::new();
        if let Some((_, files)) = files {
            let rules = files.into_iter().filter(|(path, _)| revision::is_rule(path));
            let texts = rules
                .map(|(path, bytes)| Ok((path.clone(), String::from_utf8(bytes).with_context(|| format!("`{path}` is no UTF-8"))?.into())));
            body.insert("files".to_owned(), Value::Object(texts.collect::<anyhow::Result<_>>()?));
        }
        body.extend(self.revision.map(|revision| ("revision".to_owned(), revision.into())));
        Ok(Place::There(self.remote.connect()?, tenant, body))
    }
}

async fn ask(api: &Api, tenant: &str, what: &str, body: Map<String, Value>) -> anyhow::Result<Value> {
    Ok(api.post(&["tenants", tenant, "policies", what], &Value::Object(body)).await?)
}

async fn check(source: Source, output: Output) -> anyhow::Result<ExitCode> {
    let answer = match source.open()? {
        Place::Broken(dir, problems) => return tenant::broken(&dir, &problems, output),
        Place::There(api, tenant, body) => ask(&api, &tenant, "check", body).await?,
        Place::Here(dir, files) => match Rulebook::read(&files) {
            Err(problems) => return tenant::broken(&dir, &problems, output),
            Ok(rules) => json!({"policies": rules.policies().ids().len(), "roles": rules.policies().roles().len()}),
        },
    };
    let value = json!({"ok": true, "policies": answer["policies"], "roles": answer["roles"], "problems": []});
    output.show(&value, |paint| {
        let (policies, roles) = (word(&answer["policies"]), word(&answer["roles"]));
        Ok(format!("{}: {policies} policies, {roles} roles (tests not run: see `rolecall policy test`)\n", paint.good("in order")))
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn lint(source: Source, output: Output) -> anyhow::Result<ExitCode> {
    let findings = match source.open()? {
        Place::Broken(dir, problems) => return tenant::broken(&dir, &problems, output),
        Place::There(api, tenant, body) => {
            let answer = ask(&api, &tenant, "lint", body).await?;
            Vec::deserialize(&answer["findings"]).context("the server's answer can't be read")?
        }
        Place::Here(dir, files) => {
            let facts = Facts { now: Some(SystemClock.now().timestamp()), ..Facts::default() };
            match Rulebook::read(&files).and_then(|rules| rules.lint(facts)) {
                Err(problems) => return tenant::broken(&dir, &problems, output),
                Ok(findings) => findings,
            }
        }
    };
    output.show(&json!({"ok": findings.is_empty(), "findings": findings}), |paint| {
        Ok(if findings.is_empty() {
            format!("{}\n", paint.good("nothing to find fault with"))
        } else {
            diagnostic::render_findings(&findings, paint.colours())
        })
    })?;
    Ok(found(findings.is_empty()))
}

async fn test(source: Source, output: Output) -> anyhow::Result<ExitCode> {
    let cases: Vec<GoldenResult> = match source.open()? {
        Place::Broken(dir, problems) => return tenant::broken(&dir, &problems, output),
        Place::There(api, tenant, body) => {
            let answer = ask(&api, &tenant, "test", body).await?;
            Vec::deserialize(&answer["cases"]).context("the server's answer can't be read")?
        }
        Place::Here(dir, files) => match Rulebook::read(&files) {
            Err(problems) => return tenant::broken(&dir, &problems, output),
            Ok(rules) => rules.test(),
        },
    };
    let failed = cases.iter().filter(|case| case.diff.is_some()).count();
    output.show(&json!({"ok": failed == 0, "cases": cases}), |paint| Ok(tenant::golden(&cases, failed, paint)))?;
    Ok(found(failed == 0))
}

fn found(nothing: bool) -> ExitCode {
    ExitCode::from(if nothing { 0 } else { EXIT_FOUND })
}

/// A file, or standard input, as text; bounded.
fn input(path: &Path) -> anyhow::Result<String> {
    let reader: Box<dyn std::io::Read> = if path.as_os_str() == STDIN {
        anyhow::ensure!(!std::io::stdin().is_terminal(), "standard input is a terminal: pipe a file into it");
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("`{}` can't be read", path.display()))?)
    };
    let mut text = String::new();
    let bytes =
        reader.take(INPUT_BYTES_LIMIT + 1).read_to_string(&mut text).with_context(|| format!("`{}` can't be read", path.display()))?;
    anyhow::ensure!(bytes as u64 <= INPUT_BYTES_LIMIT, "`{}` has more than {INPUT_BYTES_LIMIT} bytes", path.display());
    Ok(text)
}

fn format(wanted: &Format, output: Output) -> anyhow::Result<ExitCode> {
    if wanted.paths.iter().any(|path| path.as_os_str() == STDIN) {
        anyhow::ensure!(wanted.paths.len() == 1, "`-` stands alone: standard input is one file");
        return format_stdin(wanted.check, output);
    }
    let mut formatted = Vec::new();
    for path in &wanted.paths {
        match formatted_at(path)? {
            Ok(found) => formatted.extend(found),
            Err(problems) => return tenant::broken(path, &problems, output),
        }
    }
    if !wanted.check {
        for (path, file) in &formatted {
            std::fs::write(path, &file.text).with_context(|| format!("`{}` can't be written", path.display()))?;
        }
    }
    let shown: Vec<Value> = formatted.iter().map(|(path, file)| json!({"path": path, "diff": file.diff})).collect();
    output.show(&json!({"ok": formatted.is_empty() || !wanted.check, "changed": shown, "written": !wanted.check}), |paint| {
        Ok(match (formatted.is_empty(), wanted.check) {
            (true, _) => format!("{}\n", paint.good("in order")),
            (false, true) => formatted.iter().map(|(_, file)| render::diff(&file.diff, paint)).collect(),
            (false, false) => formatted.iter().map(|(path, _)| format!("formatted {}\n", path.display())).collect(),
        })
    })?;
    Ok(found(formatted.is_empty() || !wanted.check))
}

/// A file on this machine that is laid out differently.
type Misplaced = (PathBuf, Formatted);

/// The files of a folder, or the one file, that are laid out differently.
fn formatted_at(path: &Path) -> anyhow::Result<Result<Vec<Misplaced>, Vec<Diagnostic>>> {
    let formatted = if path.is_dir() {
        revision::read_folder(path)
            .and_then(|files| revision::format(&files))
            .map(|found| found.into_iter().map(|file| (path.join(&file.path), file)).collect())
    } else {
        let text = input(path)?;
        let shown = path.display().to_string();
        policies::format(&shown, &text)
            .map(|after| revision::laid_out(&shown, &text, after).map(|file| (path.to_owned(), file)).into_iter().collect())
    };
    Ok(formatted)
}

fn format_stdin(check: bool, output: Output) -> anyhow::Result<ExitCode> {
    let text = input(Path::new(STDIN))?;
    let after = match policies::format(STDIN, &text) {
        Ok(after) => after,
        Err(problems) => return tenant::broken(Path::new(STDIN), &problems, output),
    };
    let changed = revision::laid_out(STDIN, &text, after.clone());
    let ok = changed.is_none() || !check;
    let value = json!({"ok": ok, "text": after, "diff": changed.as_ref().map(|file| &file.diff)});
    output.show(&value, |paint| {
        Ok(if check { changed.as_ref().map_or_else(String::new, |file| render::diff(&file.diff, paint)) } else { after.clone() })
    })?;
    Ok(found(ok))
}

async fn explain(wanted: Explain, output: Output) -> anyhow::Result<ExitCode> {
    let Explain { source, person, user, role } = wanted;
    if let Some(user) = user {
        let tenant = source.tenant.context("`--user` is somebody of a `--tenant`")?;
        let mut query = vec![("role", role.as_str())];
        query.extend(source.revision.as_deref().map(|revision| ("revision", revision)));
        let answer = source.remote.connect()?.get(&["tenants", &tenant, "accounts", &user, "explain"], &query).await?;
        output.show(&answer, |paint| Ok(account::explained(&user, &answer, paint)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = person.context("`--person` or `--user` is needed")?;
    let text = input(&path)?;
    let wrong = |error: serde_json::Error| anyhow::anyhow!("`{}` is no person as policy tests write it: {error}", path.display());
    let answer = match source.open()? {
        Place::Broken(dir, problems) => return tenant::broken(&dir, &problems, output),
        Place::There(api, tenant, mut body) => {
            body.insert("person".to_owned(), serde_json::from_str(&text).map_err(wrong)?);
            body.insert("role".to_owned(), role.into());
            ask(&api, &tenant, "explain", body).await?
        }
        Place::Here(dir, files) => {
            let person: Person = serde_json::from_str(&text).map_err(wrong)?;
            let rules = match Rulebook::read(&files) {
                Err(problems) => return tenant::broken(&dir, &problems, output),
                Ok(rules) => rules,
            };
            let explained = rules.explain(&person, &role);
            let missing = || ConfigError::Argument { name: "--role", problem: format!("is `{role}`: the catalogue has no such role") };
            serde_json::to_value(explained.ok_or_else(missing)?)?
        }
    };
    let name = path.file_stem().map_or_else(|| "the person".into(), |stem| stem.to_string_lossy().into_owned());
    output.show(&answer, |paint| Ok(account::explained(&name, &answer, paint)))?;
    Ok(ExitCode::SUCCESS)
}

async fn diff(wanted: Diff, output: Output) -> anyhow::Result<ExitCode> {
    let Diff { from, to, tenant, remote } = wanted;
    let answer = if let Some(tenant) = tenant {
        let query: Vec<(&str, &str)> =
            [("from", from.as_str()), ("to", to.as_str())].into_iter().filter(|(_, revision)| *revision != "active").collect();
        remote.connect()?.get(&["tenants", &tenant, "policies", "diff"], &query).await?
    } else {
        let mut folders = Vec::new();
        for dir in [&from, &to].map(Path::new) {
            let read = revision::read_folder(dir).and_then(|files| {
                let problems = revision::incomparable(&files);
                if problems.is_empty() { Ok(files) } else { Err(problems) }
            });
            match read {
                Ok(files) => folders.push(files),
                Err(problems) => return tenant::broken(dir, &problems, output),
            }
        }
        serde_json::to_value(revision::policy_diff(&folders[0], &folders[1]))?
    };
    output.show(&answer, |paint| Ok(compared(&answer, paint)))?;
    Ok(found(answer == serde_json::to_value(PolicyDifference::default())?))
}

/// A comparison for people.
fn compared(answer: &Value, paint: Paint) -> String {
    let mut text = String::new();
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    // Writing to a string can't fail.
    for policy in list("added") {
        let _ = writeln!(text, "{}", paint.good(&format!("+ {}", word(&policy["policy"]))));
    }
    for policy in list("removed") {
        let _ = writeln!(text, "{}", paint.bad(&format!("- {}", word(&policy["policy"]))));
    }
    for (key, note) in [("changed", ""), ("annotated", " (annotations only)")] {
        for policy in list(key) {
            let _ = writeln!(text, "{}{note}", paint.strong(&format!("~ {}", word(&policy["policy"]))));
            for clause in policy["clauses"].as_array().into_iter().flatten() {
                let name = word(&clause["clause"]);
                for (sign, side) in [("-", "before"), ("+", "after")] {
                    if let Some(side) = clause[side].as_str() {
                        let line = format!("    {sign} {name}: {}", word(&Value::from(side)));
                        let _ = writeln!(text, "{}", if sign == "-" { paint.bad(&line) } else { paint.good(&line) });
                    }
                }
            }
        }
    }
    if text.is_empty() { "no difference\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_names_what_changed_and_tells_annotations_apart() {
        let answer = json!({
            "added": [{"policy": "new", "text": ""}], "removed": [{"policy": "old", "text": ""}],
            "changed": [{"policy": "p", "clauses": [{"clause": "condition", "before": "when { true }", "after": null}]}],
            "annotated": [{"policy": "q", "clauses": [{"clause": "@reason", "before": "a", "after": "b"}]}],
        });
        let expected = "+ new\n- old\n~ p\n    - condition: when { true }\n~ q (annotations only)\n    - @reason: a\n    + @reason: b\n";
        assert_eq!(compared(&answer, Paint::default()), expected);
        assert_eq!(compared(&json!({}), Paint::default()), "no difference\n");
    }
}
