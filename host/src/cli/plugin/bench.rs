//! `rolecall plugin bench`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::question::{Question, Said};
use crate::cli::render;
use crate::cli::{EXIT_FOUND, Output, tenant};
use crate::plugins::limits::Kind;
use crate::plugins::{Limits, Usage};

/// Calls before the measured ones, so that the first is not the slowest of all.
const WARM_UP: u32 = 100;

/// A bench of one question.
#[derive(clap::Args)]
pub struct Bench {
    #[command(flatten)]
    question: Question,
    /// How many times to ask
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
}

impl Bench {
    pub(super) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let asked = match self.question.ask()? {
            Ok(asked) => asked,
            Err((dir, problems)) => return tenant::broken(&dir, &problems, output),
        };
        for _ in 0..WARM_UP.min(self.calls) {
            asked.answer();
        }
        let mut times = Vec::new();
        let mut used: BTreeMap<&'static str, (Kind, Usage)> = BTreeMap::new();
        for _ in 0..self.calls {
            let started = Instant::now();
            let Said { steps, fault, .. } = asked.answer();
            times.push(started.elapsed());
            if let Some((hook, fault)) = fault {
                output
                    .show(&json!({"ok": false, "fault": {"hook": hook, "code": fault.code(), "message": fault.to_string()}}), |paint| {
                        Ok(format!("{} {hook}: {fault}\n", paint.bad(&format!("fault `{}`", fault.code()))))
                    })?;
                return Ok(ExitCode::from(EXIT_FOUND));
            }
            used.extend(steps.into_iter().map(|step| (step.hook, (step.kind, step.usage))));
        }
        times.sort_unstable();
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        let limits = Limits::default();
        let hooks: BTreeMap<&str, Value> = used
            .iter()
            .map(|(hook, (kind, usage))| {
                let value = json!({
                    "fuel": usage.fuel, "fuel_limit": limits.fuel_of(*kind),
                    "memory_bytes": usage.memory_bytes, "memory_bytes_limit": limits.memory_bytes_of(*kind),
                });
                (*hook, value)
            })
            .collect();
        let value = json!({"ok": true, "calls": self.calls, "p50_us": micros(p50), "p99_us": micros(p99), "hooks": hooks});
        output.show(&value, |paint| {
            let mut text =
                format!("{} in {} calls: p50 {:.1} µs, p99 {:.1} µs\n", paint.strong("one person"), self.calls, micros(p50), micros(p99));
            let mut table = render::table(["", "uses", "may use", "share"]);
            for (hook, (kind, usage)) in &used {
                let row = |what: &str, used: u64, most: u64| {
                    let share = if most == 0 { 0.0 } else { used as f64 / most as f64 * 100.0 };
                    [format!("{hook}: {what}"), used.to_string(), most.to_string(), format!("{share:.2} %")]
                };
                table.add_row(row("fuel", usage.fuel, limits.fuel_of(*kind)));
                table.add_row(row("bytes of memory", usage.memory_bytes as u64, limits.memory_bytes_of(*kind) as u64));
            }
            text += &format!("{table}\n");
            Ok(text)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The time within which so many of a hundred calls ended.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
