//! `make bench`: ratios measured in one run, in alternating rounds; a table for people and `target/bench.json` for machines.
//!
//! A harness of its own and not a framework's: what matters here is two sides measured against each other while the
//! machine does whatever it does, and whole requests as well as single calls. `docs/performance.md` says what each figure means.

#[path = "rolecall/commits.rs"]
mod commits;
#[path = "rolecall/plugins.rs"]
mod plugins;
#[path = "rolecall/policies.rs"]
mod policies;
#[path = "rolecall/provisioning.rs"]
mod provisioning;
#[path = "rolecall/report.rs"]
mod report;

use std::path::Path;

use report::Report;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    let mut report = Report::default();
    policies::measure(&mut report);
    plugins::measure(&mut report);
    runtime.block_on(async {
        let creates = provisioning::measure(&mut report).await;
        commits::measure(&mut report, &creates).await;
    });
    print!("{}", report.table());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench.json");
    std::fs::write(&path, report.json()).expect("the figures can be written");
    println!("written to target/bench.json");
}
