//! What is wrong with a description, and where.

use std::fmt;

/// A line of a description that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1; 0 where the fault is of the whole text.
    pub line: usize,
    pub problem: String,
}

impl Mistake {
    pub(super) fn of_whole(problem: impl Into<String>) -> Self {
        Self { line: 0, problem: problem.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for Mistake {}
