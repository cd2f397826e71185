//! The real binary as a process of its own, which a test may kill.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::Database;

/// How long a server may take to listen: first starts compile plugins.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The `rolecall` binary of the same target folder and profile as the running program.
///
/// # Panics
/// When it was not built: the Makefile builds it first, and a test that quietly skips is a defect.
#[must_use]
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its own binary");
    let folder = own.parent().expect("a binary is in a folder");
    // Tests are in `deps`, one below other binaries.
    let profile = if folder.ends_with("deps") { folder.parent().expect("`deps` is in the profile's folder") } else { folder };
    let binary = profile.join("rolecall");
    assert!(binary.is_file(), "`{}` is missing: build it with `cargo build -p rolecall` first", binary.display());
    binary
}

/// A server that runs as a process.
pub struct Process {
    child: Child,
    /// `http://ADDRESS`.
    pub url: String,
    // Read on, so that the process never waits for somebody to read.
    reader: tokio::task::JoinHandle<Vec<String>>,
}

impl Process {
    /// Starts `rolecall serve` on the database and waits until it listens.
    pub async fn serve(database: &Database) -> Self {
        Self::serve_with(database, &[]).await
    }

    /// The same with more in its environment.
    pub async fn serve_with(database: &Database, environment: &[(&str, &str)]) -> Self {
        let mut command = serve_command(database);
        let mut child = command
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server can be started");
        let mut lines = BufReader::new(child.stderr.take().expect("standard error is piped")).lines();
        let url = tokio::time::timeout(START_TIMEOUT, listening(&mut lines)).await.expect("the server listens in time");
        let reader = tokio::spawn(rest(lines));
        Self { child, url, reader }
    }

    /// The most memory that it ever had, in bytes.
    ///
    /// # Panics
    /// When the system does not say.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> usize {
        let id = self.child.id().expect("the process runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the system says");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the system says");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
    }

    /// Its number.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the process can be killed");
        self.reader.await.expect("its log can be read");
    }

    /// Asks it to stop, waits until it has, and gives what it logged.
    pub async fn terminate(mut self) -> Vec<String> {
        let id = self.child.id().expect("the process runs").to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await.expect("`kill` runs");
        assert!(told.success(), "SIGTERM can be sent");
        let status = tokio::time::timeout(START_TIMEOUT, self.child.wait()).await.expect("it stops in time").expect("it can be waited for");
        let log = self.reader.await.expect("its log can be read");
        assert!(status.success(), "it ended with {status}:\n{}", log.join("\n"));
        log
    }
}

/// `rolecall serve` on the database, on a free port.
#[must_use]
pub fn serve_command(database: &Database) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "info"])
        .arg("--data-dir")
        .arg(database.folder())
        .env("ROLECALL_DATABASE_URL", &database.url)
        // Tests read back all that they wrote, as quickly as they can.
        .env("ROLECALL_CONNECTION_REQUESTS_PER_SECOND", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Reads the log until it says where the server listens.
async fn listening(lines: &mut Lines<BufReader<ChildStderr>>) -> String {
    let mut read = Vec::new();
    while let Some(line) = lines.next_line().await.expect("standard error can be read") {
        let record: Value = serde_json::from_str(&line).unwrap_or_default();
        if record["message"] == "listening" {
            return format!("http://{}", record["addr"].as_str().expect("the log says where"));
        }
        read.push(line);
    }
    panic!("the server ended before it listened:\n{}", read.join("\n"));
}

async fn rest(mut lines: Lines<BufReader<ChildStderr>>) -> Vec<String> {
    let mut read = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        read.push(line);
    }
    read
}

/// Runs the binary to its end and gives status, standard output and standard error.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String, String) {
    feed(arguments, environment, "").await
}

/// As [`run`], with this on standard input.
pub async fn feed(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> (bool, String, String) {
    let (status, out, error) = ended(arguments, environment, input).await;
    (status.success(), out, error)
}

/// As [`run`], with the exit code, and both outputs together; -1 where a signal ended it.
pub async fn exit_code(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let (status, out, error) = ended(arguments, environment, "").await;
    (status.code().unwrap_or(-1), out + &error)
}

async fn ended(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> (ExitStatus, String, String) {
    let mut child = Command::new(binary())
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary can be run");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // Whoever reads nothing closes it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("the binary can be run");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

/// `rolecall dev` as a process, with the first line that it printed.
pub struct Dev {
    child: Child,
    /// Its first line.
    pub first_line: Value,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    /// Starts it with more arguments.
    pub async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["dev", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the server can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let first =
            tokio::time::timeout(START_TIMEOUT, lines.next_line()).await.expect("it prints a line in time").expect("it can be read");
        let first = first.expect("it prints a line before it ends");
        let first_line = serde_json::from_str(&first).unwrap_or_else(|e| panic!("the first line is no JSON ({e}): {first}"));
        Self { child, first_line, _stdout: lines }
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("the process can be killed");
    }
}
