//! Columns of few different texts, as dictionaries, and maps whose keys are such.
//!
//! In: texts, row by row. Out: Arrow's dictionary and map arrays.
//!
//! Arrow's own builders do the same, with a hash made for hostile input: 6 % of all our CPU time went
//! there, 25 times a row. These texts' number is bounded by the slice.
//!
//! # Invariants
//! - A text stands in the dictionary once.
//!
//! Deliberately unknown here: what the columns mean.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder as _, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{Array as _, ArrayRef, DictionaryArray, Int32Array, MapArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxBuildHasher;

use super::{BlockError, finish_text};

/// A column of few different texts.
///
/// These stand one behind the other: looked up many times an event, they stay in the cache.
#[derive(Default)]
pub struct Words {
    /// Places among the texts, by their hashes.
    known: HashTable<i32>,
    texts: StringBuilder,
    rows: Vec<i32>,
}

impl Words {
    /// Append a text.
    pub fn push(&mut self, text: &str) {
        let Words { known, texts, rows } = self;
        let (all, ends) = (texts.values_slice(), texts.offsets_slice());
        let at = |at: i32| &all[ends[at as usize] as usize..ends[at as usize + 1] as usize];
        let hash = |text: &[u8]| FxBuildHasher.hash_one(text);
        let bytes = text.as_bytes();
        match known.entry(hash(bytes), |known| at(*known) == bytes, |known| hash(at(*known))) {
            Entry::Occupied(known) => rows.push(*known.get()),
            Entry::Vacant(place) => {
                let at = texts.len() as i32;
                place.insert(at);
                rows.push(at);
                texts.append_value(text);
            }
        }
    }

    /// So many rows of one text.
    pub fn all(text: &str, rows: usize) -> Result<ArrayRef, BlockError> {
        let mut words = Words { rows: vec![0; rows], ..Words::default() };
        words.texts.append_value(text);
        words.finish()
    }

    /// The rows so far, taken out.
    pub fn finish(&mut self) -> Result<ArrayRef, BlockError> {
        self.known.clear();
        let capacity = self.rows.len();
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(capacity));
        let texts = Arc::new(self.texts.finish());
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(rows), texts)?))
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
