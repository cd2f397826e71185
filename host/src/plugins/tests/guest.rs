//! Plugins for tests as WebAssembly text: what an author's build would give, with a body that a test chooses.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{StringEncoding, embed_component_metadata};

/// Where answers are written.
pub const ANSWER: u32 = 1_024;
/// Where static texts begin.
const TEXTS: u32 = 4_096;
/// Where the host's texts are put.
const HEAP: u32 = 65_536;

/// A plugin in the making: static texts, and code around them.
pub struct Guest {
    pub world: &'static str,
    pub texts: Vec<u8>,
    pub describe: u32,
    /// Pages of memory that it starts with.
    pub pages: u32,
    /// Imports: they come first in a module.
    pub imports: String,
    /// Functions, tables, a start function.
    pub items: String,
    /// The body of `transform-user` or `propose-roles`. The parameters `$user`, `$user_len`, … are there.
    pub body: String,
    /// The body of `validate-settings`.
    pub validate: String,
}

impl Guest {
    /// A mapping plugin that reads `userName` and answers nothing valid yet.
    pub fn transformer() -> Self {
        Self::new("transformer", &["userName"])
    }

    /// A nominating plugin.
    pub fn proposer() -> Self {
        Self::new("proposer", &[])
    }

    pub fn new(world: &'static str, reads: &[&str]) -> Self {
        let mut guest = Self {
            world,
            texts: Vec::new(),
            describe: 0,
            pages: 2,
            imports: String::new(),
            items: String::new(),
            body: "unreachable".into(),
            validate: "(i32.const 0)".into(),
        };
        let paths: Vec<u32> = reads.iter().flat_map(|path| guest.text(path.as_bytes())).collect();
        let paths = guest.words(&paths);
        let [name, name_len] = guest.text(b"test");
        let [version, version_len] = guest.text(b"1");
        let count = u32::try_from(reads.len()).unwrap();
        guest.describe = guest.words(&[name, name_len, version, version_len, paths, count]);
        guest
    }

    /// Keeps a text; its address and length.
    pub fn text(&mut self, text: &[u8]) -> [u32; 2] {
        while !self.texts.len().is_multiple_of(4) {
            self.texts.push(0);
        }
        let at = TEXTS + u32::try_from(self.texts.len()).unwrap();
        self.texts.extend_from_slice(text);
        [at, u32::try_from(text.len()).unwrap()]
    }

    /// Keeps 32-bit words; their address.
    pub fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.text(&bytes)[0]
    }

    /// Code that answers with an account of this JSON and this provenance.
    pub fn account(&mut self, json: &[u8], provenance: &[(&str, &str)]) -> String {
        let pairs: Vec<u32> = provenance
            .iter()
            .flat_map(|(attribute, source)| [self.text(attribute.as_bytes()), self.text(source.as_bytes())].concat())
            .collect();
        let pairs = self.words(&pairs);
        let [json, json_len] = self.text(json);
        answer(&[0, 0, json, json_len, pairs, u32::try_from(provenance.len()).unwrap()])
    }

    /// Code that answers *out of scope*.
    pub fn out_of_scope(&mut self, reason: &[u8]) -> String {
        let [reason, reason_len] = self.text(reason);
        answer(&[0, 1, reason, reason_len])
    }

    /// Code that refuses.
    pub fn refusal(&mut self, code: &str, path: Option<&str>, message: &str) -> String {
        let [code, code_len] = self.text(code.as_bytes());
        let [path_at, path_len] = self.text(path.unwrap_or_default().as_bytes());
        let [message, message_len] = self.text(message.as_bytes());
        answer(&[1, code, code_len, u32::from(path.is_some()), path_at, path_len, message, message_len])
    }

    /// Code that nominates roles.
    pub fn proposals(&mut self, proposals: &[(&str, Option<&str>)]) -> String {
        let mut words = Vec::new();
        for (role, because) in proposals {
            words.extend(self.text(role.as_bytes()));
            words.push(u32::from(because.is_some()));
            words.extend(self.text(because.unwrap_or_default().as_bytes()));
        }
        let list = self.words(&words);
        answer(&[0, list, u32::try_from(proposals.len()).unwrap()])
    }

    /// The core module, without the contract.
    pub fn core(&self) -> Vec<u8> {
        let texts = self.texts.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:02x}").unwrap();
            text
        });
        let (hook, account) = match self.world {
            "proposer" => ("propose@1.0.0#propose-roles", "(param $account i32) (param $account_len i32)"),
            _ => ("transform@1.0.0#transform-user", ""),
        };
        // A proposer's twelve flat parameters fit: the canonical form allows sixteen.
        let text = format!(
            r#"(module
  {imports}
  (memory (export "memory") {pages})
  (global $free (mut i32) (i32.const {HEAP}))
  (data (i32.const {TEXTS}) "{texts}")
  {items}
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (global.get $free) (i32.shl (memory.size) (i32.const 16))))
        (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
        unreachable))
    (local.get $at))
  (func (export "rolecall:plugin/info@1.0.0#describe") (result i32) (i32.const {describe}))
  (func (export "rolecall:plugin/info@1.0.0#validate-settings") (param $settings i32) (param $settings_len i32) (result i32) {validate})
  (func (export "rolecall:plugin/{hook}")
    (param $as_of i32) (param $as_of_len i32) (param $connection i32) (param $connection_len i32)
    (param $settings i32) (param $settings_len i32) (param $user i32) (param $user_len i32)
    (param $groups i32) (param $groups_len i32) {account} (result i32)
    (local $i i32)
    {body}))"#,
            imports = self.imports,
            pages = self.pages,
            items = self.items,
            describe = self.describe,
            validate = self.validate,
            body = self.body,
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// The module as it would be uploaded.
    pub fn module(&self) -> Vec<u8> {
        with_contract(&self.core(), self.world)
    }
}

/// A core module with a world of the contract in it.
pub fn with_contract(core: &[u8], world: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk/wit/v1");
    let (package, _) = resolve.push_dir(&contract).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    module
}

/// Code that answers with these words.
pub fn answer(words: &[u32]) -> String {
    let mut code = String::new();
    for (number, word) in words.iter().enumerate() {
        write!(code, "(i32.store offset={} (i32.const {ANSWER}) (i32.const {word})) ", number * 4).unwrap();
    }
    code + &format!("(i32.const {ANSWER})")
}

/// Code that answers *out of scope* with a text that it was given: how a test sees what a plugin sees.
pub fn echo(parameter: &str) -> String {
    format!(
        "(i32.store (i32.const {ANSWER}) (i32.const 0)) (i32.store offset=4 (i32.const {ANSWER}) (i32.const 1))
         (i32.store offset=8 (i32.const {ANSWER}) (local.get ${parameter})) (i32.store offset=12 (i32.const {ANSWER}) (local.get ${parameter}_len))
         (i32.const {ANSWER})"
    )
}

pub const IMPORT_LOG: &str = r#"(import "rolecall:plugin/host@1.0.0" "log" (func $log (param i32 i32 i32)))"#;
pub const IMPORT_LOOKUP: &str = r#"(import "rolecall:plugin/host@1.0.0" "lookup" (func $lookup (param i32 i32 i32 i32 i32)))"#;
