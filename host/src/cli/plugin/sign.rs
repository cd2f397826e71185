//! `rolecall plugin check`, `keygen`, `sign` and `key`: what a server makes of a file, and whose signatures count.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::client::ApiError;
use crate::cli::connection::At;
use crate::cli::{Output, confirmed, items, new_file, render, word};
use crate::config::ConfigError;
use crate::crypto::sha256_hex;
use crate::crypto::signature::SigningKey;
use crate::revision::SIGNATURE_ENDING;

/// A plugin's file and a server.
#[derive(clap::Args)]
pub struct Check {
    /// The module or component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Settings that the plugin is to look at, as JSON
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    #[command(flatten)]
    at: At,
}

impl Check {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let bytes = super::bytes_of(&self.file)?;
        let settings: Option<Value> = self.settings.as_deref().map(serde_json::from_str).transpose().map_err(|error| {
            let problem = format!("is no JSON: {error}");
            ConfigError::Argument { name: "--settings", problem }
        })?;
        let signature = std::fs::read_to_string(signature_of(&self.file)).ok();
        let body = json!({"plugin": STANDARD.encode(bytes), "settings": settings, "signature": signature});
        let checked = self.at.remote.connect()?.post(&["tenants", &self.at.tenant, "plugins", "check"], &body).await;
        let answer = checked.map_err(|error| of_file(error, &self.file))?;
        output.show(&answer, |paint| {
            let hooks: Vec<String> = items(&answer, "hooks").iter().map(word).collect();
            let headline = paint.good(&format!("{} {}", word(&answer["name"]), word(&answer["version"])));
            Ok(format!("{headline}: {}\n{}\nsigned by {}\n", hooks.join(", "), word(&answer["digest"]), word(&answer["signed_by"])))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Problems with the name of the file, or of the signature beside it: the server knows neither.
fn of_file(mut error: ApiError, file: &Path) -> ApiError {
    if let ApiError::Refused { problem, .. } = &mut error {
        for one in problem.get_mut("problems").and_then(Value::as_array_mut).into_iter().flatten() {
            let of_signature = one["file"].as_str().is_some_and(|name| name.ends_with(SIGNATURE_ENDING));
            one["file"] = if of_signature { signature_of(file) } else { file.to_owned() }.display().to_string().into();
        }
    }
    error
}

fn signature_of(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(SIGNATURE_ENDING);
    path.into()
}

/// A key to be made.
#[derive(clap::Args)]
pub struct Keygen {
    /// The file to put the private key into; it must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Keygen {
    pub(super) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let shown = self.file.display();
        let private = SigningKey::generate();
        let public = SigningKey::read(&private)?.verifying()?;
        let mut options = std::fs::OpenOptions::new();
        options.mode(0o600);
        let mut file = new_file(&self.file, options)?;
        file.write_all(private.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("`{shown}` can't be written"))?;
        let value = json!({"private_key": self.file, "key": public.id(), "public_key": public.to_base64()});
        output.show(&value, |_| Ok(public.to_pem()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A plugin to be signed.
#[derive(clap::Args)]
pub struct Sign {
    /// The module or component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The private key's file
    #[arg(long, value_name = "KEYFILE")]
    key: PathBuf,
}

impl Sign {
    pub(super) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let text = std::fs::read_to_string(&self.key).with_context(|| format!("the key `{}` can't be read", self.key.display()))?;
        let key = SigningKey::read(&Zeroizing::new(text)).with_context(|| self.key.display().to_string())?;
        let bytes = super::bytes_of(&self.file)?;
        let digest = sha256_hex(&bytes);
        let signature = key.sign(&digest)?.to_base64();
        let beside = signature_of(&self.file);
        std::fs::write(&beside, format!("{signature}\n")).with_context(|| format!("`{}` can't be written", beside.display()))?;
        let id = key.verifying()?.id();
        output.show(&json!({"file": beside, "digest": digest, "key": id, "signature": signature}), |paint| {
            Ok(format!("{}\n{digest}\nsigned with key {id}\n", paint.good(&beside.display().to_string())))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Whose signatures count.
#[derive(clap::Subcommand)]
pub enum Key {
    /// Accept signatures of a key
    #[command(after_help = "Example:\n  rolecall plugin key add --tenant acme release release.pub")]
    Add {
        /// A name for people
        name: String,
        /// The public key's file: PEM, or 32 bytes in base64
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// List the keys, and whether plugins must be signed
    List {
        #[command(flatten)]
        at: At,
    },
    /// Accept a key's signatures no more; what is active stays so
    Remove {
        /// The key's id or name
        key: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        at: At,
    },
    /// Take signed plugins alone, or take all again
    #[command(after_help = "Examples:\n  rolecall plugin key require --tenant acme\n  rolecall plugin key require --tenant acme --off")]
    Require {
        /// Take plugins without a signature again
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        at: At,
    },
}

impl Key {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add { name, file, at } => {
                let text = std::fs::read_to_string(&file).with_context(|| format!("`{}` can't be read", file.display()))?;
                let body = json!({"name": name, "public_key": text});
                let answer = at.remote.connect()?.post(&["tenants", &at.tenant, "plugins", "keys"], &body).await?;
                output
                    .show(&answer, |paint| Ok(format!("{} counts for {}\nkey {}\n", paint.good(&name), at.tenant, word(&answer["id"]))))?;
            }
            Self::List { at } => {
                let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "plugins", "keys"], &[]).await?;
                output.show(&answer, |_| {
                    let mut table = render::table(["name", "key", "added"]);
                    for key in items(&answer, "keys") {
                        table.add_row(["name", "id", "created"].map(|cell| word(&key[cell])));
                    }
                    let rule = if answer["required"] == true { "signed plugins alone are taken" } else { "plugins need no signature" };
                    Ok(format!("{table}\n{rule}\n"))
                })?;
            }
            Self::Remove { key, yes, at } => {
                let api = at.remote.connect()?;
                if !confirmed(yes, &format!("Accept signatures of `{key}` no more for `{}`?", at.tenant))? {
                    output.print("nothing was removed\n")?;
                    return Ok(ExitCode::SUCCESS);
                }
                api.delete(&["tenants", &at.tenant, "plugins", "keys", &key]).await?;
                output.show(&json!({"removed": key}), |paint| Ok(format!("{} is removed\n", paint.strong(&key))))?;
            }
            Self::Require { off, at } => {
                let body = json!({"required": !off});
                at.remote.connect()?.put(&["tenants", &at.tenant, "plugins", "keys"], &body).await?;
                let rule = if off { "takes plugins without a signature" } else { "takes signed plugins alone" };
                output.show(&body, |paint| Ok(format!("{} {rule}\n", paint.strong(&at.tenant))))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
