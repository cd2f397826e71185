//! The engine: which WebAssembly there is, where instances live, and how long a call may take.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::component::{Component, Linker};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, Store, UpdateDeadline, WasmBacktraceDetails,
};

use super::call::{self, Running};
use super::error::PluginError;
use super::limits::{CORE_INSTANCES_LIMIT, INSTANCE_BYTES_LIMIT, STACK_BYTES_LIMIT, TABLE_ELEMENTS_LIMIT, TABLES_LIMIT};
use super::{Limits, SandboxConfig};
use crate::plugins::check::short;

/// How often the clock moves on: a call may run this much longer than it may.
const TICK: Duration = Duration::from_millis(10);
/// The clock of a call's thread is first read after this part of the time that it may run. Reading it costs a system call, and nearly
/// every call has ended by then.
const UNWATCHED_PART: u64 = 10;
/// Instances beside those of live evaluations: new revisions are checked on threads of their own.
const SPARE_SLOTS: u32 = 4;
/// Memory that a slot keeps between calls and clears instead of giving it back: what a small plugin touches.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;

/// What all plugins share.
pub struct Machine {
    pub engine: Engine,
    pub linker: Linker<Running>,
    pub limits: Limits,
    pub slots: u32,
    _ticker: Ticker,
}

impl Machine {
    pub fn new(config: &SandboxConfig) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine { reason: short(&format!("{error:#}")) };
        let slots = config.concurrency.max(1).saturating_add(SPARE_SLOTS);
        let engine = Engine::new(&settings(slots, config)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        call::link(&mut linker).map_err(failed)?;
        let ticker = Ticker::start(&engine).map_err(|error| PluginError::Engine { reason: error.to_string() })?;
        Ok(Self { engine, linker, limits: config.limits, slots, _ticker: ticker })
    }

    pub fn compile(&self, component: &[u8]) -> Result<Component, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Compile { reason: short(&format!("{error:#}")) };
        let compiled = Component::from_binary(&self.engine, component).map_err(failed)?;
        if let Some(needs) = compiled.resources_required()
            && needs.num_memories > 1
        {
            return Err(PluginError::Compile { reason: format!("it has {} memories and may have one", needs.num_memories) });
        }
        Ok(compiled)
    }

    /// Stops the store's call when it has run for too long: by the processor time of its thread, because on a busy machine a call waits for
    /// the processor more than it runs; and by the wall clock, many times as late, on one that stands still.
    pub fn watch<T: 'static>(&self, store: &mut Store<T>) {
        let began = Instant::now();
        let wall_clock = Duration::from_millis(self.limits.wall_clock_ms);
        let unwatched = Duration::from_millis(self.limits.cpu_time_ms / UNWATCHED_PART);
        let watched = Duration::from_millis(self.limits.cpu_time_ms).saturating_sub(unwatched);
        let mut ends = None;
        store.set_epoch_deadline(ticks(unwatched.min(wall_clock)));
        store.epoch_deadline_callback(move |_| {
            let ran = thread_time();
            let ends = *ends.get_or_insert(ran + watched);
            let left = ends.saturating_sub(ran).min(wall_clock.saturating_sub(began.elapsed()));
            Ok(if left.is_zero() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(ticks(left)) })
        });
    }
}

/// The ticks that take at least so long: one more, because the first may be about to end.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX).saturating_add(1)
}

/// The time that this thread has run.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn settings(slots: u32, sandbox: &SandboxConfig) -> Config {
    let limits = &sandbox.limits;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_LIMIT))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_LIMIT))
        .max_core_instances_per_component(CORE_INSTANCES_LIMIT)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_LIMIT)
        .max_memory_size(limits.memory_bytes.max(limits.interpreter_memory_bytes))
        .table_elements(TABLE_ELEMENTS_LIMIT)
        .max_core_instance_size(INSTANCE_BYTES_LIMIT)
        .max_component_instance_size(INSTANCE_BYTES_LIMIT)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .max_wasm_stack(STACK_BYTES_LIMIT)
        // The verdict: counted, so that it is the same everywhere.
        .consume_fuel(true)
        .operator_cost(costs())
        // What stands behind it, for what the fuel does not see.
        .epoch_interruption(true)
        // The bits of a NaN are the machine's choice otherwise.
        .cranelift_nan_canonicalization(true)
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_backtrace_details(if sandbox.source_lines { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable })
        .native_unwind_info(false);
    config
}

/// What an instruction costs: one unit, which is about a nanosecond, but for those that take longer. Without this table a loop of `memory.grow`
/// or `ref.func` takes twenty times as long for its fuel as a loop of additions. Measured by `plugins::tests::costs`, rounded up.
fn costs() -> OperatorCost {
    /// Leaves the compiled code for the host's: 50 to 80 ns.
    const LEAVES: u8 = 100;
    /// Leaves it for something short: 10 to 20 ns.
    const LEAVES_BRIEFLY: u8 = 20;
    /// Divisions and roots: 4 to 7 ns here, and 64-bit divisions 10 to 25 ns on older processors.
    const DIVIDES: u8 = 8;
    /// Roundings and conversions, 2 to 3 ns.
    const ROUNDS: u8 = 3;
    macro_rules! set {
        ($costs:ident, $cost:expr, $($operator:ident)+) => { $($costs.$operator = $cost;)+ };
    }
    let mut costs = OperatorCost::new();
    set!(costs, LEAVES, MemoryGrow TableGrow RefFunc);
    set!(costs, LEAVES_BRIEFLY, ElemDrop DataDrop TableInit TableCopy TableFill MemoryInit MemoryCopy MemoryFill);
    set!(costs, DIVIDES, I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU);
    set!(costs, DIVIDES, F32Div F64Div F32Sqrt F64Sqrt F32x4Div F64x2Div F32x4Sqrt F64x2Sqrt);
    set!(costs, ROUNDS, F32Ceil F32Floor F32Trunc F32Nearest F64Ceil F64Floor F64Trunc F64Nearest);
    set!(costs, ROUNDS, F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest);
    set!(costs, ROUNDS, F32ConvertI64U F64ConvertI64U F32x4ConvertI32x4S F32x4ConvertI32x4U F64x2ConvertLowI32x4S F64x2ConvertLowI32x4U);
    set!(costs, ROUNDS, I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U);
    set!(costs, ROUNDS, I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U I64TruncSatF32S I64TruncSatF32U);
    set!(costs, ROUNDS, I64TruncSatF64S I64TruncSatF64U I32x4TruncSatF32x4S I32x4TruncSatF32x4U);
    set!(costs, ROUNDS, I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero);
    // A page that is new to the instance is mapped, and cleared again after the call.
    costs.variable.memory_grow_per_page = u8::MAX;
    costs
}

/// A thread that moves the engine's epoch on, and ends with it.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let engine = engine.clone();
        let thread = std::thread::Builder::new().name("plugin-clock".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only counts, and can't panic.
            let _ = thread.join();
        }
    }
}
