//! One call: a fresh store and instance, the limits that hold it, what it may ask of the host, and what its end means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Instance, InstancePre, Linker};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Store, StoreContextMut, Trap, WasmBacktrace};

use super::check::{short, size};
use super::contract::{self, Level};
use super::engine::{Machine, SLICE_FUEL, Watch, carry_out};
use super::error::PluginFault;
use super::limits::{
    CELL_FUEL, FRAMES_LIMIT, HOST_CALL_FUEL, LOG_LINE_BYTES_LIMIT, LOG_LINES_LIMIT, STACK_BYTES_LIMIT, TABLE_ELEMENTS_LIMIT,
};
use super::{Frame, LogLine, Seen, Tables, Usage};

/// What a store holds for its plugin.
pub struct Running {
    tables: Option<Arc<Tables>>,
    logs: Vec<LogLine>,
    dropped_lines: u64,
    memory_bytes: usize,
    /// What it may have, in bytes.
    memory_limit: usize,
    /// The first growth that was denied: why the plugin stopped, if it did.
    denied: Option<PluginFault>,
    watch: Watch,
    /// The fuel that was left when the clock was last looked at from within.
    looked_at: u64,
}

/// A plugin that can be instantiated, and what an instance may have.
pub struct Ready {
    pub pre: InstancePre<Running>,
    /// Linear memory, in bytes: by the plugin's kind.
    pub memory_bytes: usize,
    /// Fuel for a call, likewise.
    pub fuel: u64,
}

/// Instantiates the plugin and calls it. What the call used, logged and was doing at its end is seen also where it gives no answer.
///
/// # Errors
/// The fault.
pub fn run<R>(
    machine: &Machine,
    plugin: &Ready,
    tables: Option<&Arc<Tables>>,
    seen: &mut Seen,
    call: impl AsyncFnOnce(&mut Store<Running>, &Instance) -> wasmtime::Result<R>,
) -> Result<R, PluginFault> {
    let started = Instant::now();
    let watch = Watch::new(started, &machine.limits);
    let running = Running::new(tables.cloned(), plugin.memory_bytes, plugin.fuel, watch);
    let mut store = Store::new(&machine.engine, running);
    store.limiter(|running| running);
    store.set_hostcall_fuel(machine.limits.output_bytes);
    let answered = carry_out(watch, async {
        store.set_fuel(plugin.fuel)?;
        store.fuel_async_yield_interval(Some(SLICE_FUEL))?;
        let instance = plugin.pre.instantiate_async(&mut store).await?;
        call(&mut store, &instance).await
    });
    let answer = answered.map_err(|error| {
        seen.backtrace = backtrace(&error);
        fault(machine, plugin, &store, &error, started.elapsed())
    });
    let fuel = plugin.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
    let running = store.into_data();
    seen.usage = Usage { fuel, memory_bytes: running.memory_bytes, took: started.elapsed() };
    seen.logs = running.into_logs();
    answer
}

fn fault(machine: &Machine, plugin: &Ready, store: &Store<Running>, error: &wasmtime::Error, took: Duration) -> PluginFault {
    let limits = machine.limits;
    let at = || innermost_function(error);
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return PluginFault::Fuel { used: plugin.fuel, allowed: plugin.fuel },
        Some(Trap::Interrupt) => {
            let stood_still = took >= Duration::from_millis(limits.wall_clock_ms);
            return PluginFault::Timeout { allowed_ms: if stood_still { limits.wall_clock_ms } else { limits.cpu_time_ms } };
        }
        Some(Trap::StackOverflow) => return PluginFault::Stack { allowed: size(STACK_BYTES_LIMIT), at: at() },
        // A plugin that was denied memory mostly stops itself: the denial says more than the trap.
        Some(trap) => return store.data().denied.clone().unwrap_or_else(|| PluginFault::Trap { what: trap.to_string(), at: at() }),
        None => {}
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return PluginFault::NoSlot { allowed: machine.slots };
    }
    if let Some(denied) = &store.data().denied {
        return denied.clone();
    }
    let message = format!("{error:#}");
    // The engine's error has no type of its own.
    if message.contains("fuel allocated for hostcalls has been exhausted") {
        return PluginFault::OutputTooLarge { allowed: size(limits.output_bytes) };
    }
    // Neither a trap nor ours: the canonical form of an answer was broken (an address, a text that is no UTF-8 …).
    PluginFault::InvalidAnswer { path: String::new(), problem: short(&message) }
}

/// The functions that were running, from the innermost outwards. Only the engine's rendering makes names readable again.
fn backtrace(error: &wasmtime::Error) -> Vec<Frame> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let rendered = backtrace.to_string();
    let mut frames: Vec<Frame> = Vec::new();
    for line in rendered.lines().skip(1) {
        let line = line.trim();
        if let Some(source) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.source.get_or_insert_with(|| short(source));
            }
            continue;
        }
        if frames.len() == FRAMES_LIMIT {
            break;
        }
        let (place, name) = line.split_once(" - ").or_else(|| line.strip_prefix("- ").map(|name| ("", name))).unwrap_or(("", line));
        let offset = place.rsplit_once("0x").and_then(|(_, digits)| u64::from_str_radix(digits.trim(), 16).ok());
        let function = short(name.split_once('!').map_or(name, |(_, name)| name));
        frames.push(Frame { function, offset, source: None });
    }
    frames
}

fn innermost_function(error: &wasmtime::Error) -> Option<String> {
    let named = error.downcast_ref::<WasmBacktrace>()?.frames().first()?.func_name().is_some();
    backtrace(error).into_iter().next().filter(|_| named).map(|frame| frame.function)
}

impl ResourceLimiter for Running {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            self.denied.get_or_insert(PluginFault::Memory { used: size(total), allowed: size(self.memory_limit) });
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_LIMIT {
            self.denied.get_or_insert(PluginFault::Table { used: size(desired), allowed: size(TABLE_ELEMENTS_LIMIT) });
            return Ok(false);
        }
        Ok(true)
    }
}

/// All that a plugin gets.
pub fn link(linker: &mut Linker<Running>) -> wasmtime::Result<()> {
    let mut host = linker.instance(contract::HOST)?;
    host.func_wrap("log", |mut store: StoreContextMut<'_, Running>, (level, message): (Level, String)| {
        charge(&mut store, message.len(), 0)?;
        store.data_mut().log(level, message);
        Ok(())
    })?;
    host.func_wrap("lookup", |mut store: StoreContextMut<'_, Running>, (table, key): (String, String)| {
        // Paid for before it is copied.
        let row = store.data().row(&table, &key);
        let (cells, bytes) = row.map_or((0, 0), |row| (row.len(), row.iter().map(|(column, value)| column.len() + value.len()).sum()));
        charge(&mut store, table.len() + key.len() + bytes, cells)?;
        let row = store.data().row(&table, &key);
        let row: Option<Vec<(String, String)>> = row.map(|row| row.iter().map(|(column, value)| (column.clone(), value.clone())).collect());
        Ok((row,))
    })
}

/// The host's work is paid for in fuel: else a loop of look-ups would be nearly free.
fn charge(store: &mut StoreContextMut<'_, Running>, bytes: usize, cells: usize) -> wasmtime::Result<()> {
    let cost = HOST_CALL_FUEL.saturating_add(size(bytes)).saturating_add(CELL_FUEL.saturating_mul(size(cells)));
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(cost))?;
    if left < cost {
        return Err(Trap::OutOfFuel.into());
    }
    // To set the fuel begins a new slice, so that a plugin that calls the host again and again never comes to the end of one.
    let running = store.data_mut();
    if running.looked_at.saturating_sub(left) >= SLICE_FUEL {
        running.looked_at = left;
        if running.watch.is_over() {
            return Err(Trap::Interrupt.into());
        }
    }
    Ok(())
}

impl Running {
    /// Of a call that may have this much memory and fuel.
    pub fn new(tables: Option<Arc<Tables>>, memory_limit: usize, fuel: u64, watch: Watch) -> Self {
        Self { tables, logs: Vec::new(), dropped_lines: 0, memory_bytes: 0, memory_limit, denied: None, watch, looked_at: fuel }
    }

    /// What was logged, and a note for what was dropped.
    pub fn into_logs(self) -> Vec<LogLine> {
        let mut logs = self.logs;
        if self.dropped_lines > 0 {
            let message = format!("{} more lines were dropped: at most {LOG_LINES_LIMIT} of a call are kept", self.dropped_lines);
            logs.push(LogLine { level: "warn".into(), message });
        }
        logs
    }

    pub fn log(&mut self, level: Level, mut message: String) {
        if self.logs.len() >= LOG_LINES_LIMIT {
            self.dropped_lines += 1;
            return;
        }
        if message.len() > LOG_LINE_BYTES_LIMIT {
            message.truncate(message.floor_char_boundary(LOG_LINE_BYTES_LIMIT));
            message.push('…');
        }
        // A line stays a line wherever it is shown.
        let message = message.replace(char::is_control, " ");
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.logs.push(LogLine { level: level.into(), message });
    }

    fn row(&self, table: &str, key: &str) -> Option<&BTreeMap<String, String>> {
        self.tables.as_ref()?.get(table)?.get(key)
    }
}
