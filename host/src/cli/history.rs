//! `rolecall history`: verify it, take its signed head, and ask who held what on a day.

mod held;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::connection::At;
use crate::cli::render::{self, Paint};
use crate::cli::{EXIT_FOUND, Output, items, new_file, word};
use crate::history::chain::Anchor;

/// Batches that are shown at once.
const BATCH_PAGE: u32 = 100;
/// A head has a few hundred bytes: a larger file is another file.
const ANCHOR_BYTES: u64 = 16 * 1024;

/// Verify the history, keep its signed head, and ask who held what on a day.
#[derive(clap::Subcommand)]
pub enum History {
    /// Look for events that were altered, removed or reordered
    #[command(
        after_help = "Examples:\n  rolecall history verify --tenant acme\n  rolecall history verify --tenant acme --anchor head.json\n\n\
        Without a head that was kept elsewhere, an end that was cut off and sealed anew can't be told from one that never was.\n\
        Exit code 1 when something is wrong."
    )]
    Verify {
        /// A head that `rolecall history head` wrote
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
        /// Begin with this event
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        from: i64,
        #[command(flatten)]
        at: At,
    },
    /// Write the signed head of the history, to be kept where nobody who can write to the database can write
    #[command(after_help = "Example:\n  rolecall history head --tenant acme --out acme-2026-09-21.json")]
    Head {
        /// Where to write it; a file that is there is not replaced [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Check the signature of a head, without a server
    #[command(after_help = "Example:\n  rolecall history check acme-2026-09-21.json --public-key BASE64")]
    Check {
        /// The file
        file: PathBuf,
        /// The installation's public key as it was noted down, in base64; without it, the key in the file is taken
        #[arg(long, value_name = "BASE64")]
        public_key: Option<String>,
    },
    /// List the sealed batches
    Batches {
        /// Only batches after this number
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: i64,
        /// How many
        #[arg(long, value_name = "N", default_value_t = BATCH_PAGE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
        #[command(flatten)]
        at: At,
    },
    WhoHad(held::WhoHad),
    RolesOf(held::RolesOf),
}

impl History {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's, and a file that can't be read or written.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Verify { anchor, from, at } => return verify(anchor.as_deref(), from, at, output).await,
            Self::Head { out, at } => head(out.as_deref(), at, output).await?,
            Self::Check { file, public_key } => check(&file, public_key.as_deref(), output)?,
            Self::Batches { after, limit, at } => batches(after, limit, at, output).await?,
            Self::WhoHad(asked) => asked.run(output).await?,
            Self::RolesOf(asked) => asked.run(output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn verify(anchor: Option<&Path>, from: i64, at: At, output: Output) -> anyhow::Result<ExitCode> {
    let anchor = anchor.map(|path| read_anchor(path).map(|anchor| json!(anchor))).transpose()?;
    let api = at.remote.connect()?;
    let (mut events, mut batches, mut found, mut findings) = (0_u64, 0_u64, 0_u64, Vec::new());
    let mut body = json!({"from": from, "anchor": anchor});
    let (last, unsealed) = loop {
        let part = api.post(&["tenants", &at.tenant, "history", "verify"], &body).await?;
        let number = |name: &str| part[name].as_u64().unwrap_or_default();
        events += number("events");
        batches += number("batches");
        found += number("found");
        findings.extend(items(&part, "findings").iter().cloned());
        let Some(next) = part["next"].as_i64() else { break (part["last"].clone(), part["unsealed"].clone()) };
        if !output.json {
            progress(events, found);
        }
        body = json!({"after": next});
    };
    let answer = json!({"events": events, "batches": batches, "last": last, "unsealed": unsealed, "found": found, "findings": findings,
                        "anchor": anchor});
    output.show(&answer, |paint| Ok(verdict(&answer, paint)))?;
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FOUND) })
}

/// How far it is, on standard error: the answer alone goes to standard output.
fn progress(events: u64, found: u64) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{events} events verified, {found} findings");
}

fn verdict(answer: &Value, paint: Paint) -> String {
    let mut text = String::new();
    for finding in items(answer, "findings") {
        text += &format!("{} {}\n", paint.bad(&word(&finding["what"])), word(&finding["message"]));
    }
    let of = format!("{} events in {} batches", word(&answer["events"]), word(&answer["batches"]));
    let unsealed = match answer["unsealed"].as_u64() {
        Some(count) if count > 0 => format!("; {count} more are not sealed yet"),
        _ => String::new(),
    };
    let anchored = match answer["anchor"]["last"].as_i64() {
        Some(last) => format!("; compared with a head up to event {last}"),
        None => "; compared with no head that was kept elsewhere (`--anchor`)".to_owned(),
    };
    match answer["found"].as_u64() {
        Some(0) => text + &format!("{}: {of}{anchored}{unsealed}\n", paint.good("whole")),
        _ => text + &format!("{}: {} findings in {of}{anchored}{unsealed}\n", paint.bad("altered"), word(&answer["found"])),
    }
}

async fn head(out: Option<&Path>, at: At, output: Output) -> anyhow::Result<()> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "history", "head"], &[]).await?;
    let head = &answer["head"];
    anyhow::ensure!(!head.is_null(), "nothing is sealed yet: `{}` has no history", at.tenant);
    let text = format!("{head:#}\n");
    let Some(path) = out else { return output.print(&text) };
    let shown = path.display();
    let mut file = new_file(path, std::fs::OpenOptions::new())?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.with_context(|| format!("the head can't be written to `{shown}`"))?;
    output.show(head, |_| {
        Ok(format!("the head up to event {} is in `{shown}`; signed with {}\n", word(&head["last"]), word(&head["public_key"])))
    })
}

fn check(path: &Path, public_key: Option<&str>, output: Output) -> anyhow::Result<()> {
    let anchor = read_anchor(path)?;
    if let Some(known) = public_key.map(str::trim) {
        anyhow::ensure!(
            known == anchor.public_key,
            "`{}` was signed with the key {}, which is not the one that was given",
            path.display(),
            anchor.public_key
        );
    }
    let Anchor { tenant, last, sealed, public_key, .. } = &anchor;
    output.show(&json!(anchor), |paint| {
        Ok(format!("{}: history of `{tenant}` up to event {last}, sealed {sealed}, signed with {public_key}\n", paint.good("right")))
    })
}

/// Reads a head and checks its signature.
fn read_anchor(path: &Path) -> anyhow::Result<Anchor> {
    let shown = path.display();
    let bytes = std::fs::metadata(path).with_context(|| format!("the head `{shown}` can't be read"))?.len();
    anyhow::ensure!(bytes <= ANCHOR_BYTES, "`{shown}` has more than {ANCHOR_BYTES} bytes: it is no head of a history");
    let text = std::fs::read_to_string(path).with_context(|| format!("the head `{shown}` can't be read"))?;
    let anchor: Anchor = serde_json::from_str(&text).with_context(|| format!("`{shown}` is no head of a history"))?;
    anchor.check().with_context(|| format!("the head in `{shown}` proves nothing"))?;
    Ok(anchor)
}

async fn batches(after: i64, limit: u32, at: At, output: Output) -> anyhow::Result<()> {
    let (after, limit) = (after.to_string(), limit.to_string());
    let query = [("after", after.as_str()), ("limit", &limit)];
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "history", "batches"], &query).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["batch", "events", "sealed", "hash"]);
        for batch in items(&answer, "batches") {
            let events = format!("{} to {}", word(&batch["first"]), word(&batch["last"]));
            table.add_row([word(&batch["batch"]), events, word(&batch["sealed"]), word(&batch["hash"])]);
        }
        let more = if answer["next"].is_null() { String::new() } else { format!("there is more: `--after {}`\n", word(&answer["next"])) };
        Ok(format!("{table}\n{more}"))
    })
}
