//! `rolecall drift`: an identity provider's export is compared with what is stored, and what was seen is carried out.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::connection::{At, Which};
use crate::cli::import::{format_of, read};
use crate::cli::{Output, confirmed, items, render, word};
use crate::tenancy::imports::LISTING_BYTES_LIMIT;

/// Lines that are shown: a few screens. The CSV has them all.
const PAGE: u32 = 100;

/// Compare what an identity provider lists with what is stored, and put it right.
#[derive(clap::Subcommand)]
pub enum Drift {
    /// Compare an export, CSV or JSON, with what is stored of a connection; nothing is changed
    #[command(
        after_help = "Columns: user_name (required), external_id, active, display_name, given_name, family_name, title, user_type, department,\n\
                      division, organization, cost_center, employee_number, emails, groups; several emails or groups of a cell are separated by\n\
                      `;`. JSON is an array of objects with the same names.\n\nExamples:\n  rolecall drift compare --tenant acme entra-id export.csv\n  \
                      export-users | rolecall drift compare --tenant acme entra-id - --format json --partial"
    )]
    Compare {
        #[command(flatten)]
        which: Which,
        /// The export; `-` for standard input
        file: PathBuf,
        /// It does not list everybody: nobody is extra
        #[arg(long)]
        partial: bool,
        /// How it is written [default: by its ending, else csv]
        #[arg(long, value_parser = ["csv", "json"])]
        format: Option<String>,
    },
    /// List what was compared, newest first
    #[command(after_help = "Example:\n  rolecall drift list --tenant acme")]
    List {
        #[command(flatten)]
        at: At,
    },
    /// Show who is listed otherwise than stored, and what carrying that out would do to their roles
    #[command(
        after_help = "Examples:\n  rolecall drift show --tenant acme 4f1c…\n  rolecall drift show --tenant acme 4f1c… --csv > drift.csv"
    )]
    Show {
        /// The reconciliation
        reconciliation: String,
        /// All lines, as CSV
        #[arg(long, conflicts_with = "json")]
        csv: bool,
        /// Only lines of this kind
        #[arg(long, value_parser = ["missing", "extra", "differing", "doubt"])]
        kind: Option<String>,
        /// How many lines
        #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Go on behind this line
        #[arg(long, value_name = "LINE")]
        after: Option<u32>,
        #[command(flatten)]
        at: At,
    },
    /// Make people as they are listed
    #[command(after_help = "Example:\n  rolecall drift carry-out --tenant acme 4f1c… --reason 'the connector was broken for a week'")]
    CarryOut {
        /// The reconciliation
        reconciliation: String,
        /// What was seen, as `show` says it [default: what is there now, shown and asked about]
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        at: At,
    },
    /// Give a reconciliation up: nothing more comes of it
    #[command(after_help = "Example:\n  rolecall drift abandon --tenant acme 4f1c… --reason 'the export was of another tenant'")]
    Abandon {
        /// The reconciliation
        reconciliation: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
}

impl Drift {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Compare { which, file, partial, format } => {
                let format = format.unwrap_or_else(|| format_of(&file).to_owned());
                let body = json!({"format": format, "content": read(&file, LISTING_BYTES_LIMIT)?, "complete": !partial});
                let (api, tenant, id) = which.find().await?;
                let sent = api.post(&["tenants", &tenant, "connections", &id, "reconciliations"], &body).await;
                let answer = sent.map_err(|error| error.about(&file))?;
                output.show(&answer, |_| Ok(numbers(&answer)))?;
            }
            Self::List { at } => {
                let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "reconciliations"], &[]).await?;
                output.show(&listed, |_| {
                    let mut table = render::table(["reconciliation", "connection", "state", "listed", "stored", "differ", "created"]);
                    for one in items(&listed, "reconciliations") {
                        let counts = &one["counts"];
                        let cells = [&one["id"], &one["connection"], &one["state"], &counts["listed"], &counts["stored"], &one["distance"]];
                        table.add_row(cells.into_iter().chain([&one["created"]]).map(word));
                    }
                    Ok(format!("{table}\n"))
                })?;
            }
            Self::Show { reconciliation, csv, kind, limit, after, at } => {
                let (limit, after) = (limit.to_string(), after.map(|after| after.to_string()));
                let mut query = vec![("limit", limit.as_str())];
                query.extend(kind.as_deref().map(|kind| ("kind", kind)));
                query.extend(after.as_deref().map(|after| ("after", after)));
                show(&reconciliation, csv, query, at, output).await?;
            }
            Self::CarryOut { reconciliation, digest, reason, yes, at } => {
                let api = at.remote.connect()?;
                let path = ["tenants", &at.tenant, "reconciliations", &reconciliation];
                let digest = match digest {
                    Some(digest) => json!(digest),
                    None => {
                        let found = api.get(&path, &[]).await?;
                        if !yes {
                            output.print(&numbers(&found))?;
                        }
                        found["digest"].clone()
                    }
                };
                anyhow::ensure!(digest.is_string(), "it is not known yet what this does to people's roles: wait until it is `ready`");
                if !confirmed(yes, "Make people as they are listed?")? {
                    output.print("nothing was changed\n")?;
                    return Ok(ExitCode::SUCCESS);
                }
                let path = ["tenants", &at.tenant, "reconciliations", &reconciliation, "carry-out"];
                let answer = api.post(&path, &json!({"digest": digest, "reason": reason})).await?;
                output.show(&answer, |_| {
                    let hold = match answer["held"].as_i64() {
                        Some(1..) => format!("{} people wait in hold {}\n", word(&answer["held"]), word(&answer["reconciliation"]["hold"])),
                        _ => String::new(),
                    };
                    Ok(format!("it is being carried out: see `rolecall drift show`\n{hold}"))
                })?;
            }
            Self::Abandon { reconciliation, reason, at } => {
                let path = ["tenants", &at.tenant, "reconciliations", &reconciliation, "abandon"];
                let answer = at.remote.connect()?.post(&path, &json!({"reason": reason})).await?;
                output.show(&answer, |_| Ok("it is given up\n".to_owned()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn show(reconciliation: &str, csv: bool, mut query: Vec<(&str, &str)>, at: At, output: Output) -> anyhow::Result<()> {
    let api = at.remote.connect()?;
    let lines = ["tenants", &at.tenant, "reconciliations", reconciliation, "lines"];
    if csv {
        query.retain(|(name, _)| *name == "kind");
        query.push(("format", "csv"));
        return api.download(&lines, &query, &mut std::io::stdout().lock()).await;
    }
    let found = api.get(&["tenants", &at.tenant, "reconciliations", reconciliation], &[]).await?;
    let page = api.get(&lines, &query).await?;
    let answer = json!({"reconciliation": found, "lines": page["lines"], "next": page["next"]});
    output.show(&answer, |_| {
        let mut table = render::table(["line", "kind", "person", "what differs", "gains", "loses", "outcome"]);
        for line in items(&page, "lines") {
            let roles = |key: &str| items(&line["forecast"], key).iter().map(word).collect::<Vec<_>>().join(" ");
            let outcome = format!("{} {}", word(&line["outcome"]), line["note"].as_str().unwrap_or_default()).trim().to_owned();
            let cells = [word(&line["line"]), word(&line["kind"]), word(&line["user_name"]), differing(line)];
            table.add_row(cells.into_iter().chain([roles("gains"), roles("loses"), outcome]));
        }
        let more = if page["next"].is_null() { String::new() } else { format!("more: --after {}\n", word(&page["next"])) };
        Ok(format!("{}{table}\n{more}", numbers(&found)))
    })
}

/// What differs, in a few words.
fn differing(line: &Value) -> String {
    let attributes = items(line, "attributes").iter().map(|one| {
        let name = word(&one["attribute"]);
        format!("{}: {} → {}", name.rsplit(':').next().unwrap_or_default(), word(&one["stored"]), word(&one["listed"]))
    });
    let groups = |key: &str, sign: char| items(line, key).iter().map(|group| format!("{sign}{}", word(&group["name"]))).collect::<Vec<_>>();
    attributes.chain(groups("joins", '+')).chain(groups("leaves", '-')).collect::<Vec<_>>().join("; ")
}

fn numbers(found: &Value) -> String {
    let (counts, number) = (&found["counts"], |key: &str| word(&found["counts"][key]));
    let unknown = items(counts, "unknown_groups").iter().map(word).collect::<Vec<_>>().join(", ");
    let unknown = if unknown.is_empty() { unknown } else { format!("groups that are not stored, or are several: {unknown}\n") };
    format!(
        "reconciliation {} is {}\n{} listed, {} stored: {} missing, {} extra, {} differing, {} doubts; {} memberships differ\n{unknown}digest {}\n",
        word(&found["id"]),
        word(&found["state"]),
        number("listed"),
        number("stored"),
        number("missing"),
        number("extra"),
        number("differing"),
        number("doubts"),
        number("memberships"),
        word(&found["digest"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_in_a_few_words() {
        let line = json!({"attributes": [{"attribute": "urn:x:User:department", "stored": null, "listed": "R&D"}],
                          "joins": [{"name": "staff"}], "leaves": [{"name": "admins"}]});
        assert_eq!(differing(&line), "department: – → R&D; +staff; -admins");
        let found = json!({"id": "4f", "state": "ready", "digest": "d", "counts": {"listed": 3, "stored": 2, "unknown_groups": ["x"]}});
        assert!(numbers(&found).contains("3 listed, 2 stored") && numbers(&found).contains("several: x\n"));
    }
}
