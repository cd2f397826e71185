//! `rolecall process`: what is to be done for people who join, move and leave.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::connection::At;
use crate::cli::{Output, items, render, word};

/// See and carry out what is to be done for people who join, move and leave.
#[derive(clap::Subcommand)]
pub enum Step {
    /// List people's processes: open ones, unless another state is given
    #[command(after_help = "Examples:\n  rolecall process list --tenant acme --overdue\n  \
                            rolecall process list --tenant acme --kind leaver --state done")]
    List {
        /// Show those in this state
        #[arg(long, value_name = "STATE", value_parser = ["open", "done", "called_off"])]
        state: Option<String>,
        /// Show those of this kind
        #[arg(long, value_name = "KIND", value_parser = ["joiner", "mover", "leaver"])]
        kind: Option<String>,
        /// Show those of this account, by id or login name
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// Show those with a step that is past its date
        #[arg(long)]
        overdue: bool,
        /// Show those behind this one
        #[arg(long, value_name = "PROCESS")]
        after: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Show a process with its steps
    #[command(after_help = "Example:\n  rolecall process show --tenant acme 5be2…")]
    Show {
        /// The process
        process: String,
        #[command(flatten)]
        at: At,
    },
    /// Say that a step is done
    #[command(after_help = "Example:\n  rolecall process done --tenant acme 5be2… laptop")]
    Done {
        /// The process
        process: String,
        /// The step
        step: String,
        /// What there is to say of it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Say that a step is not to be done, and why
    #[command(after_help = "Example:\n  rolecall process skip --tenant acme 5be2… laptop --reason 'brings their own'")]
    Skip {
        /// The process
        process: String,
        /// The step
        step: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
}

impl Step {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { state, kind, account, overdue, after, at } => {
                let asked = [("state", state), ("kind", kind), ("account", account), ("after", after)];
                let mut query: Vec<(&str, &str)> = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                if overdue {
                    query.push(("overdue", "true"));
                }
                let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "processes"], &query).await?;
                output.show(&listed, |_| Ok(table(&listed)))?;
            }
            Self::Show { process, at } => {
                let shown = at.remote.connect()?.get(&["tenants", &at.tenant, "processes", &process], &[]).await?;
                output.show(&shown, |_| Ok(steps(&shown)))?;
            }
            Self::Done { process, step, reason, at } => say(at, (&process, &step, "done"), &json!({"reason": reason}), output).await?,
            Self::Skip { process, step, reason, at } => say(at, (&process, &step, "skip"), &json!({"reason": reason}), output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn say(at: At, (process, step, what): (&str, &str, &str), body: &Value, output: Output) -> anyhow::Result<()> {
    let path = ["tenants", at.tenant.as_str(), "processes", process, "steps", step, what];
    let answer = at.remote.connect()?.post(&path, body).await?;
    output.show(&answer, |_| Ok(steps(&answer)))
}

fn table(listed: &Value) -> String {
    let mut table = render::table(["process", "login name", "kind", "from", "steps left", "overdue", "next due"]);
    for process in items(listed, "processes") {
        let with =
            |states: &[&str]| items(process, "steps").iter().filter(|step| states.iter().any(|state| step["state"] == *state)).collect();
        let (left, overdue): (Vec<&Value>, Vec<&Value>) = (with(&["open", "overdue"]), with(&["overdue"]));
        let next = left.iter().map(|step| word(&step["due"])).min().unwrap_or_else(|| "–".to_owned());
        let [id, name, kind, anchor] = ["id", "user_name", "kind", "anchor"].map(|key| word(&process[key]));
        table.add_row([id, name, kind, anchor, left.len().to_string(), overdue.len().to_string(), next]);
    }
    let more = listed["next"].as_str().map(|next| format!("more: --after {next}\n")).unwrap_or_default();
    format!("{table}\n{more}")
}

fn steps(process: &Value) -> String {
    let [name, kind, state, anchor] = ["user_name", "kind", "state", "anchor"].map(|key| word(&process[key]));
    let mut table = render::table(["step", "what", "owner", "state", "due", "said"]);
    for step in items(process, "steps") {
        table.add_row(["id", "title", "owner", "state", "due", "reason"].map(|key| word(&step[key])));
    }
    format!("{name}, {kind} from {anchor}: {state}\n{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_what_is_left_and_whose_it_is() {
        let process = json!({
            "id": "p1", "user_name": "ada", "kind": "joiner", "state": "open", "anchor": "2031-05-01T00:00:00.000Z", "steps": [
                {"id": "laptop", "title": "A laptop", "owner": "it", "state": "overdue", "due": "2031-04-29T00:00:00.000Z", "reason": null},
                {"id": "badge", "title": "A badge", "owner": "desk", "state": "done", "due": "2031-05-01T00:00:00.000Z", "reason": "given"},
            ],
        });
        let shown = steps(&process);
        for part in ["ada, joiner from 2031-05-01", "A laptop", "overdue", "desk", "given"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let listed = table(&json!({"processes": [process], "next": "p1"}));
        for part in ["p1", "2031-04-29", "more: --after p1"] {
            assert!(listed.contains(part), "{part}: {listed}");
        }
    }
}
