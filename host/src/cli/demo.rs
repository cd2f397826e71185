//! `rolecall demo`: two tenants, invented people, and the requests that real identity providers send; then a server to try by hand.
//!
//! The traffic and what must come of it are data (`examples/traffic`): a surprise ends the demonstration with an error.

mod player;
mod story;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use zeroize::Zeroizing;

use self::player::{Left, Player, Snapshot};
use self::traffic::{Chapter, Question, Show, Traffic};
use super::account::explained;
use super::client::Api;
use super::serve::{self, Running, Signals};
use super::{EXIT_FOUND, Output, logging, word};
use crate::config::{Config, LogFormat};
use crate::diagnostic;
use crate::reload::{self, FolderError};
use crate::store::ApiScope;
use crate::tenancy::{self, TenancyError, visitors};

/// The files that are played, in order.
const TRAFFIC: [&str; 2] = ["acme", "globex"];

/// See it work: two tenants, invented people, and what Entra ID and Okta really send.
#[derive(clap::Args)]
#[command(after_help = "\
Runs from a checkout: it reads examples/tenants and examples/traffic. Nothing is kept.
Exit code 1 when anything comes out otherwise than the traffic files say.

Examples:
  rolecall demo
  rolecall demo --exit")]
pub struct Demo {
    /// End when the story is told, instead of serving
    #[arg(long)]
    exit: bool,
    /// The folder that holds `tenants` and `traffic`
    #[arg(long, value_name = "DIR", default_value = "examples")]
    examples: PathBuf,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// What is logged, to standard error
    #[arg(long, value_name = "FILTER", default_value = "error")]
    log_level: String,
}

impl Demo {
    /// Tells the story, then serves until interrupted.
    ///
    /// # Errors
    /// When something comes out otherwise than expected.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        logging::init(LogFormat::Text, &self.log_level)?;
        let mut stop = Signals::new()?;
        let scratch = tempfile::tempdir().context("no temporary directory can be made")?;
        let config = Config { listen: self.listen.clone(), ..Config::local(scratch.path()) };
        let running = serve::start(&config).await?;
        let told = tokio::select! {
            told = self.tell(&running, output) => told,
            _ = stop.received() => Ok(ExitCode::SUCCESS),
        };
        if !self.exit && told.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS) {
            output.print("\nServing until you press Ctrl-C.\n")?;
            stop.received().await;
        }
        running.stop().await;
        told
    }

    async fn tell(&self, running: &Running, output: Output) -> anyhow::Result<ExitCode> {
        let token = tenancy::create_api_token(&running.app, ApiScope { write: true, ..ApiScope::default() }, None).await?.token;
        let api = Api::new(&running.url(), token.clone())?;
        let mut played = Vec::new();
        for name in TRAFFIC {
            if let Err(error) = reload::load_folder(&running.app, &self.examples.join("tenants").join(name)).await {
                return unloaded(name, error, output);
            }
            let traffic = traffic::read(&self.examples.join("traffic").join(format!("{name}.json")))?;
            played.push(play(&api, &traffic, output).await?);
        }
        strangers(&played, output).await?;
        let requests: usize = played.iter().map(Player::requests).sum();
        let people: usize = played.iter().map(|player| player.people().len()).sum();
        output.print(
            &output
                .paint
                .good(&format!("\n{requests} requests, {people} people, {} tenants: everything came out as expected.\n", played.len())),
        )?;
        if !self.exit {
            let link = visitors::first_link(&running.app, Some(visitors::LINK_SECONDS_LIMIT)).await?;
            output.print(&by_hand(&running.url(), &token, &played))?;
            output.print(&format!(
                "\nThe workspace, in a browser (the link is good once):\n\n  {}/workspace/links/{}\n",
                running.url(),
                *link.token
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unloaded(name: &str, error: FolderError, output: Output) -> anyhow::Result<ExitCode> {
    match error {
        FolderError::Broken(problems) | FolderError::Refused(TenancyError::Broken(problems)) => {
            output.print(&diagnostic::render(&problems, output.paint.colours()))?;
            output.print("The demonstration runs from a checkout with its plugins built: `make demo` does both.\n")?;
            Ok(ExitCode::from(EXIT_FOUND))
        }
        error => Err(anyhow::Error::new(error).context(format!("the tenant folder `{name}` can't be loaded"))),
    }
}

/// Plays one tenant's traffic and tells each chapter.
async fn play<'a>(api: &'a Api, traffic: &Traffic, output: Output) -> anyhow::Result<Player<'a>> {
    let Traffic { tenant, client, about, .. } = traffic;
    output.print(&format!(
        "\n{}\n{}",
        output.paint.strong(&format!("═══ {tenant}, provisioned by {client} ═══")),
        story::wrapped(about)
    ))?;
    let made = api.post(&["tenants", tenant, "connections"], &json!({"name": client, "staging": false, "guarded": false})).await?;
    let (Some(base_url), Some(token)) = (made["base_url"].as_str(), made["token"].as_str()) else {
        bail!("the answer to a new connection has no base URL or token");
    };
    let mut player = Player::new(api, traffic, base_url.to_owned(), Zeroizing::new(token.to_owned()))?;
    for (number, chapter) in (1..).zip(&traffic.chapters) {
        tell(&mut player, traffic, chapter, number, output)
            .await
            .with_context(|| format!("{tenant}, chapter {number}, `{}`", chapter.title))?;
    }
    Ok(player)
}

async fn tell(player: &mut Player<'_>, traffic: &Traffic, chapter: &Chapter, number: usize, output: Output) -> anyhow::Result<()> {
    output.print(&format!("\n{}\n", output.paint.strong(&format!("{number}. {}", chapter.title))))?;
    if !chapter.about.is_empty() {
        output.print(&story::wrapped(&chapter.about))?;
    }
    let before = player.settled().await?;
    let mut leavers: Vec<(String, Left)> = Vec::new();
    for step in &chapter.steps {
        player.send(step).await?;
        leavers.extend(step.leaver.iter().filter_map(|person| Some((person.clone(), player.left(person)?))));
    }
    output.print(&story::requests(&chapter.steps))?;
    for handle in &chapter.confirm {
        player.confirm(handle).await?;
        output.print(&format!("  a person confirms the handle: rolecall handle confirm --tenant {} {handle}\n", traffic.tenant))?;
    }
    let after = player.settled().await?;
    for show in &chapter.show {
        output.print(&shown(*show, player, traffic, chapter, (&before, &after), &leavers).await?)?;
    }
    for Question { person, role } in &chapter.explain {
        let account = after.get(person).with_context(|| format!("{person} has no account to explain"))?;
        let login = word(&account["user_name"]);
        output.print(&format!("  rolecall explain --tenant {} {login} {role}\n", traffic.tenant))?;
        output.print(&explained(&login, &player.explain(account, role).await?, output.paint))?;
    }
    let surprises: Vec<String> = chapter.expect.iter().filter_map(|(person, expected)| story::surprise(person, expected, &after)).collect();
    ensure!(surprises.is_empty(), "{}", surprises.join("; "));
    Ok(())
}

async fn shown(
    show: Show,
    player: &Player<'_>,
    traffic: &Traffic,
    chapter: &Chapter,
    (before, after): (&Snapshot, &Snapshot),
    leavers: &[(String, Left)],
) -> anyhow::Result<String> {
    let people = if chapter.people.is_empty() { player.people() } else { &chapter.people };
    Ok(match show {
        Show::Accounts => story::accounts(people, &player.resources(people).await?, after, &traffic.compare),
        Show::Roles => story::roles(people, &player.resources(people).await?, after),
        Show::Handles => story::handles(&player.handles().await?),
        Show::Change => story::change(people, before, after),
        Show::Leavers => story::leavers(leavers, before, after),
    })
}

/// One tenant's token at the other tenant's door: as if nothing were there.
async fn strangers(played: &[Player<'_>], output: Output) -> anyhow::Result<()> {
    let [one, other] = played else { return Ok(()) };
    output.print(&format!("\n{}\n", output.paint.strong("═══ Tenants are apart ═══")))?;
    for (here, there) in [(one, other), (other, one)] {
        let status = here.knock(there).await?;
        ensure!(status == 401, "{}'s token at {}'s address was answered {status} instead of 401", here.tenant(), there.tenant());
        output.print(&format!(
            "  {}'s token at {}'s address → 401, as for an address that does not exist\n",
            here.tenant(),
            there.tenant()
        ))?;
    }
    Ok(())
}

/// Lines that work when they are pasted into a shell.
fn by_hand(url: &str, api_token: &str, played: &[Player<'_>]) -> String {
    let mut text = format!("\nTry it by hand. The API, as an operator:\n\n  export ROLECALL_SERVER={url} ROLECALL_TOKEN={api_token}\n");
    for player in played {
        let tenant = player.tenant();
        text += &format!("  rolecall account list --tenant {tenant}\n");
    }
    text += &format!("  curl -s -H 'Authorization: Bearer {api_token}' {url}/api/v1/tenants\n");
    for player in played {
        text += &format!("\nSCIM, as {}'s identity provider:\n\n", player.tenant());
        text += &format!("  curl -s -H 'Authorization: Bearer {}' '{}/Users?count=2'\n", player.token(), player.base_url());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::cli::demo::traffic::{Memory, body, fill, fill_text};

    /// Every file is played without a server: an id is invented for everything that a step saves.
    #[test]
    fn the_examples_hold_together() {
        let saved = json!({"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {}});
        for name in TRAFFIC {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/traffic").join(format!("{name}.json"));
            let traffic = traffic::read(&path).unwrap();
            let (mut memory, mut people, mut groups) = (Memory::new(), BTreeSet::new(), 0);
            for chapter in &traffic.chapters {
                for step in &chapter.steps {
                    fill_text(&step.path, &memory).unwrap();
                    body(step, &memory).unwrap();
                    step.expect.values().for_each(|value| drop(fill(value, &memory).unwrap()));
                    step.save.keys().chain(&step.person).for_each(|name| drop(memory.insert(name.clone(), saved.clone())));
                    people.extend(step.person.clone());
                    groups += usize::from(step.method == "POST" && step.path == "/Groups");
                }
                let named =
                    chapter.people.iter().chain(chapter.expect.keys()).chain(chapter.steps.iter().filter_map(|step| step.leaver.as_ref()));
                named.for_each(|person| assert!(people.contains(person), "{name}: `{person}` was not made"));
            }
            assert!(people.len() >= 20 && groups >= 6, "{name} has {} people and {groups} groups", people.len());
            assert!(traffic.chapters.iter().any(|chapter| chapter.expect.values().any(|expected| expected.roles.is_some())));
        }
    }
}
