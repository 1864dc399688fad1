//! What is wrong with a file, and where.
//!
//! In: findings of the configuration and the mapping files. Out: [`Problem`], which prints as
//! `file:line: field: what is wrong; the fix`.
//!
//! # Invariants
//! - Lines count from 1; 0 means the file as a whole.
//! - Checks collect problems and go on: a user sees them all at once.
//!
//! Deliberately unknown here: what any file means.

use std::fmt;
use std::ops::Range;

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The dotted name of the field.
    pub field: String,
    /// What is wrong, and what would mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The problems of one file, collected while it is read.
#[derive(Debug)]
pub struct Problems<'t> {
    file: String,
    text: &'t str,
    found: Vec<Problem>,
}

impl<'t> Problems<'t> {
    /// None found yet in a file with this text.
    pub fn of(file: &str, text: &'t str) -> Self {
        Problems { file: file.to_owned(), text, found: Vec::new() }
    }

    /// Note a problem at a span of bytes of the text.
    pub fn at(&mut self, span: Range<usize>, field: &str, message: impl Into<String>) {
        self.push(self.line_of(span), field, message);
    }

    /// The line a span begins on, from 1.
    pub fn line_of(&self, span: Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Note a problem of the file as a whole.
    pub fn whole(&mut self, field: &str, message: impl Into<String>) {
        self.push(0, field, message);
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order of the lines.
    pub fn into_vec(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.line);
        self.found
    }

    fn push(&mut self, line: usize, field: &str, message: impl Into<String>) {
        self.found.push(Problem {
            file: self.file.clone(),
            line,
            field: field.to_owned(),
            message: message.into(),
        });
    }
}

/// The known name nearest to a mistyped one, as the end of a sentence.
pub fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let nearest = known
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.75 => {
            format!("; did you mean `{nearest}`?")
        }
        _ => String::new(),
    }
}
