//! Columns of few different texts, as dictionaries, and maps whose keys are such.
//!
//! In: texts, row by row. Out: Arrow's dictionary and map arrays.
//!
//! Arrow's own builders do the same, with a hash made for hostile input: 6 % of all our CPU time went
//! there, 15 times a row. These texts' number is bounded by the slice.
//!
//! # Invariants
//! - A text stands in the dictionary once.
//!
//! Deliberately unknown here: what the columns mean.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array as _, ArrayRef, DictionaryArray, Int32Array, MapArray, StringArray, StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};
use rustc_hash::FxHashMap;

use super::{BlockError, finish_text};

/// A column of few different texts.
#[derive(Default)]
pub struct Words {
    known: FxHashMap<Box<str>, i32>,
    rows: Vec<i32>,
}

impl Words {
    /// Append a text.
    pub fn push(&mut self, text: &str) {
        let at = match self.known.get(text) {
            Some(at) => *at,
            None => {
                let at = self.known.len() as i32;
                self.known.insert(text.into(), at);
                at
            }
        };
        self.rows.push(at);
    }

    /// So many rows of one text.
    pub fn all(text: &str, rows: usize) -> Result<ArrayRef, BlockError> {
        let mut words = Words { rows: vec![0; rows], ..Words::default() };
        words.known.insert(text.into(), 0);
        words.finish()
    }

    /// The rows so far, taken out.
    pub fn finish(&mut self) -> Result<ArrayRef, BlockError> {
        let mut words: Vec<(Box<str>, i32)> = self.known.drain().collect();
        words.sort_unstable_by_key(|(_, at)| *at);
        let words = StringArray::from_iter_values(words.iter().map(|(word, _)| word));
        let capacity = self.rows.len();
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(capacity));
        let rows = Int32Array::from(rows);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(rows, Arc::new(words))?))
    }
}

/// A column of maps from few different texts to any.
#[derive(Default)]
pub struct Texts {
    names: Words,
    values: StringBuilder,
    /// Pairs of each row.
    pairs: Vec<usize>,
}

impl Texts {
    /// Append a row.
    pub fn push<'t>(&mut self, pairs: impl Iterator<Item = (&'t str, &'t str)>) {
        let before = self.names.rows.len();
        for (name, value) in pairs {
            self.names.push(name);
            self.values.append_value(value);
        }
        self.pairs.push(self.names.rows.len() - before);
    }

    /// The rows so far, taken out.
    pub fn finish(&mut self) -> Result<ArrayRef, BlockError> {
        let (names, values) = (self.names.finish()?, finish_text(&mut self.values));
        let parts = Fields::from(vec![
            Field::new("keys", names.data_type().clone(), false),
            Field::new("values", DataType::Utf8, false),
        ]);
        let entries = StructArray::try_new(parts.clone(), vec![names, values], None)?;
        let field = Arc::new(Field::new("entries", DataType::Struct(parts), false));
        let offsets = OffsetBuffer::from_lengths(self.pairs.drain(..));
        Ok(Arc::new(MapArray::try_new(field, offsets, entries, None, false)?))
    }
}
