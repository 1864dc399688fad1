//! Where the next page goes on: the key of the last event of this one.
//!
//! In: `(occurred_at, id)`. Out: an opaque, versioned text that a client hands back unread.
//!
//! # Invariants
//! - A printed cursor parses to itself; any other text is refused, never misread.
//! - It carries the question it belongs to (as a digest), so that a cursor taken to another
//!   filter is refused instead of giving a page of something else.
//!
//! Deliberately unknown here: how the key is used in SQL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::event::Micros;

/// First byte of every cursor; raised when the layout changes.
const VERSION: u8 = 1;
const LENGTH: usize = 1 + 8 + 16 + 8;

/// The key of the last event of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// That event's time.
    pub occurred_at: Micros,
    /// That event's id.
    pub id: Uuid,
}

impl Cursor {
    /// The opaque text, bound to a question by `question`, a digest of everything but the place.
    pub fn encode(&self, question: u64) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.occurred_at.to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&question.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Read an opaque text back, refusing one that belongs to another question.
    pub fn decode(text: &str, question: u64) -> Result<Cursor, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| CursorError::Malformed)?;
        if bytes[0] != VERSION {
            return Err(CursorError::Malformed);
        }
        let (mut occurred_at, mut id, mut asked) = ([0; 8], [0; 16], [0; 8]);
        occurred_at.copy_from_slice(&bytes[1..9]);
        id.copy_from_slice(&bytes[9..25]);
        asked.copy_from_slice(&bytes[25..]);
        if u64::from_be_bytes(asked) != question {
            return Err(CursorError::OtherQuestion);
        }
        Ok(Cursor { occurred_at: Micros::from_be_bytes(occurred_at), id: Uuid::from_bytes(id) })
    }
}

/// Why a text is not a cursor for this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a text this program printed.
    #[error("the cursor is malformed; pass next_cursor of the previous page unchanged")]
    Malformed,
    /// Printed for another filter or window.
    #[error("the cursor belongs to another filter; repeat the parameters of the first page")]
    OtherQuestion,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_printed_cursor_parses_to_itself(at: i64, id: u128, question: u64) {
            let cursor = Cursor { occurred_at: at, id: Uuid::from_u128(id) };
            prop_assert_eq!(Cursor::decode(&cursor.encode(question), question), Ok(cursor));
            let other = Cursor::decode(&cursor.encode(question), question ^ 1);
            prop_assert_eq!(other, Err(CursorError::OtherQuestion));
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC*") {
            prop_assume!(URL_SAFE_NO_PAD.decode(&text).map_or(true, |b| b.len() != LENGTH));
            prop_assert_eq!(Cursor::decode(&text, 0), Err(CursorError::Malformed));
        }
    }
}
