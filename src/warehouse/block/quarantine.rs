//! The columns of a batch's rows of `quarantine`.
//!
//! In: rejections, with their records' keys and headers. Out: a [`Block`].
//!
//! # Invariants
//! - As in [`super`]; bytes go in as they came, whether or not they are text.
//!
//! Deliberately unknown here: why a record is rejected.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, MapBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};

use super::words::Words;
use super::{Block, BlockError, PositionColumns, timestamps};
use crate::event::{Headers, LogId, Micros, Place, Rejection};

/// The rows of `quarantine` of one batch.
pub struct QuarantineBlock {
    received_at: TimestampMicrosecondBuilder,
    tenant: Words,
    reason: Words,
    sentence: StringBuilder,
    mapping: Words,
    key: BinaryBuilder,
    headers: MapBuilder<StringBuilder, BinaryBuilder>,
    raw: BinaryBuilder,
    position: PositionColumns,
}

impl QuarantineBlock {
    /// Rows of a log.
    pub fn new(log: &LogId) -> QuarantineBlock {
        QuarantineBlock {
            received_at: timestamps(),
            tenant: Words::default(),
            reason: Words::default(),
            sentence: StringBuilder::new(),
            mapping: Words::default(),
            key: BinaryBuilder::new(),
            headers: MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new()),
            raw: BinaryBuilder::new(),
            position: PositionColumns::new(log),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.received_at.len()
    }

    /// Append one rejection, with its record's key and headers so that it can be replayed whole.
    pub fn push(
        &mut self,
        rejection: &Rejection<'_>,
        key: Option<&[u8]>,
        headers: Headers<'_>,
        place: Place,
        received_at: Micros,
    ) -> Result<(), BlockError> {
        self.received_at.append_value(received_at);
        self.tenant.push(rejection.tenant);
        self.reason.push(rejection.reason.code());
        self.sentence.append_value(&rejection.sentence);
        self.mapping.push(rejection.mapping);
        self.key.append_value(key.unwrap_or_default());
        for (name, value) in headers.iter() {
            self.headers.keys().append_value(name);
            self.headers.values().append_value(value);
        }
        self.headers.append(true)?;
        self.raw.append_value(rejection.raw);
        self.position.push(place);
        Ok(())
    }

    /// The rows so far, to be sent.
    pub fn finish(&mut self) -> Result<Block, BlockError> {
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("received_at", Arc::new(self.received_at.finish())),
            ("tenant", self.tenant.finish()?),
            ("reason", self.reason.finish()?),
            ("sentence", Arc::new(self.sentence.finish())),
            ("mapping", self.mapping.finish()?),
            ("key", Arc::new(self.key.finish())),
            ("headers", Arc::new(self.headers.finish())),
            ("raw", Arc::new(self.raw.finish())),
        ];
        self.position.finish(&mut columns)?;
        Ok(Block(RecordBatch::try_from_iter(columns)?))
    }
}
