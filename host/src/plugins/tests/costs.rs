//! What hostile plugins cost the host: CPU time over what they were allowed, and what is left of them afterwards.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wit_component::StringEncoding;

use super::guest::{Guest, IMPORT_LOG, IMPORT_LOOKUP, answer};
use super::limits::{FUNCTIONS_LIMIT, LOAD_STACK_BYTES, TYPE_BYTES_LIMIT};
use super::*;

/// CPU time that a call or an upload may cost over what its limits allow.
const OVER_LIMIT: Duration = Duration::from_millis(25);
/// The best of so many counts: CPU time counts what the machine's other work does to the caches too.
const TRIES: usize = 5;
/// Memory that a process may have gained after thousands of attacks: what its allocator keeps, far below what one attack takes.
const GAINED_BYTES_LIMIT: u64 = 12 << 20;

fn cpu_time(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}

/// The CPU time of a run: the least of a few.
fn costs(clock: ClockId, mut run: impl FnMut()) -> Duration {
    let once = |_| {
        let started = cpu_time(clock);
        run();
        cpu_time(clock) - started
    };
    (0..TRIES).map(once).min().unwrap()
}

/// A plugin that does one thing for as long as it may.
fn storm(items: &str, operation: &str) -> Guest {
    with_body(items, &format!("(loop $forever {operation} (br $forever)) unreachable"))
}

fn with_body(items: &str, body: &str) -> Guest {
    Guest { items: items.into(), body: body.into(), ..Guest::transformer() }
}

/// An operator again and again, on what it gave before.
fn chain(first: &str, operator: &str) -> Guest {
    let (of, value) = first.split_once(' ').unwrap();
    let items = format!("(global $x (mut {of}) ({of}.const {value}))");
    let value = (0..8).fold("(global.get $x)".to_owned(), |inner, _| operator.replace('@', &inner));
    storm(&items, &format!("(global.set $x {value})"))
}

/// Code that runs out of fuel, by what it does. Each leaves the compiled code, or takes long for one instruction.
fn storms() -> Vec<(&'static str, Guest)> {
    let data = format!(r#"(data $bytes "{}")"#, "x".repeat(1_000));
    let functions =
        "(table $t 20000 funcref) (func $f (param i32) (result i32) (local.get 0)) (elem (table $t) (i32.const 0) func $f $f $f $f)
        (elem $many func $f $f $f $f $f $f $f $f) (elem declare func $f)";
    vec![
        ("a loop", storm("", "")),
        ("additions", storm("", "(local.set $i (i32.add (local.get $i) (i32.const 1)))")),
        ("memory.copy of much", storm("", "(memory.copy (i32.const 8192) (i32.const 0) (i32.const 100000))")),
        ("memory.copy of nothing", storm("", "(memory.copy (i32.const 8192) (i32.const 0) (local.get $i))")),
        ("memory.fill of much", storm("", "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 100000))")),
        ("memory.fill of nothing", storm("", "(memory.fill (i32.const 8192) (i32.const 7) (local.get $i))")),
        ("memory.init", storm(&data, "(memory.init $bytes (i32.const 8192) (i32.const 0) (i32.const 1000))")),
        ("memory.init of nothing", storm(&data, "(memory.init $bytes (i32.const 8192) (i32.const 0) (local.get $i))")),
        ("data.drop", storm(&data, "(data.drop $bytes)")),
        ("memory.grow by nothing", storm("", "(drop (memory.grow (local.get $i)))")),
        ("memory.grow by too much", storm("", "(drop (memory.grow (i32.const 300)))")),
        ("table.grow by nothing", storm(functions, "(drop (table.grow $t (ref.null func) (local.get $i)))")),
        ("table.fill", storm(functions, "(table.fill $t (i32.const 0) (ref.null func) (i32.const 20000))")),
        ("table.copy", storm(functions, "(table.copy $t $t (i32.const 10000) (i32.const 0) (i32.const 10000))")),
        ("table.copy of one", storm(functions, "(table.copy $t $t (i32.const 8) (i32.const 0) (i32.const 1))")),
        ("table.init", storm(functions, "(table.init $t $many (i32.const 0) (i32.const 0) (i32.const 8))")),
        ("table.init of nothing", storm(functions, "(table.init $t $many (i32.const 0) (i32.const 0) (local.get $i))")),
        ("elem.drop", storm(functions, "(elem.drop $many)")),
        ("ref.func", storm(functions, "(table.set $t (i32.const 0) (ref.func $f))")),
        ("calls", storm(functions, "(local.set $i (call $f (local.get $i)))")),
        ("indirect calls", storm(functions, "(local.set $i (call_indirect $t (param i32) (result i32) (local.get $i) (i32.const 0)))")),
        ("32-bit divisions", chain("i32 2147483647", "(i32.or (i32.div_s @ (i32.const 3)) (global.get $x))")),
        ("64-bit divisions", chain("i64 0x7fffffffffffffff", "(i64.or (i64.rem_u (global.get $x) @) (global.get $x))")),
        ("float divisions", chain("f64 1e300", "(f64.div (f64.const 3) @)")),
        ("float roots", chain("f64 1e300", "(f64.sqrt @)")),
        ("float rounding", chain("f64 1.5", "(f64.nearest @)")),
        ("float conversions", chain("f64 1.5", "(f64.convert_i64_u (i64.trunc_sat_f64_u @))")),
        ("float sums", chain("f64 1e300", "(f64.add (f64.const 3) @)")),
        ("float products", chain("f64 1e300", "(f64.mul (f64.const 1.5) @)")),
        ("float minima", chain("f64 1e300", "(f64.min (f64.const 3) @)")),
        ("float comparisons", chain("i32 1", "(f64.lt (f64.convert_i32_s @) (f64.const 3))")),
        ("32-bit float sums", chain("f32 1e30", "(f32.add (f32.const 3) @)")),
        ("32-bit float minima", chain("f32 1e30", "(f32.max (f32.const 3) @)")),
        ("32-bit products", chain("i32 3", "(i32.mul (global.get $x) @)")),
        ("64-bit products", chain("i64 3", "(i64.mul (global.get $x) @)")),
        ("32-bit counts", chain("i32 3", "(i32.clz @)")),
        ("64-bit counts", chain("i64 3", "(i64.popcnt @)")),
        ("64-bit rotations", chain("i64 3", "(i64.rotl (global.get $x) @)")),
        ("vector sums", chain("v128 f64x2 1e300 3", "(f64x2.add (global.get $x) @)")),
        ("vector minima", chain("v128 f64x2 1e300 3", "(f64x2.min (global.get $x) @)")),
        ("narrow vector minima", chain("v128 f32x4 1e30 3 1 2", "(f32x4.max (global.get $x) @)")),
        ("vector rounding", chain("v128 f64x2 1.5 3", "(f64x2.nearest @)")),
        ("narrow vector products", chain("v128 i32x4 3 5 7 9", "(i32x4.mul (global.get $x) @)")),
        ("vector counts", chain("v128 i64x2 3 5", "(i8x16.popcnt @)")),
        ("vector shifts", chain("v128 i64x2 3 5", "(i8x16.shr_s @ (i32.const 3))")),
        ("vector bytes' shifts", chain("v128 i64x2 3 5", "(i8x16.shl @ (local.get $i))")),
        ("vector swizzles", chain("v128 i64x2 3 5", "(i8x16.swizzle (global.get $x) @)")),
        ("vector shifts of longs", chain("v128 i64x2 3 5", "(i64x2.shr_s @ (local.get $i))")),
        ("vector dot products", chain("v128 i64x2 3 5", "(i32x4.dot_i16x8_s (global.get $x) @)")),
        ("vector roundings of products", chain("v128 i64x2 3 5", "(i16x8.q15mulr_sat_s (global.get $x) @)")),
        ("vector demotions", chain("v128 f64x2 1.5 3", "(f64x2.promote_low_f32x4 (f32x4.demote_f64x2_zero @))")),
        ("vector masks", chain("i32 3", "(i8x16.bitmask (i8x16.splat @))")),
        ("vector divisions", chain("v128 f64x2 1e300 3", "(f64x2.div (global.get $x) @)")),
        ("vector roots", chain("v128 f64x2 1e300 3", "(f64x2.sqrt @)")),
        ("vector products", chain("v128 i64x2 3 5", "(i64x2.mul (global.get $x) @)")),
        ("vector conversions", chain("v128 i64x2 3 5", "(f32x4.convert_i32x4_u (i32x4.trunc_sat_f32x4_u @))")),
        ("reads all over the memory", scattered("(local.set $i (i32.add (local.get $i) (i32.load (local.get $i))))")),
        ("writes all over the memory", scattered("(i32.store (local.get $i) (i32.const 7))")),
    ]
}

/// Touches the largest memory in an order that no cache likes.
fn scattered(touch: &str) -> Guest {
    let next = "(i32.and (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)) (i32.const 0xfffff8))";
    let more = "(if (i32.eq (memory.grow (i32.const 254)) (i32.const -1)) (then unreachable))";
    with_body("", &format!("{more} (loop $forever (local.set $i {next}) {touch} (br $forever)) unreachable"))
}

/// Storms of what the host does for a plugin.
fn host_storms() -> Vec<(&'static str, Guest)> {
    let log = |length: u32| {
        let mut guest = storm("", &format!("(call $log (i32.const 1) (i32.const 0) (i32.const {length}))"));
        guest.imports = IMPORT_LOG.into();
        guest
    };
    let lookup = |table: &str, key: &str| {
        let mut guest = Guest::transformer();
        let ([table, table_len], [key, key_len]) = (guest.text(table.as_bytes()), guest.text(key.as_bytes()));
        guest.imports = IMPORT_LOOKUP.into();
        // What the row was copied to is used again for the next.
        guest.body = format!(
            "(loop $forever (global.set $free (i32.const 131072))
               (call $lookup (i32.const {table}) (i32.const {table_len}) (i32.const {key}) (i32.const {key_len}) (i32.const 512))
               (br $forever)) unreachable"
        );
        guest
    };
    vec![
        ("empty log lines", log(0)),
        ("long log lines", log(100_000)),
        ("look-ups of nothing", lookup("none", "eng")),
        ("look-ups of a row", lookup("teams", "eng")),
        ("look-ups of a wide row", lookup("teams", "wide")),
        ("look-ups of a long text", lookup("teams", &"x".repeat(100_000))),
    ]
}

/// Everything that ends otherwise than with its fuel.
fn others() -> Vec<(&'static str, Guest, &'static str)> {
    let bomb = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (loop $touch (i32.store (local.get $i) (i32.const 1)) (local.set $i (i32.add (local.get $i) (i32.const 4096)))
          (br_if $touch (i32.lt_u (local.get $i) (i32.const 16777216)))) unreachable";
    let tables = "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable";
    let deeper = "(func $deeper (param i64) (result i64) (i64.add (call $deeper (i64.add (local.get 0) (i64.const 1))) (local.get 0)))";
    let grown = |words: &[u32]| with_body("", &format!("(drop (memory.grow (i32.const 200))) {}", answer(words)));
    let refusal = |code: &str, path: Option<&str>, message: &str| {
        let mut guest = Guest::transformer();
        guest.body = guest.refusal(code, path, message);
        guest
    };
    let account = |json: &[u8]| {
        let mut guest = Guest::transformer();
        guest.body = guest.account(json, &[]);
        guest
    };
    let giant = "x".repeat(50_000);
    vec![
        ("a memory bomb", with_body("", bomb), "memory"),
        ("table growth", with_body("(table $t 1 funcref)", tables), "table"),
        ("deep recursion", with_body(deeper, "(call $deeper (i64.const 0)) drop unreachable"), "stack"),
        ("a trap", with_body("", "unreachable"), "trap"),
        ("a huge answer", grown(&[0, 1, 0, 4_000_000]), "output_too_large"),
        ("a list of very many", grown(&[0, 0, 0, 0, 8_192, 500_000]), "output_too_large"),
        ("a list without an end", grown(&[0, 0, 0, 0, 8_192, u32::MAX]), "invalid_answer"),
        ("an answer outside of its memory", with_body("", "(i32.const 2147483640)"), "invalid_answer"),
        ("an answer at an odd address", with_body("", "(i32.const 513)"), "invalid_answer"),
        ("a text outside of its memory", with_body("", &answer(&[0, 1, 0x7fff_fff0, 100])), "invalid_answer"),
        ("an answer of no kind", with_body("", &answer(&[0, 7])), "invalid_answer"),
        ("a text that is no UTF-8", with_body(r#"(data (i32.const 600) "\ff\fe")"#, &answer(&[0, 1, 600, 2])), "invalid_answer"),
        ("a giant code", refusal(&giant, None, "no"), "invalid_answer"),
        ("a giant path", refusal("no", Some(&giant), "no"), "invalid_answer"),
        ("a giant message", refusal("no", None, &giant), "invalid_answer"),
        ("deep JSON", account("[".repeat(50_000).as_bytes()), "invalid_answer"),
        ("a giant attribute", account(format!(r#"{{"user_name":"{giant}"}}"#).as_bytes()), "invalid_answer"),
        ("very many attributes", account(format!("{{{}}}", r#""a":1,"#.repeat(8_000)).as_bytes()), "invalid_answer"),
    ]
}

fn attacks() -> Vec<(&'static str, Guest, &'static str)> {
    let fuel = storms().into_iter().chain(host_storms()).map(|(name, guest)| (name, guest, "fuel"));
    fuel.chain(others()).collect()
}

#[test]
fn no_attack_costs_more_than_its_fuel_and_25_ms() {
    let attack = |guest: &Guest, code: &str, name: &str| {
        let plugin = sandbox().load(&guest.module()).unwrap();
        let call = || assert_eq!(with_call(|call| plugin.transform_user(call)).unwrap_err().code(), code, "{name}");
        costs(ClockId::ThreadCPUTime, call)
    };
    for (name, guest, code) in attacks() {
        // What the limit itself is: a nanosecond a unit, or what a loop that does nothing but use its fuel up takes in the same moment, because
        // the machine's speed changes.
        let allowed = attack(&storm("", ""), "fuel", "a loop").max(Duration::from_nanos(limits::FUEL_LIMIT));
        let cost = attack(&guest, code, name);
        eprintln!("{name}: {cost:.1?}");
        assert!(cost < allowed + OVER_LIMIT, "{name} took {cost:?} of CPU time, and its fuel is worth {allowed:?}");
    }
    assert_goes_on(sandbox());
}

/// A section of a module or component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    let mut length = content.len();
    while length >= 0x80 {
        section.push(u8::try_from(length % 0x80).unwrap() | 0x80);
        length /= 0x80;
    }
    section.push(u8::try_from(length).unwrap());
    section.extend(content);
    section
}

fn component(sections: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", sections].concat()
}

/// Types of components, each in the next: three bytes a level.
fn nested_types(kind: u8, levels: usize) -> Vec<u8> {
    let types: Vec<u8> = [1].into_iter().chain([kind, 1, 1].repeat(levels)).chain([kind, 0]).collect();
    component(&section(7, &types))
}

/// A module whose contract has types that are made of the one before, so many times.
fn with_types(of: &str, levels: usize) -> Vec<u8> {
    let types = (0..levels).fold(String::from("type t0 = u8;"), |types, level| {
        types + &format!("type t{} = {};", level + 1, of.replace('_', &format!("t{level}")))
    });
    let wit = format!("package a:b; interface i {{ {types} f: func(x: t{levels}); }} world w {{ export i; }}");
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("bomb.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = Guest::transformer().core();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    module
}

/// A component of one module with one function.
fn with_code(body: &[u8]) -> Vec<u8> {
    let code = [&[1], section(0, body).get(1..).unwrap()].concat();
    let module = [b"\0asm\x01\0\0\0".as_slice(), &section(1, &[1, 0x60, 0, 0]), &section(3, &[1, 0]), &section(10, &code)].concat();
    component(&section(1, &module))
}

/// Uploads that are refused without being compiled, with the code of the refusal.
fn uploads() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut huge = good();
    huge.resize(100 << 20, 0);
    let mut truncated = good();
    truncated.truncate(truncated.len() / 2);
    let mut many = Guest::transformer();
    many.items = "(func)".repeat(usize::try_from(FUNCTIONS_LIMIT).unwrap() + 1);
    let blocks: Vec<u8> = [0].into_iter().chain([0x02, 0x40].repeat(600_000)).collect();
    let nested = (0..3_000).fold(component(&[]), |inner, _| component(&section(4, &inner)));
    let full = usize::try_from(TYPE_BYTES_LIMIT).unwrap() / 3;
    vec![
        ("100 MB", huge, "too_big"),
        ("a truncated module", truncated, "malformed"),
        ("very many functions", many.module(), "too_many_functions"),
        ("one huge function", with_code(&blocks), "function_too_big"),
        ("nested components", nested, "compile"),
        ("component types in component types", nested_types(0x41, 1_000_000), "compile"),
        ("instance types in instance types", nested_types(0x42, full + 1), "compile"),
        ("types that double", with_types("tuple<_, _>", 40), "wrong_world"),
        ("types that nest", with_types("list<_>", 3_000), "wrong_world"),
        ("types that are an eighth of what they may be", with_types("tuple<_, _>", 16), "wrong_world"),
    ]
}

#[test]
fn uploads_that_break_a_limit_cost_25_ms_at_most() {
    if !is_alone("plugins::tests::costs::uploads_that_break_a_limit_cost_25_ms_at_most") {
        return;
    }
    let sandbox = sandbox();
    for (name, bytes, code) in uploads() {
        // Uploads are read on a thread of their own: the process's time is theirs.
        let cost = costs(ClockId::ProcessCPUTime, || assert_eq!(sandbox.load(&bytes).unwrap_err().code(), code, "{name}"));
        eprintln!("{name}: {cost:.1?}");
        assert!(cost < OVER_LIMIT, "{name} took {cost:?} of CPU time");
    }
    assert_goes_on(sandbox);
}

#[test]
fn types_are_nested_as_deep_as_they_may_be_large_and_the_stack_holds() {
    // Whether the process survives it is the question: an overflow of the stack would end it.
    let levels = usize::try_from(TYPE_BYTES_LIMIT).unwrap() / 3 - 10;
    assert!(levels * 4_096 < LOAD_STACK_BYTES, "a level has 4 KiB of stack and more");
    for kind in [0x41, 0x42] {
        assert_eq!(sandbox().load(&nested_types(kind, levels)).unwrap_err().code(), "wrong_world");
    }
    assert_goes_on(sandbox());
}

/// Bytes of this process that are in memory, and its threads.
fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    (field("VmRSS:") * 1_024, field("Threads:"))
}

#[test]
fn attacks_leave_nothing_behind() {
    if !is_alone("plugins::tests::costs::attacks_leave_nothing_behind") {
        return;
    }
    // A twentieth of the fuel: what is left behind does not depend on how long it took.
    let limits = Limits { fuel: limits::FUEL_LIMIT / 20, ..Limits::default() };
    let sandbox = Sandbox::new(&SandboxConfig { limits, ..SandboxConfig::default() }).unwrap();
    let attacks: Vec<_> = attacks().into_iter().map(|(name, guest, code)| (name, sandbox.load(&guest.module()).unwrap(), code)).collect();
    let starts = ["(func $start unreachable) (start $start)", "(func $start (loop $forever (br $forever))) (start $start)"];
    let failing: Vec<_> = starts.iter().map(|start| with_body(start, "unreachable").module()).collect();
    let uploads = uploads();
    let round = || {
        for (name, plugin, code) in &attacks {
            assert_eq!(with_call(|call| plugin.transform_user(call)).unwrap_err().code(), *code, "{name}");
        }
        for (name, bytes, code) in uploads.iter().filter(|(_, bytes, _)| bytes.len() < 4 << 20) {
            assert_eq!(sandbox.load(bytes).unwrap_err().code(), *code, "{name}");
        }
        for module in &failing {
            assert_eq!(sandbox.load(module).unwrap_err().code(), "start");
        }
    };
    (0..10).for_each(|_| round());
    let (before, threads) = resident();
    let rounds = if is_soak() { 1_000 } else { 40 };
    (0..rounds).for_each(|_| round());
    let (after, threads_after) = resident();
    eprintln!("{rounds} rounds of {} calls: {before} bytes before, {after} after", attacks.len());
    assert!(after < before + GAINED_BYTES_LIMIT, "{rounds} rounds made {before} bytes {after}");
    assert_eq!((threads_after, sandbox.occupancy().running, sandbox.occupancy().plugins), (threads, 0, attacks.len()));
    assert_goes_on(&sandbox);
}
