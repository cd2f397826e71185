//! PostgreSQL's own programs: `pg_dump`, `pg_restore` and `psql`. How to connect is told in their environment, which other users of the machine
//! can't read, and never on a command line, which they can.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};

use super::{CHUNK_BYTES, Progress, Say, TOLD_EVERY_BYTES};
use crate::store::Restore;
use crate::store::copy::{BACKUP_ROLE, Snapshot, Standing};

/// Where Debian keeps the programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The most that is shown of what a program says went wrong, in characters.
const SAID_CHARS_LIMIT: usize = 2_000;

/// Why one of the programs did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not there.
    #[error(
        "`{0}` is not installed: install PostgreSQL's client programs (Debian: `postgresql-client`), or name their folder with `--pg-bin`"
    )]
    Missing(&'static str),
    /// It can't be run, or not be spoken with.
    #[error("`{program}` can't be run")]
    Unusable {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// The URL can't be read.
    #[error("the database's URL can't be read: it is `postgres://USER@HOST/DATABASE`")]
    Url,
}

type Result<T> = std::result::Result<T, ToolError>;

/// Where the programs are.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    /// Their folder; `None` looks in the path, and where Debian keeps them.
    pub folder: Option<PathBuf>,
}

/// A program that runs, with what it says.
struct Running {
    program: &'static str,
    child: Child,
    said: tokio::task::JoinHandle<String>,
}

impl Running {
    /// Waits for its end.
    async fn end(mut self) -> Result<()> {
        let program = self.program;
        let status = self.child.wait().await.map_err(|source| ToolError::Unusable { program, source })?;
        let said = self.said.await.unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(ToolError::Failed { program, said: if said.is_empty() { status.to_string() } else { said } })
    }
}

impl Tools {
    /// Writes a dump of a snapshot.
    ///
    /// # Errors
    /// [`ToolError`].
    pub(super) async fn dump(&self, url: &str, snapshot: &Snapshot, into: &mut (impl io::Write + Send), say: &Say) -> Result<()> {
        let program = "pg_dump";
        let namespace = format!("--schema=\"{}\"", snapshot.namespace().replace('"', "\"\""));
        let arguments = [
            "--format=custom",
            "--no-owner",
            "--no-password",
            "--enable-row-security",
            &format!("--role={BACKUP_ROLE}"),
            &format!("--snapshot={}", snapshot.id()),
            &namespace,
        ];
        let mut running = self.start(program, url, &arguments, Stdio::null(), Stdio::piped())?;
        let unusable = |source| ToolError::Unusable { program, source };
        if let Some(mut out) = running.child.stdout.take() {
            let mut part = vec![0; CHUNK_BYTES];
            let (mut done, mut told) = (0_u64, 0_u64);
            say(Progress { step: "copying the database", done, of: None });
            loop {
                let read = out.read(&mut part).await.map_err(unusable)?;
                if read == 0 {
                    break;
                }
                into.write_all(&part[..read]).map_err(unusable)?;
                done += read as u64;
                if done - told >= TOLD_EVERY_BYTES {
                    told = done;
                    say(Progress { step: "copying the database", done, of: None });
                }
            }
        }
        running.end().await
    }

    /// Puts a dump in the place of what stands, in one transaction, with the row that says so.
    ///
    /// # Errors
    /// [`ToolError`]; then nothing has changed.
    pub(super) async fn restore(
        &self,
        url: &str,
        standing: &Standing,
        mut dump: std::fs::File,
        restore: &Restore,
        say: &Say,
    ) -> Result<()> {
        let namespace = format!("--schema={}", standing.namespace);
        let arguments = ["--format=custom", "--no-owner", "--exit-on-error", "--file=-", &namespace];
        let mut reading = self.start("pg_restore", url, &arguments, Stdio::piped(), Stdio::piped())?;
        let arguments = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"];
        let mut writing = self.start("psql", url, &arguments, Stdio::piped(), Stdio::null())?;
        let (Some(mut into_reading), Some(mut out), Some(mut sql)) =
            (reading.child.stdin.take(), reading.child.stdout.take(), writing.child.stdin.take())
        else {
            return Err(ToolError::Unusable { program: "psql", source: io::Error::other("it takes no input") });
        };
        say(Progress { step: "restoring", done: 0, of: None });
        let feeding = tokio::spawn(async move {
            let mut part = vec![0; CHUNK_BYTES];
            loop {
                let read = dump.read(&mut part)?;
                if read == 0 {
                    return into_reading.shutdown().await;
                }
                into_reading.write_all(&part[..read]).await?;
            }
        });
        // Whoever stops early says why when it ends, so that a pipe that breaks says nothing new.
        let begun = sql.write_all(opening(standing).as_bytes()).await;
        let piped = match begun {
            Ok(()) => tokio::io::copy(&mut out, &mut sql).await.map(|_| ()),
            failed => failed,
        };
        if piped.is_err() {
            drop(sql);
            writing.end().await?;
            return piped.map_err(|source| ToolError::Unusable { program: "psql", source });
        }
        // Only a dump that was read to its end is committed: whatever ends before leaves a transaction open, which is undone.
        reading.end().await?;
        let fed = feeding.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        fed.map_err(|source| ToolError::Unusable { program: "pg_restore", source })?;
        let closed = sql.write_all(closing(standing, restore).as_bytes()).await;
        drop(sql);
        writing.end().await?;
        closed.map_err(|source| ToolError::Unusable { program: "psql", source })
    }

    fn start(&self, program: &'static str, url: &str, arguments: &[&str], input: Stdio, output: Stdio) -> Result<Running> {
        let mut command = Command::new(self.find(program)?);
        command.args(arguments).envs(environment(url).ok_or(ToolError::Url)?).stdin(input).stdout(output).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(|source| ToolError::Unusable { program, source })?;
        let said = tokio::spawn(read_said(child.stderr.take()));
        Ok(Running { program, child, said })
    }

    /// Where a program is.
    fn find(&self, program: &'static str) -> Result<PathBuf> {
        let is_there = |folder: &Path| Some(folder.join(program)).filter(|path| path.is_file());
        if let Some(folder) = &self.folder {
            return is_there(folder).ok_or(ToolError::Missing(program));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        if let Some(found) = std::env::split_paths(&path).find_map(|folder| is_there(&folder)) {
            return Ok(found);
        }
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let mut folders: Vec<(u32, PathBuf)> =
            versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
        folders.sort();
        folders.iter().rev().find_map(|(_, folder)| is_there(folder)).ok_or(ToolError::Missing(program))
    }
}

/// What a program says, as far as it is shown; it is read to its end, so that nobody waits for a reader.
async fn read_said(stderr: Option<ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(mut stderr) = stderr {
        // Whatever was read until it broke is what there is.
        let _ = stderr.read_to_end(&mut said).await;
    }
    let text = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|c| !c.is_control()).take(SAID_CHARS_LIMIT).collect()
}

/// What comes before the dump: the transaction, the end of what stands, and the roles that rights are given to.
fn opening(standing: &Standing) -> String {
    let mut sql = String::from("BEGIN;\nSET client_min_messages = warning;\n");
    if !standing.tables.is_empty() {
        let tables: Vec<String> =
            standing.tables.iter().map(|table| format!("{}.{}", quoted(&standing.namespace), quoted(table))).collect();
        sql += &format!("DROP TABLE {} CASCADE;\n", tables.join(", "));
    }
    sql += "DO $roles$
DECLARE
    wanted TEXT;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['rolecall_app', 'rolecall_platform', 'rolecall_backup'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', wanted, current_user);
        END IF;
    END LOOP;
END $roles$;\n";
    sql
}

/// What comes behind it: the row that says that it was restored, and the end of the transaction.
fn closing(standing: &Standing, restore: &Restore) -> String {
    let Restore { id, at, backup_at, revoke_tokens } = restore;
    format!(
        "\nSET LOCAL row_security = on;
SET LOCAL ROLE rolecall_platform;
INSERT INTO {}.restores (restore_id, at, backup_at, revoke_tokens, finished) VALUES ('{}', {}, {}, {revoke_tokens}, FALSE);
COMMIT;\n",
        quoted(&standing.namespace),
        id.replace('\'', "''"),
        at.0,
        backup_at.0
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How to connect, as PostgreSQL's programs read it from their environment. What the URL leaves open is asked of the environment that is there
/// already (`PGPASSWORD`, `PGPASSFILE`, `PGSERVICE`, `PGSSLMODE` …), as the server asks it.
fn environment(url: &str) -> Option<Vec<(&'static str, String)>> {
    let url = reqwest::Url::parse(url).ok()?;
    let mut found = Vec::new();
    let mut set = |name: &'static str, value: String| {
        if !value.is_empty() {
            found.retain(|(known, _)| *known != name);
            found.push((name, value));
        }
    };
    if let Some(host) = url.host_str() {
        set("PGHOST", unescaped(host.trim_start_matches('[').trim_end_matches(']'))?);
    }
    set("PGPORT", url.port().map(|port| port.to_string()).unwrap_or_default());
    set("PGUSER", unescaped(url.username())?);
    set("PGPASSWORD", unescaped(url.password().unwrap_or_default())?);
    set("PGDATABASE", unescaped(url.path().trim_start_matches('/'))?);
    for (name, value) in url.query_pairs() {
        let name = match name.as_ref() {
            "host" | "hostaddr" => "PGHOST",
            "port" => "PGPORT",
            "user" => "PGUSER",
            "password" => "PGPASSWORD",
            "dbname" => "PGDATABASE",
            "options" => "PGOPTIONS",
            "sslmode" | "ssl-mode" => "PGSSLMODE",
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
            "sslcert" | "ssl-cert" => "PGSSLCERT",
            "sslkey" | "ssl-key" => "PGSSLKEY",
            _ => continue,
        };
        set(name, value.into_owned());
    }
    Some(found)
}

/// Percent-escapes as what they stand for.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Instant;

    #[test]
    fn how_to_connect_is_told_in_the_environment() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            (
                "postgres://role%40call:p%3Aw%25@db.example:6432/roles?sslmode=verify-full&sslrootcert=/etc/ca.pem",
                &[
                    ("PGHOST", "db.example"),
                    ("PGPORT", "6432"),
                    ("PGUSER", "role@call"),
                    ("PGPASSWORD", "p:w%"),
                    ("PGDATABASE", "roles"),
                    ("PGSSLMODE", "verify-full"),
                    ("PGSSLROOTCERT", "/etc/ca.pem"),
                ],
            ),
            ("postgresql:///roles?host=/run/postgresql&user=x", &[("PGDATABASE", "roles"), ("PGHOST", "/run/postgresql"), ("PGUSER", "x")]),
            ("postgres://u@[::1]/d?statement-cache-capacity=1", &[("PGHOST", "::1"), ("PGUSER", "u"), ("PGDATABASE", "d")]),
        ];
        for (url, expected) in cases {
            let found = environment(url).unwrap();
            assert_eq!(found.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), *expected, "{url}");
        }
        assert_eq!(environment("postgres://u:%zz@h/d"), None);
    }

    #[test]
    fn names_and_values_in_statements_are_quoted() {
        let standing = Standing { namespace: "o\"x".into(), tables: vec!["a".into(), "b\"".into()], servers: 0, counts: None };
        assert!(opening(&standing).contains("DROP TABLE \"o\"\"x\".\"a\", \"o\"\"x\".\"b\"\"\" CASCADE;"));
        let restore = Restore { id: "i'd".into(), at: Instant(5), backup_at: Instant(3), revoke_tokens: true };
        let closing = closing(&standing, &restore);
        assert!(closing.contains("VALUES ('i''d', 5, 3, true, FALSE);\nCOMMIT;"), "{closing}");
        assert!(!opening(&Standing { tables: Vec::new(), ..standing }).contains("DROP"));
    }
}
