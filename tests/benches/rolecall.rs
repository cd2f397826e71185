//! `make bench` and `make bench-peers`: ratios measured in one run, in alternating rounds; a table for people and `target/bench.json` for machines.
//!
//! A harness of its own and not a framework's: what matters here is two sides measured against each other while the
//! machine does whatever it does, and whole requests as well as single calls. `docs/performance.md` says what each figure means.

#[path = "rolecall/activation.rs"]
mod activation;
#[path = "rolecall/commits.rs"]
mod commits;
#[path = "rolecall/extism.rs"]
mod extism;
#[path = "rolecall/health.rs"]
mod health;
#[path = "rolecall/history.rs"]
mod history;
#[path = "rolecall/keeping.rs"]
mod keeping;
#[path = "rolecall/load.rs"]
mod load;
#[path = "rolecall/noisy.rs"]
mod noisy;
#[path = "rolecall/pages.rs"]
mod pages;
#[path = "rolecall/peers.rs"]
mod peers;
#[path = "rolecall/plugins.rs"]
mod plugins;
#[path = "rolecall/policies.rs"]
mod policies;
#[path = "rolecall/population.rs"]
mod population;
#[path = "rolecall/protocol.rs"]
mod protocol;
#[path = "rolecall/provisioning.rs"]
mod provisioning;
#[path = "rolecall/reevaluate.rs"]
mod reevaluate;
#[path = "rolecall/report.rs"]
mod report;
#[path = "rolecall/tenants.rs"]
mod tenants;

use std::path::Path;

use report::Report;
use rolecall_tests::Kind;

fn main() {
    // One figure alone: `cargo bench … -- provisioning`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let asked = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    // What goes wrong is told where it does.
    tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let mut report = Report::default();
    if asked("policies") {
        policies::measure(&mut report);
        policies::measure_why_not(&mut report);
    }
    if asked("reevaluate") {
        reevaluate::measure(&mut report);
    }
    if asked("plugins") {
        plugins::measure(&mut report);
    }
    if asked("extism") {
        extism::measure(&mut report);
    }
    if asked("health") {
        health::measure_judging(&mut report);
    }
    if asked("protocol") {
        protocol::filters(&mut report);
    }
    runtime.block_on(async {
        if asked("provisioning") {
            provisioning::measure(&mut report).await;
        }
        if asked("noisy") {
            noisy::measure(&mut report).await;
        }
        if asked("tenants") {
            tenants::measure(&mut report).await;
        }
        if asked("peers") {
            peers::measure(&mut report).await;
        }
        // On one kind of database alone: `cargo bench … -- pages postgres`.
        let kinds = [(Kind::Sqlite, "sqlite"), (Kind::Postgres, "postgres")];
        let named = |name: &str| wanted.iter().any(|wanted| wanted == name);
        let all = kinds.iter().all(|(_, name)| !named(name));
        for kind in kinds.into_iter().filter(|(_, name)| all || named(name)).map(|(kind, _)| kind) {
            if asked("commits") {
                commits::measure(&mut report, kind).await;
            }
            if asked("protocol") {
                protocol::get_by_id(&mut report, kind).await;
            }
            if asked("health") {
                health::measure_looking_after(&mut report, kind).await;
            }
            if asked("history") {
                history::measure(&mut report, kind).await;
            }
            if asked("keeping") {
                keeping::measure(&mut report, kind).await;
            }
            if asked("activation") {
                activation::measure(&mut report, kind).await;
            }
            if asked("pages") {
                pages::measure(&mut report, kind).await;
            }
            if asked("population") {
                population::measure(&mut report, kind).await;
            }
        }
    });
    print!("{}", report.table());
    let name = if wanted == ["peers"] { "bench-peers.json" } else { "bench.json" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(name);
    std::fs::write(&path, report.json()).expect("the figures can be written");
    println!("written to target/{name}");
}
