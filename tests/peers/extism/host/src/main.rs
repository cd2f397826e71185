//! Times Extism: `extism-peer GUEST.wasm PERSON.json`, then a line `fresh N` or `reused N` on standard input for each round.
//! Answers with the nanoseconds of each call, in one line.

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, UserData, ValType, Wasm};

const HOST: &str = "rolecall:plugin/host@1.0.0";

fn compiled(path: &str) -> Result<CompiledPlugin> {
    let manifest = Manifest::new([Wasm::data(fs::read(path)?)]);
    // The mapping's source brings Rolecall's imports with it; nothing calls them here.
    let builder = PluginBuilder::new(manifest)
        .with_function_in_namespace(HOST, "log", [ValType::I32, ValType::I32, ValType::I32], [], UserData::new(()), |_, _, _, _| Ok(()))
        .with_function_in_namespace(HOST, "lookup", [ValType::I32, ValType::I32, ValType::I32, ValType::I32, ValType::I32], [], UserData::new(()), |_, _, _, _| Ok(()));
    CompiledPlugin::new(builder)
}

fn call(plugin: &mut Plugin, user: &str) -> Result<usize> {
    Ok(plugin.call::<&str, String>("transform_user", user)?.len())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (guest, person) = (arguments.next().context("no guest")?, arguments.next().context("no person")?);
    let (compiled, user) = (compiled(&guest)?, fs::read_to_string(person)?);
    let mut kept = Plugin::new_from_compiled(&compiled)?;
    let answer: String = kept.call("transform_user", user.as_str())?;
    ensure!(answer.contains("\"user_name\""), "no account: {answer}");
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (what, calls) = line.split_once(' ').context("expected `fresh N` or `reused N`")?;
        for _ in 0..calls.parse::<usize>()? {
            let started = Instant::now();
            if what == "fresh" {
                call(&mut Plugin::new_from_compiled(&compiled)?, &user)?;
            } else {
                call(&mut kept, &user)?;
            }
            write!(output, "{} ", started.elapsed().as_nanos())?;
        }
        writeln!(output)?;
        output.flush()?;
    }
    Ok(())
}
