//! The seam between the generated bindings of the contract's three worlds and [`crate::run`]. Only there in Wasm.

use std::marker::PhantomData;

use crate::run::{Question, Reply};
use crate::{Host, Level, Plugin, Proposal, Propose, Refusal, Row, Transform};

// One set of bindings for each exported interface, and not for each of the contract's worlds: the bindings' macros would have the same
// names in several worlds. Whatever a plugin exports is put together into its world when the module becomes a component.

pub mod info {
    wit_bindgen::generate!({
        path: "../wit/v1",
        inline: "package rolecall:sdk-info; world info { import rolecall:plugin/host@1.0.0; export rolecall:plugin/info@1.0.0; }",
        pub_export_macro: true,
        default_bindings_module: "rolecall_plugin::guest::info",
        generate_all,
    });
}

pub mod transform {
    wit_bindgen::generate!({
        path: "../wit/v1",
        inline: "package rolecall:sdk-transform; world transform { export rolecall:plugin/transform@1.0.0; }",
        pub_export_macro: true,
        default_bindings_module: "rolecall_plugin::guest::transform",
        with: { "rolecall:plugin/types@1.0.0": crate::guest::info::rolecall::plugin::types },
    });
}

pub mod propose {
    wit_bindgen::generate!({
        path: "../wit/v1",
        inline: "package rolecall:sdk-propose; world propose { export rolecall:plugin/propose@1.0.0; }",
        pub_export_macro: true,
        default_bindings_module: "rolecall_plugin::guest::propose",
        with: { "rolecall:plugin/types@1.0.0": crate::guest::info::rolecall::plugin::types },
    });
}

use info::rolecall::plugin::{host, types};

/// A plugin as the contract's exports.
pub struct Exported<P>(PhantomData<P>);

struct Rolecall;

impl Host for Rolecall {
    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, message);
    }

    fn lookup(&self, table: &str, key: &str) -> Option<Row> {
        host::lookup(table, key).map(Row)
    }
}

/// A panic in Wasm is a bare trap; its words go to the tenant's plugin log first.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| host::log(host::Level::Error, &panic.to_string())));
}

fn question(question: types::Question) -> Question {
    let types::Question { as_of, connection, settings, user, groups } = question;
    Question { as_of, connection, settings, user, groups }
}

fn refusal(refusal: Refusal) -> types::PluginError {
    let Refusal { code, path, message } = refusal;
    types::PluginError { code, path, message }
}

impl<P: Plugin> info::exports::rolecall::plugin::info::Guest for Exported<P> {
    fn describe() -> types::Description {
        types::Description {
            name: P::NAME.to_owned(),
            version: P::VERSION.to_owned(),
            reads: P::READS.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    fn validate_settings(settings: String) -> Result<(), types::PluginError> {
        log_panics();
        crate::run::validate_settings::<P>(&settings).map_err(refusal)
    }
}

impl<P: Transform> transform::exports::rolecall::plugin::transform::Guest for Exported<P> {
    fn transform_user(asked: types::Question) -> Result<types::Answer, types::PluginError> {
        log_panics();
        match crate::run::transform::<P>(&question(asked), &Rolecall).map_err(refusal)? {
            Reply::OutOfScope(reason) => Ok(types::Answer::OutOfScope(reason)),
            Reply::Account { json, provenance } => {
                let provenance = provenance.into_iter().map(|(attribute, source)| types::Provenance { attribute, source }).collect();
                Ok(types::Answer::Account(types::Account { json, provenance }))
            }
        }
    }
}

impl<P: Propose> propose::exports::rolecall::plugin::propose::Guest for Exported<P> {
    fn propose_roles(asked: types::Question, account: String) -> Result<Vec<types::Proposal>, types::PluginError> {
        log_panics();
        let proposals = crate::run::propose::<P>(&question(asked), &account, &Rolecall).map_err(refusal)?;
        Ok(proposals.into_iter().map(|Proposal { role, because }| types::Proposal { role, because }).collect())
    }
}
