//! Where each policy of a file begins and ends, and whether it is small enough to be parsed.
//!
//! Cedar's parser and its trees recurse: a hostile file of nested brackets or of one endless `&&`
//! chain would overflow the stack and end the process. So the text is looked over first, without recursion.

use std::ops::Range;

use crate::diagnostic::Diagnostic;

/// The deepest nesting of brackets in a policy: far beyond what people write, far below what overflows a 2 MiB stack.
pub(super) const NESTING_LIMIT: usize = 32;
/// The most operators in one policy, which bound the depth of its tree.
pub(super) const OPERATORS_LIMIT: usize = 512;

/// A policy's place in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// From its first character, annotations included, to its semicolon.
    pub range: Range<usize>,
    /// Where `permit` or `forbid` stands: what is marked when the policy as a whole is meant.
    pub head: usize,
}

/// The statements in their order.
pub(super) fn statements(file: &str, text: &str) -> Result<Vec<Statement>, Vec<Diagnostic>> {
    let mut scan = Scan { file, text, found: Vec::new(), problems: Vec::new(), start: None, head: None, depth: 0, operators: 0 };
    scan.run();
    if scan.problems.is_empty() { Ok(scan.found) } else { Err(scan.problems) }
}

struct Scan<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<Statement>,
    problems: Vec<Diagnostic>,
    start: Option<usize>,
    head: Option<usize>,
    depth: usize,
    operators: usize,
}

impl Scan<'_> {
    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'/' && bytes.get(at + 1) == Some(&b'/') {
                at = self.text[at..].find('\n').map_or(bytes.len(), |newline| at + newline);
                continue;
            }
            if byte.is_ascii_whitespace() {
                at += 1;
                continue;
            }
            let start = *self.start.get_or_insert(at);
            if byte == b'"' {
                at = string_end(bytes, at);
                continue;
            }
            if byte.is_ascii_alphabetic() {
                let end = bytes[at..].iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').map_or(bytes.len(), |n| at + n);
                if self.depth == 0 && bytes.get(at.wrapping_sub(1)) != Some(&b'@') {
                    self.head.get_or_insert(at);
                }
                self.operators += usize::from(matches!(&self.text[at..end], "in" | "has" | "like" | "is" | "if"));
                at = end;
                continue;
            }
            self.symbol(byte, at);
            at += 1;
            if byte == b';' {
                self.end_statement(start, at);
            }
        }
        if let Some(start) = self.start {
            self.end_statement(start, bytes.len());
        }
    }

    fn symbol(&mut self, byte: u8, at: usize) {
        match byte {
            b'(' | b'[' | b'{' => {
                self.depth += 1;
                self.operators += 1;
                if self.depth == NESTING_LIMIT + 1 {
                    let message = format!("brackets are nested deeper than {NESTING_LIMIT}");
                    self.problems.push(Diagnostic::at(self.file, self.text, at..at + 1, message).with_help("split the policy"));
                }
            }
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'&' | b'|' | b'.' | b'+' | b'-' | b'*' | b'<' | b'>' | b'=' | b'!' => self.operators += 1,
            _ => {}
        }
    }

    fn end_statement(&mut self, start: usize, end: usize) {
        if self.operators > OPERATORS_LIMIT {
            let message = format!("the policy has more than {OPERATORS_LIMIT} operators");
            let help = "split it, or put the people into a group";
            self.problems.push(Diagnostic::at(self.file, self.text, start..end, message).with_help(help));
        }
        self.found.push(Statement { range: start..end, head: self.head.unwrap_or(start) });
        (self.start, self.head, self.depth, self.operators) = (None, None, 0, 0);
    }
}

/// The index behind the closing quote of the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_strings_and_comments() {
        let text = "// permit(;\n@id(\"a;\\\";\") permit(x); // c;\n\nforbid(y) ";
        let found = statements("f", text).unwrap_or_default();
        let texts: Vec<&str> = found.iter().map(|statement| &text[statement.range.clone()]).collect();
        assert_eq!(texts, ["@id(\"a;\\\";\") permit(x);", "forbid(y) "]);
        let heads: Vec<&str> = found.iter().map(|statement| &text[statement.head..statement.head + 7]).collect();
        assert_eq!(heads, ["permit(", "forbid("]);
    }

    #[test]
    fn what_would_overflow_the_stack_is_refused() {
        let deep = format!("permit(principal, action, resource) when {{ {}true{} }};", "(".repeat(100_000), ")".repeat(100_000));
        let long = format!("permit(principal, action, resource) when {{ true{} }};", " && true".repeat(100_000));
        for (text, word) in [(deep, "nested"), (long, "operators")] {
            let problems = statements("f", &text).expect_err("too large");
            assert!(problems.iter().any(|problem| problem.message.contains(word)), "{problems:?}");
        }
    }

    #[test]
    fn unfinished_strings_end_with_the_text() {
        assert_eq!(statements("f", "permit(\"abc\\"), Ok(vec![Statement { range: 0..12, head: 0 }]));
    }
}
