//! What is committed to Kafka beside an offset: the batch that is about to be stored.
//!
//! In: a batch's range. Out: metadata that the next owner of the partition reads.
//!
//! An *intent*, `offset = first` with `last`, says which batch may have been stored. A *completion*,
//! without `last`, says that everything before the offset is. A batch's intent completes the batch
//! before it, so a batch costs one commit.
//!
//! # Invariants
//! - Whoever takes over a partition makes the batch of an intent again with the same ends, so under
//!   the same token.
//! - Both carry the topic's id: offsets of a topic that was made again mean other records.
//! - Well under the 4 KiB that a broker keeps by default (`offset.metadata.max.bytes`).
//!
//! Deliberately unknown here: when to commit.

use serde::{Deserialize, Serialize};

use crate::source::Commit;

/// The format written today.
const FORMAT: u32 = 1;

/// What is committed beside an offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Format of this metadata.
    #[serde(rename = "trailhouse")]
    format: u32,
    /// Id of the topic; empty where the broker has none.
    pub incarnation: String,
    /// Last offset of the batch that begins at the committed offset; `None` for a completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
}

impl Intent {
    /// A batch up to `last` is about to be stored; `None` if nothing is.
    pub fn new(incarnation: &str, last: Option<i64>) -> Intent {
        Intent { format: FORMAT, incarnation: incarnation.to_owned(), last }
    }

    /// As it is committed.
    pub fn to_metadata(&self) -> String {
        // INVARIANT: a struct of a number, a string and an option always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Read what was committed. Metadata of other programs, or none, is no intent.
    pub fn read(metadata: &str) -> Result<Option<Intent>, NewerFormat> {
        match serde_json::from_str::<Intent>(metadata) {
            Ok(intent) if intent.format > FORMAT => Err(NewerFormat(intent.format)),
            Ok(intent) => Ok(Some(intent)),
            Err(_) => Ok(None),
        }
    }
}

/// Whether a commit announces a batch.
pub fn announces(commit: &Commit) -> bool {
    matches!(Intent::read(&commit.metadata), Ok(Some(Intent { last: Some(_), .. })))
}

/// The partition was last worked on by a newer version of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("committed by a newer Trailhouse (format {0}, this one knows {FORMAT}); run that version")]
pub struct NewerFormat(u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_reads_back_and_is_short() {
        for last in [None, Some(0), Some(i64::MAX)] {
            let intent = Intent::new("vFQ2cVZuT0a6K1wVh1zQqA", last);
            let metadata = intent.to_metadata();
            assert!(metadata.len() < 128, "{metadata}");
            assert_eq!(Intent::read(&metadata), Ok(Some(intent)));
        }
    }

    #[test]
    fn the_metadata_of_others_is_no_intent_and_that_of_a_newer_version_is_refused() {
        for other in ["", "NO_METADATA", "{}", "{\"host\":\"a\"}", "7"] {
            assert_eq!(Intent::read(other), Ok(None), "{other}");
        }
        let newer = r#"{"trailhouse":2,"incarnation":"a","last":7,"lanes":[1]}"#;
        assert_eq!(Intent::read(newer), Err(NewerFormat(2)));
    }
}
