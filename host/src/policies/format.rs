//! Policies in one layout, by Cedar's own formatter: comments stay, and it holds by itself that the meaning does.

use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::scan;
use crate::diagnostic::Diagnostic;

/// The widest line: Cedar's own, so that editors with Cedar's plugin lay a file out alike.
const LINE_CHARS: usize = 80;
/// How far each level is moved in.
const INDENT_CHARS: isize = 2;

/// A policy file in the one layout.
///
/// # Errors
/// What keeps the file from being parsed.
pub fn format(file: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    // What would overflow the stack is refused before anything that recurses sees it.
    let statements = scan::statements(file, text)?;
    super::source::parse(file, text)?;
    if statements.is_empty() {
        return Ok(text.to_owned());
    }
    let config = Config { line_width: LINE_CHARS, indent_width: INDENT_CHARS };
    policies_str_to_pretty(text, &config).map_err(|error| vec![Diagnostic::of_file(file, format!("the file can't be formatted: {error}"))])
}
