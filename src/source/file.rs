//! A file of one JSON document a line, as a partition: a backfill without Kafka.
//!
//! In: an NDJSON file. Out: a [`Source`] with one partition, `@file/NAME`, whose offsets are line
//! numbers from 0.
//!
//! # Invariants
//! - The incarnation is the SHA-256 of the whole file: another file of the same name is another
//!   partition, and the same file again is the same one.
//! - A record's timestamp is the file's modification time: a property of the file, not of when it
//!   is read.
//! - Empty lines are no records, but keep their numbers.
//!
//! Deliberately unknown here: whether the lines were stored before.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::{Answer, Assignment, Commit, Intake, MOST_RECORD_BYTES, Source, SourceError, Waker};
use crate::event::{Headers, Micros, PartitionId, RawRecord};

/// Lines handed over before batches are looked after.
const TURN: usize = 2_000;

/// A file being read.
pub struct FileSource {
    partition: PartitionId,
    incarnation: Arc<str>,
    lines: BufReader<File>,
    timestamp: Option<Micros>,
    headers: Vec<u8>,
    line: Vec<u8>,
    next: i64,
    state: State,
    commits: Vec<Commit>,
    waker: Arc<Waker>,
}

#[derive(PartialEq, Eq)]
enum State {
    New,
    Reading,
    Ended,
}

impl FileSource {
    /// Open a file; every record carries these headers (`tenant`, for one).
    pub fn open(path: &Path, headers: &[(&str, &str)]) -> Result<FileSource, SourceError> {
        let wrong = |error: io::Error| SourceError::Fatal(format!("{}: {error}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let incarnation = digest(path).map_err(wrong)?;
        let file = File::open(path).map_err(wrong)?;
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let since_epoch = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let mut packed = Vec::new();
        for (name, value) in headers {
            Headers::pack(&mut packed, name, value.as_bytes());
        }
        Ok(FileSource {
            partition: PartitionId { topic: format!("@file/{name}").into(), partition: 0 },
            incarnation: incarnation.into(),
            lines: BufReader::with_capacity(1 << 20, file),
            timestamp: since_epoch.map(|since| since.as_micros() as Micros),
            headers: packed,
            line: Vec::new(),
            next: 0,
            state: State::New,
            commits: Vec::new(),
            waker: Arc::new(Waker::default()),
        })
    }

    /// The partition the file stands for.
    pub fn partition(&self) -> &PartitionId {
        &self.partition
    }
}

impl Source for FileSource {
    fn poll(&mut self, timeout: Duration, intake: &mut dyn Intake) -> Result<(), SourceError> {
        if self.state == State::New {
            self.state = State::Reading;
            intake.assigned(Assignment {
                partition: self.partition.clone(),
                cluster: "".into(),
                incarnation: Arc::clone(&self.incarnation),
                committed: None,
                log_start: 0,
                log_end: i64::MAX,
            });
        }
        for commit in self.commits.drain(..) {
            intake.committed(&commit, Answer::Done);
        }
        for _ in 0..TURN {
            if self.state == State::Ended || !intake.wants(&self.partition) {
                self.waker.wait(timeout);
                return Ok(());
            }
            self.line.clear();
            let failed = |why: String| {
                SourceError::Fatal(format!("{}, line {}: {why}", self.partition, self.next + 1))
            };
            let mut lines = self.lines.by_ref().take(MOST_RECORD_BYTES);
            let read = lines.read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| failed(error.to_string()))?;
            if read as u64 == MOST_RECORD_BYTES {
                return Err(failed(format!("has {MOST_RECORD_BYTES} bytes or more; split it")));
            }
            if read == 0 {
                self.state = State::Ended;
                intake.reached_end(&self.partition, i64::MAX);
                intake.ended();
                return Ok(());
            }
            let offset = self.next;
            self.next += 1;
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                let headers = Headers::packed(&self.headers);
                let timestamp = self.timestamp;
                let record = RawRecord { offset, timestamp, key: None, headers, payload: line };
                intake.take(&self.partition, &record);
            }
        }
        Ok(())
    }

    fn commit(&mut self, commits: Vec<Commit>) -> Result<(), SourceError> {
        // A file remembers nothing: where to go on is what the warehouse holds.
        self.commits.extend(commits);
        self.waker.ring();
        Ok(())
    }

    fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
