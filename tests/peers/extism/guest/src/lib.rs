//! The example mapping as an Extism plugin: the same source, behind Extism's way of calling.

#[path = "../../../../../plugins/people-mapping/src/ascii.rs"]
mod ascii;
#[path = "../../../../../plugins/people-mapping/src/lib.rs"]
#[expect(dead_code, reason = "its settings are checked elsewhere")]
mod mapping;

use extism_pdk::{FnResult, plugin_fn};
use rolecall_plugin::run::{self, Question, Reply};
use rolecall_plugin::{Host, Level, Row};

/// No tables, no log: the mapping asks for neither.
struct Nothing;

impl Host for Nothing {
    fn log(&self, _: Level, _: &str) {}

    fn lookup(&self, _: &str, _: &str) -> Option<Row> {
        None
    }
}

#[plugin_fn]
pub fn transform_user(user: String) -> FnResult<String> {
    let question = Question {
        as_of: "2026-09-21T14:13:20Z".into(),
        connection: "connection".into(),
        settings: "{}".into(),
        user,
        groups: vec!["engineering".into()],
    };
    Ok(match run::transform::<mapping::PeopleMapping>(&question, &Nothing) {
        Ok(Reply::Account { json, .. }) => json,
        Ok(Reply::OutOfScope(reason)) => reason,
        Err(refusal) => refusal.message,
    })
}
