//! One tenant's plugin leaves its secret wherever it can; the next in the same slot looks for it everywhere.

use std::fmt::Write as _;

use super::guest::Guest;
use super::*;

/// The secret, in every byte that can be written.
const SECRET: i64 = 0x5a5a_5a5a_5a5a_5a5a;
/// Globals that hold it, and are looked at.
const GLOBALS: usize = 64;
/// Elements of the table that hold it, and are looked at. A module has one table.
const ELEMENTS: usize = 4_000;
/// Pages that both grow by: more than a slot keeps resident, so that both ways of clearing memory are tried.
const PAGES: usize = 8;
/// Pages that grow a memory to the most that there is, every so many calls.
const ALL_PAGES: usize = 254;
const ALL_PAGES_EVERY: usize = 1_000;

/// What both have.
fn items() -> String {
    let mut items = format!("(func $f) (elem declare func $f) (table $t {ELEMENTS} funcref)");
    for number in 0..GLOBALS {
        write!(items, "(global $g{number} (mut i64) (i64.const 0))").unwrap();
    }
    items
}

/// Code that grows the memory by as many pages as the settings have bytes.
const GROW: &str = "(if (i32.eq (memory.grow (local.get $settings_len)) (i32.const -1)) (then unreachable))";

/// Fills memory, tables and globals; keeps only what it needs for an answer. Traps instead of answering if the connection has a long name.
fn keeper() -> Vec<u8> {
    let mut guest = Guest::transformer();
    let kept = guest.out_of_scope(b"kept");
    let mut body = format!("{GROW} (local.set $i (i32.gt_u (local.get $connection_len) (i32.const 8)))");
    body += "(memory.fill (i32.const 0) (i32.const 0x5a) (i32.const 1024))
        (memory.fill (i32.const 8192) (i32.const 0x5a) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 8192)))";
    write!(body, "(table.fill $t (i32.const 0) (ref.func $f) (i32.const {ELEMENTS}))").unwrap();
    for number in 0..GLOBALS {
        write!(body, "(global.set $g{number} (i64.const {SECRET}))").unwrap();
    }
    guest.items = items();
    guest.body = format!("{body} (if (local.get $i) (then unreachable)) {kept}");
    guest.module()
}

/// Looks through all of its memory, tables and globals after `leak`, and refuses if there is anything that it did not put there.
fn scanner(leak: &str) -> Vec<u8> {
    let mut guest = Guest::transformer();
    let clean = guest.out_of_scope(b"clean");
    let [memory, table, global] = ["memory", "table", "global"].map(|place| guest.refusal(place, None, "it is here"));
    // Below its first free address are its own texts and the question, which hold no secret; above, there must be nothing at all.
    let mut body = format!(
        "{GROW} {leak} (local.set $user_len (i32.shl (memory.size) (i32.const 16)))
         (loop $next
           (if (i64.eq (i64.load (local.get $i)) (i64.const {SECRET})) (then (return {memory})))
           (if (i32.ge_u (local.get $i) (i32.add (global.get $free) (i32.const 8)))
             (then (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then (return {memory})))))
           (local.set $i (i32.add (local.get $i) (i32.const 8)))
           (br_if $next (i32.lt_u (local.get $i) (local.get $user_len))))
         (local.set $i (i32.const 0))
         (loop $next
           (if (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (then (return {table})))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $i) (i32.const {ELEMENTS}))))"
    );
    for number in 0..GLOBALS {
        write!(body, "(if (i64.ne (global.get $g{number}) (i64.const 0)) (then (return {global})))").unwrap();
    }
    guest.items = items();
    guest.body = body + &clean;
    guest.module()
}

/// Calls a plugin, with memory for it to grow by.
fn call(plugin: &Plugin, connection: &str, pages: usize) -> Result<Mapping, PluginFault> {
    let settings = " ".repeat(pages).into();
    with_call(|call| plugin.transform_user(&Call { connection, settings: &settings, ..*call })).map(|answer| answer.mapping)
}

/// Holds all slots but one while it runs.
fn with_one_slot<R>(plugin: &Plugin, held: u32, run: &mut dyn FnMut() -> R) -> R {
    if held == 0 {
        return run();
    }
    let inner =
        call::run(&plugin.machine, &plugin.instance, None, &mut Seen::default(), async |_, _| Ok(with_one_slot(plugin, held - 1, run)));
    inner.unwrap()
}

#[test]
fn a_scanner_finds_what_is_there() {
    let sandbox = sandbox();
    for (place, leak) in [
        ("memory", "(i64.store (i32.const 200000) (i64.const 0x5a5a5a5a5a5a5a5a))"),
        ("memory", "(i64.store (i32.const 0) (i64.const 0x5a5a5a5a5a5a5a5a))"),
        ("memory", "(i32.store8 (i32.const 655359) (i32.const 1))"),
        ("table", "(table.set $t (i32.const 3999) (ref.func $f))"),
        ("global", "(global.set $g63 (i64.const 1))"),
    ] {
        let leaky = sandbox.load(&scanner(leak)).unwrap();
        let Mapping::Refused { code, .. } = call(&leaky, "conn", PAGES).unwrap() else { panic!("{leak}: not found") };
        assert_eq!(code, place, "{leak}");
    }
}

#[test]
fn nothing_of_one_tenant_is_in_the_slot_of_the_next() {
    // Looking through all of the memory takes more fuel than a plugin has.
    let limits = Limits { fuel: 10 * limits::FUEL_LIMIT, ..Limits::default() };
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, limits, ..SandboxConfig::default() }).unwrap();
    let (keeper, scanner) = (sandbox.load(&keeper()).unwrap(), sandbox.load(&scanner("")).unwrap());
    let reuses = if is_soak() { 1_000_000 } else { 6_000 };
    let (clean, kept) = (Mapping::OutOfScope { reason: "clean".into() }, Mapping::OutOfScope { reason: "kept".into() });
    let slots = sandbox.occupancy().slots;
    with_one_slot(&keeper, slots - 1, &mut || {
        for reuse in 0..reuses / 2 {
            let pages = if reuse % ALL_PAGES_EVERY == 0 { ALL_PAGES } else { PAGES };
            // It leaves in two ways, in turn: with an answer, and in the middle of a call.
            match call(&keeper, if reuse % 2 == 0 { "conn" } else { "connection" }, pages) {
                Ok(answer) => assert_eq!((answer, reuse % 2), (kept.clone(), 0)),
                Err(fault) => assert_eq!((fault.code(), reuse % 2), ("trap", 1)),
            }
            // Tables have slots of their own, more than one: a scan more now and then, so that the two don't just take turns at them.
            for _ in 0..=usize::from(reuse % 7 == 0) {
                assert_eq!(call(&scanner, "conn", pages + usize::from(pages < ALL_PAGES)).unwrap(), clean, "reuse {reuse}");
            }
        }
        // There was one slot for both: nobody else could have had another.
        let full = with_one_slot(&scanner, 1, &mut || call(&scanner, "conn", PAGES));
        assert_eq!(full, Err(PluginFault::NoSlot { allowed: slots }));
    });
    assert_eq!(sandbox.occupancy().running, 0);
}
