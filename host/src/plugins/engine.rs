//! The engine: which WebAssembly there is, where instances live, and how long a call may take.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, Trap, WasmBacktraceDetails};

use super::call::{self, Running};
use super::error::PluginError;
use super::limits::{CORE_INSTANCES_LIMIT, INSTANCE_BYTES_LIMIT, STACK_BYTES_LIMIT, TABLE_ELEMENTS_LIMIT, TABLES_LIMIT};
use super::{Limits, SandboxConfig};
use crate::plugins::check::short;

/// Fuel after which a call stops to look at the clock: about half a millisecond, which is how much longer than it may a call runs.
pub const SLICE_FUEL: u64 = 500_000;
/// Stack for the host's own work below a plugin's: reading arguments, writing answers, logging.
const HOST_STACK_BYTES: usize = 768 * 1024;
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
}

impl Machine {
    pub fn new(config: &SandboxConfig) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine { reason: short(&format!("{error:#}")) };
        let slots = config.concurrency.max(1).saturating_add(SPARE_SLOTS);
        let engine = Engine::new(&settings(slots, config)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        call::link(&mut linker).map_err(failed)?;
        Ok(Self { engine, linker, limits: config.limits, slots })
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
}

/// Carries a call out on this thread, a slice of fuel at a time.
///
/// # Errors
/// The call's own, and [`Trap::Interrupt`] when it has run for too long.
pub fn carry_out<R>(mut watch: Watch, call: impl Future<Output = wasmtime::Result<R>>) -> wasmtime::Result<R> {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match call.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            // A slice is used up: a plugin has nothing else to wait for.
            Poll::Pending if watch.is_over() => return Err(Trap::Interrupt.into()),
            Poll::Pending => {}
        }
    }
}

/// The clock behind the fuel, for what the fuel does not see: how long a call may run by the processor time of its thread, because on a busy machine
/// it waits for the processor more than it runs; and by the wall clock, many times as long, on a thread that stands still.
#[derive(Clone, Copy)]
pub struct Watch {
    began: Instant,
    wall_clock: Duration,
    cpu_time: Duration,
    /// The thread's processor time at which the call ends. Reading it takes a system call, and nearly every call ends before the first look.
    ends: Option<Duration>,
}

impl Watch {
    pub fn new(began: Instant, limits: &Limits) -> Self {
        let wall_clock = Duration::from_millis(limits.wall_clock_ms);
        Self { began, wall_clock, cpu_time: Duration::from_millis(limits.cpu_time_ms), ends: None }
    }

    /// Whether the call has run for as long as it may. Counts processor time from the first look on, which comes after a slice.
    pub fn is_over(&mut self) -> bool {
        let ran = thread_time();
        ran >= *self.ends.get_or_insert(ran + self.cpu_time) || self.began.elapsed() >= self.wall_clock
    }
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
        .total_stacks(slots)
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
        .async_stack_size(STACK_BYTES_LIMIT + HOST_STACK_BYTES)
        // The verdict: counted, so that it is the same everywhere. The clock behind it is looked at between slices of fuel ([`Watch`]); epochs
        // would be asked for at every turn of every loop.
        .consume_fuel(true)
        .operator_cost(costs())
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
    /// Conversions, 2 to 3 ns; sums and products of floats, whose NaN is made canonical each time; products of vectors.
    const CONVERTS: u8 = 3;
    /// Roundings, minima and maxima of floats, changes of their width, products of vectors of long numbers: 4 to 10 ns.
    const ROUNDS: u8 = 8;
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
    set!(costs, ROUNDS, F32Min F32Max F64Min F64Max F32x4Min F32x4Max F64x2Min F64x2Max);
    set!(costs, ROUNDS, F32DemoteF64 F64PromoteF32 F32x4DemoteF64x2Zero F64x2PromoteLowF32x4 I64x2Mul);
    set!(costs, CONVERTS, F32Add F32Sub F32Mul F64Add F64Sub F64Mul F32x4Add F32x4Sub F32x4Mul F64x2Add F64x2Sub F64x2Mul);
    set!(costs, CONVERTS, I32x4Mul I32x4DotI16x8S I16x8Q15MulrSatS);
    set!(costs, CONVERTS, F32ConvertI64U F64ConvertI64U F32x4ConvertI32x4S F32x4ConvertI32x4U F64x2ConvertLowI32x4S F64x2ConvertLowI32x4U);
    set!(costs, CONVERTS, I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U);
    set!(costs, CONVERTS, I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U I64TruncSatF32S I64TruncSatF32U);
    set!(costs, CONVERTS, I64TruncSatF64S I64TruncSatF64U I32x4TruncSatF32x4S I32x4TruncSatF32x4U);
    set!(costs, CONVERTS, I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero);
    // A page that is new to the instance is mapped, and cleared again after the call.
    costs.variable.memory_grow_per_page = u8::MAX;
    costs
}
