//! A mapping plugin for tests, written as WebAssembly text: what it does is in the person's `title`.
//!
//! `trap`, `loop`, `grow`, `flood`, `refuse` and `outside` misbehave or refuse; `log` logs two lines, `babble` a hundred, and `last words` one
//! before it traps; any other title gives an account with the person's own user name and title. One plugin that can fail on demand shows what happens to somebody who had a verdict
//! before, without another revision in between.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};

/// Where static data begins.
const DATA_START: u32 = 1_024;
/// Where the plugin's own allocations begin; inputs come after it too.
const HEAP_START: u32 = 65_536;
/// Where `transform-user` writes its answer.
const ANSWER: u32 = 512;
/// What `flood` answers with: far more than an account may have, and less than the memory that a plugin may have.
const FLOOD_BYTES: u32 = 4 * 1024 * 1024;

/// Static data with its addresses.
struct Data(Vec<u8>);

impl Data {
    fn put(&mut self, bytes: &[u8]) -> (u32, u32) {
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        let at = DATA_START + u32::try_from(self.0.len()).expect("static data is small");
        self.0.extend_from_slice(bytes);
        (at, u32::try_from(bytes.len()).expect("static data is small"))
    }

    /// A record of 32-bit words: addresses and lengths.
    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(&bytes).0
    }

    fn escaped(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").expect("writing to a string can't fail");
            text
        })
    }
}

/// The plugin as a core module that carries its interface, as an author's build would make it.
///
/// # Panics
/// When the text is no module: a defect of the harness.
#[must_use]
pub fn module() -> Vec<u8> {
    with_interface(&wat::parse_str(text()).expect("the probe is WebAssembly"))
}

/// A core module with the interface of a mapping plugin added, whatever its code does.
///
/// # Panics
/// When the contract can't be read.
#[must_use]
pub fn with_interface(core: &[u8]) -> Vec<u8> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk/wit/v1");
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(&contract).expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("transformer")).expect("the contract has that world");
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("the interface fits into a section");
    module
}

/// A core module whose `transform-user` does `body` and which is well-formed otherwise.
#[must_use]
pub fn module_with(start: &str, transform: &str) -> Vec<u8> {
    let mut data = Data(Vec::new());
    let describe = describe(&mut data);
    with_interface(&wat::parse_str(shell(&data, &describe, start, transform)).expect("the test's module is WebAssembly"))
}

/// A core module whose `describe` does `body` and which is well-formed otherwise.
#[must_use]
pub fn module_describing(body: &str) -> Vec<u8> {
    with_interface(&wat::parse_str(shell(&Data(Vec::new()), body, "", "unreachable")).expect("the test's module is WebAssembly"))
}

fn describe(data: &mut Data) -> String {
    let name = data.put(b"probe");
    let version = data.put(b"1.0.0");
    let reads: Vec<u32> =
        ["userName", "title"].iter().map(|path| data.put(path.as_bytes())).flat_map(|(at, length)| [at, length]).collect();
    let reads_at = data.words(&reads);
    format!("(i32.const {})", data.words(&[name.0, name.1, version.0, version.1, reads_at, 2]))
}

fn text() -> String {
    let mut data = Data(Vec::new());
    let describe = describe(&mut data);
    let mut transform = String::new();
    let mut branch = |data: &mut Data, title: &str, body: &str| {
        let (needle, length) = data.put(format!("\"title\":\"{title}\"").as_bytes());
        let test = format!("(call $find (local.get $user) (local.get $user_len) (i32.const {needle}) (i32.const {length}))");
        write!(transform, "(if {test} (then {body}))\n    ").expect("writing to a string can't fail");
    };
    branch(&mut data, "trap", "unreachable");
    let (hello, careful) = (data.put(b"hello from the probe"), data.put(b"careful with this one"));
    let log = |level: u32, (at, length): (u32, u32)| format!("(call $log (i32.const {level}) (i32.const {at}) (i32.const {length}))");
    let (hello, careful) = (log(1, hello), log(2, careful));
    branch(&mut data, "log", &format!("{hello} {careful}"));
    let count = "(br_if $next (i32.lt_u (local.tee $out (i32.add (local.get $out) (i32.const 1))) (i32.const 100)))";
    branch(&mut data, "babble", &format!("(local.set $out (i32.const 0)) (loop $next {hello} {count})"));
    branch(&mut data, "last words", &format!("{careful} unreachable"));
    branch(&mut data, "loop", "(loop $forever (br $forever))");
    branch(&mut data, "grow", "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable");
    let pages = FLOOD_BYTES / 65_536 + 1;
    let flood = answer(&[0, 0, 0, FLOOD_BYTES, 0, 0]);
    branch(&mut data, "flood", &format!("(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable)) {flood}"));
    let code = data.put(b"title_refused");
    let path = data.put(b"title");
    let message = data.put(b"people with this title are refused: choose another");
    branch(&mut data, "refuse", &answer(&[1, code.0, code.1, 1, path.0, path.1, message.0, message.1]));
    let reason = data.put(b"people with this title are none of ours");
    branch(&mut data, "outside", &answer(&[0, 1, reason.0, reason.1]));
    let user_name = data.put(br#""userName":""#);
    let opening = data.put(br#"{"user_name":""#);
    let title = data.put(br#""title":""#);
    let title_opening = data.put(br#"","title":""#);
    let closing = data.put(br#""}"#);
    write!(
        transform,
        "(global.set $out (global.get $free))
    (local.set $out (global.get $free))
    (call $append (i32.const {}) (i32.const {}))
    (call $append_text (call $find (local.get $user) (local.get $user_len) (i32.const {}) (i32.const {})))
    (local.set $title (call $find (local.get $user) (local.get $user_len) (i32.const {}) (i32.const {})))
    (if (local.get $title) (then
      (call $append (i32.const {}) (i32.const {}))
      (call $append_text (local.get $title))))
    (call $append (i32.const {}) (i32.const {}))
    (i32.store (i32.const {ANSWER}) (i32.const 0))
    (i32.store offset=4 (i32.const {ANSWER}) (i32.const 0))
    (i32.store offset=8 (i32.const {ANSWER}) (local.get $out))
    (i32.store offset=12 (i32.const {ANSWER}) (i32.sub (global.get $out) (local.get $out)))
    (i32.store offset=16 (i32.const {ANSWER}) (i32.const 4))
    (i32.store offset=20 (i32.const {ANSWER}) (i32.const 0))
    (i32.const {ANSWER})",
        opening.0, opening.1, user_name.0, user_name.1, title.0, title.1, title_opening.0, title_opening.1, closing.0, closing.1,
    )
    .expect("writing to a string can't fail");
    shell(&data, &describe, "", &transform)
}

/// Code that answers with these words.
fn answer(words: &[u32]) -> String {
    let mut code = String::new();
    for (index, word) in words.iter().enumerate() {
        write!(code, "(i32.store offset={} (i32.const {ANSWER}) (i32.const {word})) ", index * 4).expect("writing to a string can't fail");
    }
    code + &format!("(return (i32.const {ANSWER}))")
}

/// The module around a `transform-user`: memory, allocation, `describe` and `validate-settings`.
fn shell(data: &Data, describe: &str, start: &str, transform: &str) -> String {
    format!(
        r#"(module
  (import "rolecall:plugin/host@1.0.0" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const {HEAP_START}))
  (global $out (mut i32) (i32.const 0))
  (data (i32.const {DATA_START}) "{data}")
  {start}

  (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (i32.add (global.get $free) (i32.const 65536)) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))))
    (local.get $at))

  ;; The address behind the first occurrence of a text, or 0.
  (func $find (param $hay i32) (param $hay_len i32) (param $needle i32) (param $needle_len i32) (result i32)
    (local $i i32) (local $j i32)
    (block $none
      (loop $next
        (br_if $none (i32.gt_s (i32.add (local.get $i) (local.get $needle_len)) (local.get $hay_len)))
        (local.set $j (i32.const 0))
        (block $differs
          (loop $same
            (if (i32.eq (local.get $j) (local.get $needle_len))
              (then (return (i32.add (local.get $hay) (i32.add (local.get $i) (local.get $needle_len))))))
            (br_if $differs (i32.ne
              (i32.load8_u (i32.add (i32.add (local.get $hay) (local.get $i)) (local.get $j)))
              (i32.load8_u (i32.add (local.get $needle) (local.get $j)))))
            (local.set $j (i32.add (local.get $j) (i32.const 1)))
            (br $same)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; Copies bytes to the end of the answer.
  (func $append (param $from i32) (param $len i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $len)))
        (i32.store8 (global.get $out) (i32.load8_u (local.get $from)))
        (global.set $out (i32.add (global.get $out) (i32.const 1)))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next))))

  ;; Copies a JSON text, from behind its opening quotation mark to before its closing one.
  (func $append_text (param $from i32)
    (block $done
      (br_if $done (i32.eqz (local.get $from)))
      (loop $next
        (br_if $done (i32.eq (i32.load8_u (local.get $from)) (i32.const 34)))
        (call $append (local.get $from) (i32.const 1))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (br $next))))

  (func (export "rolecall:plugin/info@1.0.0#describe") (result i32) {describe})
  (func (export "rolecall:plugin/info@1.0.0#validate-settings") (param i32 i32) (result i32) (i32.const 0))
  (func (export "rolecall:plugin/transform@1.0.0#transform-user")
    (param $as_of i32) (param $as_of_len i32) (param $connection i32) (param $connection_len i32)
    (param $settings i32) (param $settings_len i32) (param $user i32) (param $user_len i32)
    (param $groups i32) (param $groups_len i32) (result i32)
    (local $out i32) (local $title i32)
    {transform}))"#,
        data = data.escaped(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rolecall::mapping::Mapping;
    use rolecall::model::Instant;
    use rolecall::plugins::{Call, PluginFault, Sandbox, SandboxConfig, Tables, Transformed};
    use serde_json::json;

    use super::*;

    fn transform(title: &str) -> Result<Transformed, PluginFault> {
        let sandbox = Sandbox::new(&SandboxConfig::default()).unwrap();
        let plugin = sandbox.load(&module()).unwrap();
        let user = json!({"userName": "ada@acme.example", "title": title});
        let (tables, as_of) = (Arc::new(Tables::new()), Instant(0).timestamp());
        plugin.transform_user(&Call { as_of, connection: "c", settings: &"{}".into(), user: &user, groups: &[], tables: &tables })
    }

    #[test]
    fn the_probe_does_what_the_title_says() {
        match transform("engineer").unwrap().mapping {
            Mapping::Account { shape, .. } => {
                assert_eq!((shape.user_name.as_str(), shape.title.as_deref()), ("ada@acme.example", Some("engineer")));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(transform("outside").unwrap().mapping, Mapping::OutOfScope { .. }));
        assert!(matches!(transform("refuse").unwrap().mapping, Mapping::Refused { code, .. } if code == "title_refused"));
        for (title, code) in [("trap", "trap"), ("loop", "fuel"), ("grow", "memory"), ("flood", "output_too_large")] {
            let fault = transform(title).unwrap_err();
            assert_eq!(fault.code(), code, "{title}: {fault}");
            assert!(!fault.is_infrastructure(), "{title}: the same input gives the same verdict");
        }
    }
}
