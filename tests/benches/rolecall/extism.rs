//! The same mapping in Extism, beside Rolecall's sandbox: `scripts/bench-extism` builds it and says where it is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rolecall::model::Instant;
use rolecall::plugins::{Call, Sandbox, SandboxConfig, Tables};
use rolecall_tests::wasm;

use crate::plugins::{large, projected, small};
use crate::report::{ROUNDS, Report, at};

/// Calls of a round, each way.
const CALLS: usize = 1_000;
/// Calls in one of our instances: as in `plugins`.
const REUSES: usize = 8;

/// The other process.
struct Extism {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Extism {
    fn start(program: &str, guest: &str, person: &str) -> Self {
        let mut child = Command::new(program)
            .args([guest, person])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`scripts/bench-extism` built it");
        let (input, output) = (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    /// Microseconds of each call.
    fn round(&mut self, what: &str) -> Vec<f64> {
        writeln!(self.input, "{what} {CALLS}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        let times: Vec<f64> = line.split_whitespace().map(|time| time.parse::<f64>().expect("a number") / 1e3).collect();
        assert_eq!(times.len(), CALLS, "it answers each call");
        times
    }

    fn end(mut self) {
        drop(self.input);
        self.child.wait().expect("it ends with its input");
    }
}

/// Fresh and reused, ours and theirs, for both people.
pub fn measure(report: &mut Report) {
    let Ok(program) = std::env::var("ROLECALL_BENCH_EXTISM") else { return };
    let guest = std::env::var("ROLECALL_BENCH_EXTISM_GUEST").expect("the guest is named beside the program");
    let sandbox = Sandbox::new(&SandboxConfig::default()).expect("the sandbox can be made");
    let plugin = sandbox.load(&wasm::plugin("people_mapping")).expect("the example plugin is a plugin");
    let tables = Arc::new(Tables::new());
    for (size, user) in [("200-byte", small()), ("4 KiB", large())] {
        let person = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(person.path(), projected(&user).to_string()).expect("a file can be written");
        let mut theirs = Extism::start(&program, &guest, person.path().to_str().expect("a path is a text"));
        let as_of = Instant(1_790_000_000_000_000).timestamp();
        let call = Call { as_of, connection: "connection", settings: &"{}".into(), user: &user, groups: &["engineering"], tables: &tables };
        let us = |time: std::time::Duration| time.as_secs_f64() * 1e6;
        let fresh = || {
            let started = std::time::Instant::now();
            plugin.transform_user(&call).expect("the plugin answers");
            us(started.elapsed())
        };
        let again = || plugin.time_reused(&call, REUSES + 1).expect("the plugin answers").split_off(1);
        let mut sides: [Vec<f64>; 6] = Default::default();
        for _ in 0..ROUNDS {
            let ours: Vec<f64> = (0..CALLS).map(|_| fresh()).collect();
            let (their_fresh, their_reused) = (theirs.round("fresh"), theirs.round("reused"));
            let reused: Vec<f64> = (0..CALLS / REUSES).flat_map(|_| again()).map(|call| us(call.whole)).collect();
            let values =
                [at(&ours, 0.5), at(&their_fresh, 0.5), at(&ours, 0.99), at(&their_fresh, 0.99), at(&reused, 0.5), at(&their_reused, 0.5)];
            for (side, value) in sides.iter_mut().zip(values) {
                side.push(value);
            }
        }
        theirs.end();
        let [ours, their_fresh, ours_p99, their_p99, reused, their_reused] = sides;
        report.add(format!("fresh instance, {size} person, p50"), "µs a call", ("Extism", their_fresh), ("Rolecall", ours.clone()));
        report.add(format!("fresh instance, {size} person, p99"), "µs a call", ("Extism", their_p99), ("Rolecall", ours_p99));
        report.add(format!("reused instance, {size} person, p50"), "µs a call", ("Extism", their_reused.clone()), ("Rolecall", reused));
        report.add(format!("ours fresh, theirs reused, {size}"), "µs a call", ("Rolecall", ours), ("Extism", their_reused));
    }
}
