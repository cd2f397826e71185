//! `rolecall dev`: a throw-away server with one tenant and one connection, so that any SCIM client is pointed at Rolecall in one step.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::app::App;
use crate::cli::serve::{self, Running, Signals};
use crate::cli::{EXIT_FOUND, logging};
use crate::config::{Config, LogFormat, MASTER_KEY_VARIABLE, MasterKey};
use crate::crypto;
use crate::diagnostic;
use crate::model::{Actor, ConnectionState, TenantId};
use crate::reload;
use crate::revision::{self, Files};
use crate::store::ApiScope;
use crate::tenancy::{self, TenancyError, visitors};

/// The tenant that serves when no folder is given: no plugin, and policies that show the form.
const MINIMAL: &[(&str, &str)] = &[
    ("tenant.toml", include_str!("../../../examples/tenants/minimal/tenant.toml")),
    ("policies/main.cedar", include_str!("../../../examples/tenants/minimal/policies/main.cedar")),
];
/// The API token on a database that outlives the server ends after a day.
const TOKEN_LIFETIME_SECONDS: i64 = 86_400;
/// Nobody waits long for a throw-away server to end.
const GRACE_SECONDS: u64 = 5;
/// Tenants' ids have at most 63 characters; this leaves room for the suffix.
const NAME_CHARS: usize = 40;
/// Random hexadecimal digits that keep runs on one database apart.
const SUFFIX_CHARS: usize = 8;

/// Run a throw-away server with one tenant and one connection.
#[derive(clap::Args)]
#[command(after_help = "\
The first line on standard output is one JSON object with base_url, token, api_url, api_token, tenant,
connection and workspace_url (which signs in to the workspace, once); logs go to standard error. The server ends on SIGINT or SIGTERM and leaves nothing behind, except on a
database that was given: there each run makes a tenant of its own.

Examples:
  rolecall dev
  rolecall dev --tenant examples/tenants/acme --listen 127.0.0.1:8080
  rolecall dev --database-url postgres://localhost/rolecall_dev")]
pub struct Dev {
    /// The tenant's folder [default: a small one that is built in]
    #[arg(long, value_name = "DIR")]
    tenant: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// `sqlite:PATH` or `postgres://…` [default: a SQLite file that is removed at the end]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// What is logged
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log_level: String,
}

impl Dev {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// As [`serve::start`], and what is wrong with the folder.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        logging::init(LogFormat::Text, &self.log_level)?;
        let mut stop = Signals::new()?;
        let (name, files) = match read(self.tenant.as_deref())? {
            Ok(read) => read,
            Err(problems) => return broken(&problems),
        };
        let scratch = tempfile::tempdir().context("no temporary directory can be made")?;
        let mut config = Config { listen: self.listen, shutdown_grace_seconds: GRACE_SECONDS, ..Config::local(scratch.path()) };
        let shared = self.database_url.is_some();
        if let Some(url) = self.database_url {
            config.master_key = MasterKey::Hex(shared_master_key(&url));
            config.database_url = url;
        }
        let tenant = tenant_id(&name, shared);
        let running = serve::start(&config).await?;
        let line = match provision(&running, &tenant, files, shared).await {
            Ok(line) => line,
            Err(error) => {
                running.stop().await;
                return match error {
                    TenancyError::Broken(problems) => broken(&problems),
                    error => Err(error.into()),
                };
            }
        };
        let mut out = std::io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush()).context("standard output is closed")?;
        stop.received().await;
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

fn read(dir: Option<&Path>) -> anyhow::Result<Result<(String, Files), Vec<diagnostic::Diagnostic>>> {
    let Some(dir) = dir else {
        let files = MINIMAL.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        return Ok(Ok(("dev".to_owned(), files)));
    };
    let path = dir.canonicalize().with_context(|| format!("the folder `{}` can't be read", dir.display()))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("dev").to_owned();
    Ok(revision::read_folder(&path).map(|files| (name, files)))
}

fn broken(problems: &[diagnostic::Diagnostic]) -> anyhow::Result<ExitCode> {
    std::io::stderr().write_all(diagnostic::render(problems, false).as_bytes())?;
    Ok(ExitCode::from(EXIT_FOUND))
}

/// Runs that share a database need one master key, or none could open what another sealed: the environment's, else
/// one that the URL gives. It protects nothing, as becomes a throw-away database.
fn shared_master_key(url: &str) -> Zeroizing<String> {
    let derived = || Zeroizing::new(crypto::sha256_hex(format!("rolecall dev {url}").as_bytes()));
    std::env::var(MASTER_KEY_VARIABLE).map_or_else(|_| derived(), Zeroizing::new)
}

fn tenant_id(name: &str, shared: bool) -> TenantId {
    let kept: String = name.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(NAME_CHARS).collect();
    let trimmed = kept.trim_matches('-');
    let base = if trimmed.is_empty() { "dev" } else { trimmed };
    let suffix: String = crypto::random_id().chars().take(SUFFIX_CHARS).collect();
    TenantId(if shared { format!("{base}-{suffix}") } else { base.to_owned() })
}

/// Makes the tenant, its revision, a connection and an API token: everything that the first line tells.
async fn provision(running: &Running, tenant: &TenantId, files: Files, shared: bool) -> Result<Value, TenancyError> {
    let app: &Arc<App> = &running.app;
    // Owned by the API, so that `rolecall tenant apply` works on it.
    reload::load_files(app, tenant, files, "api").await?;
    let actor = Actor { kind: "startup".to_owned(), id: "dev".to_owned() };
    let (connection, token) = tenancy::create_connection(app, tenant, "dev", (ConnectionState::Active, false), &actor).await?;
    let lifetime = shared.then_some(TOKEN_LIFETIME_SECONDS);
    let api = tenancy::create_api_token(app, ApiScope { write: true, ..ApiScope::default() }, lifetime).await?;
    let link = visitors::first_link(app, Some(visitors::LINK_SECONDS_LIMIT)).await?;
    let url = running.url();
    Ok(json!({
        "base_url": format!("{url}/scim/{}/v2", connection.id),
        "token": *token.token,
        "api_url": format!("{url}/api/v1"),
        "api_token": *api.token,
        "tenant": tenant,
        "connection": connection.id,
        "workspace_url": format!("{url}/workspace/links/{}", *link.token),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_named_for_their_folder_and_kept_apart_where_the_database_is_shared() {
        assert_eq!(tenant_id("acme", false).0, "acme");
        assert_eq!(tenant_id("Ümläut & Co-", false).0, "mlutco");
        assert_eq!(tenant_id("---", false).0, "dev");
        let (one, two) = (tenant_id(&"a".repeat(100), true), tenant_id(&"a".repeat(100), true));
        assert_ne!(one, two);
        assert!(one.0.len() <= 63);
    }
}
