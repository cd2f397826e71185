//! What is wrong with a tenant's files: where, what was expected, what to do. Rendered for people with line and caret, or as JSON.

use serde::Serialize;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Diagnostic {
    /// Path in the tenant folder.
    pub file: String,
    /// From 1; `None` when the whole file is concerned.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// Characters marked from `column`.
    pub length: usize,
    /// The line's text.
    pub source: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn whole_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, length: 0, source: None, message: message.into(), help: None }
    }
}
