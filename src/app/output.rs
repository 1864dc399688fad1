//! Standard output and standard error, whose readers may leave (`trailhouse … | head -1`).
//!
//! In: what a user asked for, what a user is told. Out: text, or the word that nobody reads it.
//!
//! # Invariants
//! - A reader that has left is no failure of the program, and is never mistaken for another broken
//!   connection.
//!
//! Deliberately unknown here: what is written.

use std::fmt::{self, Display};
use std::io::{self, Write};

/// Standard output; its reader's leaving is an error that [`reader_left`] knows.
pub struct Output(io::Stdout);

/// Standard output.
pub fn output() -> Output {
    Output(io::stdout())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

/// A line to standard output that nobody needs to read.
pub fn say(line: impl Display) {
    // Whoever does not listen has left.
    let _ = writeln!(output(), "{line}");
}

/// A line to standard error. Unlike `eprintln`, it lets the reader leave.
pub fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether an error says that the reader of standard output has left.
pub fn reader_left(error: &anyhow::Error) -> bool {
    let is_mark = |error: &io::Error| error.get_ref().is_some_and(|inner| inner.is::<ReaderLeft>());
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_mark))
}

fn marked(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderLeft),
        _ => error,
    }
}

#[derive(Debug)]
struct ReaderLeft;

impl Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderLeft {}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_reader_that_left_is_told_from_every_other_broken_pipe() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let left: anyhow::Result<()> = Err(marked(broken())).context("writing the report");
        assert!(reader_left(&left.unwrap_err()));
        let network: anyhow::Result<()> = Err(broken()).context("asking ClickHouse");
        assert!(!reader_left(&network.unwrap_err()));
        assert!(!reader_left(&marked(io::Error::other("disk full")).into()));
    }
}
