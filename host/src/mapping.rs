//! What a mapping makes of a SCIM User: the account's shape, its bounds, and the mapping that applies without a plugin.
//! Pure; knows nothing of Wasm.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Tags;

/// The local account as the mapping shapes it. Every text is 1 to [`TEXT_BYTES_LIMIT`] bytes without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountShape {
    /// The login name.
    pub user_name: String,
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub division: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_center: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employee_number: Option<String>,
    /// The manager, as the identity provider names them (a SCIM id or its own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Extensions and what the mapping derived: sets of text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

/// A mapping's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapping {
    /// An account.
    Account {
        /// Its shape.
        shape: AccountShape,
        /// For each attribute of the shape, the SCIM path or rule that its value came from.
        provenance: BTreeMap<String, String>,
    },
    /// This person is none of the tenant's.
    OutOfScope {
        /// Why.
        reason: String,
    },
    /// This person is refused.
    Refused {
        /// A stable word.
        code: String,
        /// The SCIM path concerned.
        path: Option<String>,
        /// What is wrong and what to do.
        message: String,
    },
}

/// The longest text in a shape, in bytes.
pub const TEXT_BYTES_LIMIT: usize = 1_024;

impl Mapping {
    /// The mapping of a tenant without a plugin: core and enterprise attributes as they are.
    #[must_use]
    pub fn default_for(user: &Value) -> Self {
        let _ = user;
        unimplemented!()
    }
}
