//! A file of cases beside policies, as far as it is alike whatever the cases ask: how many there are, what each is called, and where in the
//! file something is wrong.

use std::collections::BTreeSet;

use rolecall_scim::filter::fold;
use serde::de::DeserializeOwned;

use super::json_problem;
use super::policy_test::CASES_LIMIT;
use crate::diagnostic::Diagnostic;

/// A file that is being checked.
pub(super) struct CaseFile<'a> {
    file: &'a str,
    text: &'a str,
    descriptions: BTreeSet<String>,
    problems: Vec<Diagnostic>,
}

impl<'a> CaseFile<'a> {
    /// Reads the cases as they are written.
    pub(super) fn read<T: DeserializeOwned>(file: &'a str, text: &'a str) -> Result<(Self, Vec<T>), Vec<Diagnostic>> {
        let written: Vec<T> = serde_json::from_str(text).map_err(|error| vec![json_problem(file, text, &error)])?;
        let mut read = Self { file, text, descriptions: BTreeSet::new(), problems: Vec::new() };
        if written.len() > CASES_LIMIT {
            let message = format!("the file has {} cases: at most {CASES_LIMIT} are allowed", written.len());
            read.problems.push(Diagnostic::of_file(file, message));
        }
        Ok((read, written))
    }

    /// Sees the description of the next case.
    pub(super) fn describe(&mut self, description: &str) {
        if description.trim().is_empty() || !self.descriptions.insert(fold(description)) {
            self.problem(description, "each case has a description of its own");
        }
    }

    /// Something is wrong with a text that stands in the file.
    pub(super) fn problem(&mut self, needle: &str, message: impl Into<String>) {
        self.problems.push(match self.text.find(&format!("\"{needle}\"")) {
            Some(start) => Diagnostic::at(self.file, self.text, start..start + needle.len() + 2, message),
            None => Diagnostic::of_file(self.file, message),
        });
    }

    /// What is wrong, if anything is.
    pub(super) fn done(self) -> Result<(), Vec<Diagnostic>> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }
}
