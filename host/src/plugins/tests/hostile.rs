//! Plugins that mean harm, or act as if: each call ends with a typed fault, and the sandbox goes on.

use super::guest::{Guest, IMPORT_LOG, IMPORT_LOOKUP, answer};
use super::limits::{
    FUEL_LIMIT, INTERPRETER_FUEL_LIMIT, INTERPRETER_MEMORY_BYTES_LIMIT, LOG_LINE_BYTES_LIMIT, LOG_LINES_LIMIT, MEMORY_BYTES_LIMIT,
    OUTPUT_BYTES_LIMIT, STACK_BYTES_LIMIT, TABLE_ELEMENTS_LIMIT,
};
use super::*;
use crate::plugins::engine::SLICE_FUEL;

fn guest(body: &str) -> Guest {
    Guest { body: body.into(), ..Guest::transformer() }
}

/// The fault, after which the sandbox must go on as before.
fn fault(guest: &Guest) -> PluginFault {
    let module = guest.module();
    let fault = transform(&module).unwrap_err();
    assert_eq!(transform(&module).unwrap_err(), fault, "the same input gives the same verdict");
    assert_goes_on(sandbox());
    fault
}

const FUEL: PluginFault = PluginFault::Fuel { used: FUEL_LIMIT, allowed: FUEL_LIMIT };

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    assert_eq!(fault(&guest("(loop $forever (br $forever)) unreachable")), FUEL);
}

#[test]
fn storms_of_bulk_operations_run_out_of_fuel() {
    let copy = "(memory.copy (i32.const 8192) (i32.const 0) (i32.const 100000))";
    let fill = "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 100000))";
    for storm in [copy, fill] {
        assert_eq!(fault(&guest(&format!("(loop $forever {storm} (br $forever)) unreachable"))), FUEL, "{storm}");
    }
}

#[test]
fn memory_is_bounded() {
    let grows = guest("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable");
    let PluginFault::Memory { used, allowed } = fault(&grows) else { panic!("not the memory") };
    assert_eq!(allowed, MEMORY_BYTES_LIMIT as u64);
    assert!(used > allowed && used <= allowed + 16 * 65_536);
    // A plugin that gets along without what it was denied has an answer.
    let mut modest = Guest::transformer();
    let answer = modest.out_of_scope(b"did without");
    modest.body = format!("(drop (memory.grow (i32.const 30000))) {answer}");
    assert_eq!(transform(&modest.module()).unwrap().mapping, Mapping::OutOfScope { reason: "did without".into() });
}

#[test]
fn an_interpreter_is_known_by_what_it_starts_with_and_has_bounds_of_its_own() {
    for (pages, kind, most, fuel) in [
        (64, Kind::Compiled, MEMORY_BYTES_LIMIT, FUEL_LIMIT),
        (65, Kind::Interpreter, INTERPRETER_MEMORY_BYTES_LIMIT, INTERPRETER_FUEL_LIMIT),
    ] {
        let mut spins = guest("(loop $again (br $again)) unreachable");
        spins.pages = pages;
        assert_eq!(fault(&spins), PluginFault::Fuel { used: fuel, allowed: fuel });
        let mut grows = guest("(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable");
        grows.pages = pages;
        assert_eq!(sandbox().load(&grows.module()).unwrap().kind(), kind);
        let most = most as u64;
        assert_eq!(fault(&grows), PluginFault::Memory { used: most + 65_536, allowed: most });
    }
}

#[test]
fn tables_are_bounded() {
    let mut grows =
        guest("(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable");
    grows.items = "(table $t 1 funcref)".into();
    let PluginFault::Table { used, allowed } = fault(&grows) else { panic!("not the table") };
    assert!(allowed == TABLE_ELEMENTS_LIMIT as u64 && used > allowed);
}

#[test]
fn a_trap_names_the_function() {
    let mut traps = guest("(call $divide) unreachable");
    traps.items = "(func $divide (drop (i32.div_u (i32.const 1) (global.get $zero)))) (global $zero (mut i32) (i32.const 0))".into();
    let PluginFault::Trap { what, at } = fault(&traps) else { panic!("no trap") };
    assert!(what.contains("divide by zero"), "{what}");
    assert_eq!(at.as_deref(), Some("divide"));
    assert_eq!(fault(&guest("unreachable")).code(), "trap");
}

#[test]
fn deep_recursion_uses_the_stack_up() {
    let mut recurses = guest("(call $deeper (i64.const 0)) drop unreachable");
    recurses.items =
        "(func $deeper (param i64) (result i64) (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))".into();
    let PluginFault::Stack { allowed, at } = fault(&recurses) else { panic!("not the stack") };
    assert_eq!((allowed, at.as_deref()), (STACK_BYTES_LIMIT as u64, Some("deeper")));
}

#[test]
fn a_huge_answer_is_not_taken() {
    let too_much = u32::try_from(OUTPUT_BYTES_LIMIT).unwrap() + 1;
    let mut huge = Guest::transformer();
    huge.body = format!("(drop (memory.grow (i32.const 64))) {}", answer(&[0, 1, 0, too_much]));
    assert_eq!(fault(&huge), PluginFault::OutputTooLarge { allowed: OUTPUT_BYTES_LIMIT as u64 });
    // A list of very many empty texts costs memory too.
    huge.body = format!("(drop (memory.grow (i32.const 200))) {}", answer(&[0, 0, 0, 0, 8192, 500_000]));
    assert_eq!(fault(&huge).code(), "output_too_large");
}

#[test]
fn a_log_flood_is_cut_and_says_so() {
    let mut floods = Guest::transformer();
    let [line, line_len] = floods.text("é\n".repeat(1_000).as_bytes());
    let answer = floods.out_of_scope(b"done");
    floods.imports = IMPORT_LOG.into();
    floods.body = format!(
        "(loop $more
           (call $log (i32.const 1) (i32.const {line}) (i32.const {line_len}))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $more (i32.lt_u (local.get $i) (i32.const 1000))))
         {answer}"
    );
    let answer = transform(&floods.module()).unwrap();
    assert_eq!(answer.logs.len(), LOG_LINES_LIMIT + 1);
    assert!(answer.logs.iter().all(|line| line.message.len() <= LOG_LINE_BYTES_LIMIT + '…'.len_utf8()));
    assert!(answer.logs.iter().all(|line| !line.message.contains('\n')));
    assert_eq!(answer.logs[LOG_LINES_LIMIT].message, "950 more lines were dropped: at most 50 of a call are kept");
    assert!(answer.usage.fuel > 1_000 * 3_000, "the host's work is paid for");

    let mut forever = guest("(loop $more (call $log (i32.const 1) (i32.const 0) (i32.const 0)) (br $more)) unreachable");
    forever.imports = IMPORT_LOG.into();
    assert_eq!(fault(&forever), FUEL);
    let mut huge = guest("(drop (memory.grow (i32.const 64))) (call $log (i32.const 1) (i32.const 0) (i32.const 4000000)) unreachable");
    huge.imports = IMPORT_LOG.into();
    assert_eq!(fault(&huge).code(), "output_too_large");
    let mut unknown = guest("(call $log (i32.const 9) (i32.const 0) (i32.const 0)) unreachable");
    unknown.imports = IMPORT_LOG.into();
    assert_eq!(fault(&unknown).code(), "invalid_answer");
}

#[test]
fn look_ups_are_paid_for() {
    let mut storms =
        guest("(loop $more (call $lookup (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 9) (i32.const 512)) (br $more)) unreachable");
    storms.imports = IMPORT_LOOKUP.into();
    assert_eq!(fault(&storms), FUEL);
}

#[test]
fn an_allocator_that_lies_harms_only_its_plugin() {
    let core = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x7ffffff0))
        (func (export "rolecall:plugin/info@1.0.0#describe") (result i32) (i32.const 8))
        (func (export "rolecall:plugin/info@1.0.0#validate-settings") (param i32 i32) (result i32) (i32.const 0))
        (func (export "rolecall:plugin/transform@1.0.0#transform-user") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
        (data (i32.const 8) "\20\00\00\00\01\00\00\00\20\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00") (data (i32.const 32) "x"))"#;
    let module = guest::with_contract(&wat::parse_str(core).unwrap(), "transformer");
    assert!(matches!(transform(&module), Err(PluginFault::InvalidAnswer { .. } | PluginFault::Trap { .. })));
    assert_goes_on(sandbox());
}

#[test]
fn a_question_that_is_too_large_is_not_asked() {
    let limits = Limits { input_bytes: 100, ..Limits::default() };
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, limits, ..SandboxConfig::default() }).unwrap();
    let plugin = sandbox.load(&good()).unwrap();
    let user = json!({"userName": "x".repeat(100)});
    let fault = with_call(|call| plugin.transform_user(&Call { user: &user, ..*call })).unwrap_err();
    assert!(matches!(fault, PluginFault::InputTooLarge { used, allowed: 100 } if used > 100), "{fault:?}");
    assert_eq!(plugin.validate_settings(&"x".repeat(101)).unwrap_err(), PluginFault::InputTooLarge { used: 101, allowed: 100 });
    assert_goes_on(&sandbox);
}

#[test]
fn a_clock_stands_behind_the_fuel_and_is_no_verdict() {
    let limits = Limits { fuel: u64::MAX / 2, cpu_time_ms: 20, ..Limits::default() };
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, limits, ..SandboxConfig::default() }).unwrap();
    let fault = transform_in(&sandbox, &guest("(loop $forever (br $forever)) unreachable").module()).unwrap_err();
    assert_eq!(fault, PluginFault::Timeout { allowed_ms: 20 });
    assert!(fault.is_infrastructure());
}

#[test]
fn the_clock_is_looked_at_also_while_the_host_is_called_again_and_again() {
    let limits = Limits { fuel: u64::MAX / 2, cpu_time_ms: 20, ..Limits::default() };
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, limits, ..SandboxConfig::default() }).unwrap();
    let mut calls = guest("(loop $more (call $log (i32.const 1) (i32.const 0) (i32.const 0)) (br $more)) unreachable");
    calls.imports = IMPORT_LOG.into();
    assert_eq!(transform_in(&sandbox, &calls.module()).unwrap_err(), PluginFault::Timeout { allowed_ms: 20 });
    assert_goes_on(&sandbox);
}

#[test]
fn a_call_costs_the_same_however_many_slices_it_takes() {
    let fuel = |turns: u64| {
        let mut counts = Guest::transformer();
        let answer = counts.out_of_scope(b"counted");
        counts.body = format!(
            "(local $left i64) (local.set $left (i64.const {turns}))
             (loop $more (br_if $more (i64.ne (local.tee $left (i64.sub (local.get $left) (i64.const 1))) (i64.const 0)))) {answer}"
        );
        transform(&counts.module()).unwrap().usage.fuel
    };
    let (turn, turns) = (fuel(2) - fuel(1), 2_000_000);
    assert!(turn * turns > 10 * SLICE_FUEL, "it takes many slices");
    assert_eq!(fuel(turns + 1) - fuel(1), turn * turns);
}

#[test]
fn a_busy_machine_stops_nobody() {
    // Each call runs for 12 to 60 ms and may run many times as long; there are so many that each waits longer than that.
    let calls = std::thread::available_parallelism().unwrap().get() * 40;
    let limits = Limits { fuel: 60_000_000, cpu_time_ms: 300, ..Limits::default() };
    let concurrency = u32::try_from(calls).unwrap();
    let sandbox = Sandbox::new(&SandboxConfig { concurrency, limits, ..SandboxConfig::default() }).unwrap();
    let plugin = guest("(loop $forever (br $forever)) unreachable").module();
    let together = std::sync::Barrier::new(calls);
    let ask = || {
        together.wait();
        transform_in(&sandbox, &plugin).unwrap_err()
    };
    let began = Instant::now();
    let faults: Vec<PluginFault> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..calls).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(faults.iter().all(|fault| matches!(fault, PluginFault::Fuel { .. })), "{faults:?}");
    assert!(began.elapsed().as_millis() > 300, "they waited for each other");
}

#[test]
fn a_machine_that_stands_still_stops_a_call_too() {
    let limits = Limits { fuel: u64::MAX / 2, cpu_time_ms: 100_000, wall_clock_ms: 20, ..Limits::default() };
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, limits, ..SandboxConfig::default() }).unwrap();
    let fault = transform_in(&sandbox, &guest("(loop $forever (br $forever)) unreachable").module()).unwrap_err();
    assert_eq!(fault, PluginFault::Timeout { allowed_ms: 20 });
}

#[test]
fn a_full_pool_is_no_verdict_and_has_room_again() {
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, ..SandboxConfig::default() }).unwrap();
    let plugin = sandbox.load(&good()).unwrap();
    fn nest(plugin: &Plugin, depth: u32) -> Result<u32, PluginFault> {
        // Each call is made while the one around it holds its slot.
        let mut seen = Seen::default();
        call::run(&plugin.machine, &plugin.instance, None, &mut seen, async |_, _| {
            Ok(if depth == 0 { Ok(0) } else { nest(plugin, depth - 1) })
        })?
        .map(|inner| inner + 1)
    }
    let slots = plugin.machine.slots;
    assert_eq!(nest(&plugin, slots - 1), Ok(slots));
    let full = nest(&plugin, slots).unwrap_err();
    assert_eq!(full, PluginFault::NoSlot { allowed: slots });
    assert!(full.is_infrastructure());
    assert_eq!(nest(&plugin, slots - 1), Ok(slots));
}

#[test]
fn others_are_answered_while_a_hostile_plugin_runs() {
    let hostile = sandbox().load(&guest("(loop $forever (br $forever)) unreachable").module()).unwrap();
    std::thread::scope(|scope| {
        let spinning = scope.spawn(|| with_call(|call| hostile.transform_user(call)));
        assert_goes_on(sandbox());
        assert_eq!(spinning.join().unwrap().unwrap_err(), FUEL);
    });
}
