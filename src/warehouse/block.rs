//! The columns of a batch, a slice at a time, and their bytes as an Arrow stream.
//!
//! In: events with their ids and positions, or rejections. Out: [`Block`]s, each a record batch of the
//! stream, which ClickHouse puts together to one block. This is the module to exchange if another
//! format is ever quicker.
//!
//! # Invariants
//! - Columns are named as in `deploy/clickhouse`; ClickHouse matches them by name, so their order
//!   here is free.
//! - One slice holds less than 2 GiB of any one column's text (Arrow's 32-bit offsets); a
//!   batch's byte limit is far below.
//! - Nothing but the rows goes in: the bytes depend on no clock.
//!
//! Types as ClickHouse takes them: `FixedSizeBinary(16)` for UUID and IPv6 (network order),
//! `Timestamp(µs, UTC)` for DateTime64(6), `Int8` for Enum8, a dictionary for LowCardinality.
//!
//! Deliberately unknown here: tokens, retries, SQL.

mod quarantine;
mod words;

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, FixedSizeBinaryBuilder, Int8Builder, Int64Builder, ListBuilder, StringBuilder,
    StructBuilder, TimestampMicrosecondBuilder, UInt16Builder, UInt32Builder,
};
use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Fields};
use uuid::Uuid;

pub use self::quarantine::QuarantineBlock;
use self::words::{Texts, Words};
use crate::event::{AuditEvent, LogId, Micros, Place, Target};

/// Columns of `events` that hold text.
const TEXT: [&str; 18] = [
    "source_id",
    "reason",
    "actor_id",
    "actor_name",
    "actor_email",
    "actor_account_id",
    "actor_account_name",
    "target_id",
    "target_name",
    "user_agent",
    "session_id",
    "request_id",
    "correlation_id",
    "message",
    "changes_old",
    "changes_new",
    "raw",
    "written_by",
];

/// Columns of `events` that hold one of few texts.
const WORD: [&str; 8] =
    ["tenant", "schema", "service", "action", "actor_type", "target_type", "country", "region"];

/// Columns that hold an enum's value.
const CODE: [&str; 4] = ["time_source", "verb", "outcome", "origin"];

/// The rows of `events` of one slice.
pub struct EventBlock {
    id: FixedSizeBinaryBuilder,
    mapping_version: UInt16Builder,
    occurred_at: TimestampMicrosecondBuilder,
    received_at: TimestampMicrosecondBuilder,
    client_ip: FixedSizeBinaryBuilder,
    text: [StringBuilder; TEXT.len()],
    word: [Words; WORD.len()],
    code: [Int8Builder; CODE.len()],
    targets: ListBuilder<StructBuilder>,
    attributes: Texts,
    headers: Texts,
    position: PositionColumns,
}

impl EventBlock {
    /// Rows of a log.
    pub fn new(log: &LogId) -> EventBlock {
        let target = ["id", "type", "name"].map(|name| Field::new(name, DataType::Utf8, false));
        EventBlock {
            id: FixedSizeBinaryBuilder::new(16),
            mapping_version: UInt16Builder::new(),
            occurred_at: timestamps(),
            received_at: timestamps(),
            client_ip: FixedSizeBinaryBuilder::new(16),
            text: Default::default(),
            word: Default::default(),
            code: Default::default(),
            targets: ListBuilder::new(StructBuilder::from_fields(Fields::from_iter(target), 0)),
            attributes: Texts::default(),
            headers: Texts::default(),
            position: PositionColumns::new(log),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.id.len()
    }

    /// Append one event.
    pub fn push(
        &mut self,
        event: &AuditEvent<'_>,
        id: Uuid,
        place: Place,
        received_at: Micros,
    ) -> Result<(), BlockError> {
        self.id.append_value(id.as_bytes())?;
        self.mapping_version.append_value(event.mapping_version);
        self.occurred_at.append_value(event.occurred_at);
        self.received_at.append_value(received_at);
        self.client_ip.append_value(event.client_ip.octets())?;
        let text: [&str; TEXT.len()] = [
            event.source_id,
            event.reason,
            event.actor.id,
            event.actor.name,
            event.actor.email,
            event.actor.account_id,
            event.actor.account_name,
            event.target.id,
            event.target.name,
            event.user_agent,
            event.session_id,
            event.request_id,
            event.correlation_id,
            event.message,
            event.changes_old,
            event.changes_new,
            event.raw,
            event.written_by,
        ];
        for (column, value) in self.text.iter_mut().zip(text) {
            column.append_value(value);
        }
        let word: [&str; WORD.len()] = [
            event.tenant,
            event.schema,
            event.service,
            event.action,
            event.actor.kind,
            event.target.kind,
            event.country,
            event.region,
        ];
        for (column, value) in self.word.iter_mut().zip(word) {
            column.push(value);
        }
        let code: [i8; CODE.len()] = [
            event.time_source.code(),
            event.verb.code(),
            event.outcome.code(),
            event.origin.code(),
        ];
        for (column, value) in self.code.iter_mut().zip(code) {
            column.append_value(value);
        }
        push_targets(&mut self.targets, event.targets);
        self.attributes.push(event.attributes.iter().copied());
        self.headers.push(event.headers.iter().copied());
        self.position.push(place);
        Ok(())
    }

    /// The rows so far, to be sent.
    pub fn finish(&mut self) -> Result<Block, BlockError> {
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(self.id.finish())),
            ("mapping_version", Arc::new(self.mapping_version.finish())),
            ("occurred_at", Arc::new(self.occurred_at.finish())),
            ("received_at", Arc::new(self.received_at.finish())),
            ("client_ip", Arc::new(self.client_ip.finish())),
            ("targets", Arc::new(self.targets.finish())),
            ("attributes", self.attributes.finish()?),
            ("headers", self.headers.finish()?),
        ];
        let text = self.text.iter_mut().map(finish_text);
        columns.extend(TEXT.into_iter().zip(text));
        for (name, column) in WORD.into_iter().zip(&mut self.word) {
            columns.push((name, column.finish()?));
        }
        let code = self.code.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        columns.extend(CODE.into_iter().zip(code));
        self.position.finish(&mut columns)?;
        Ok(Block(RecordBatch::try_from_iter(columns)?))
    }
}

/// The columns every row has: where its record stands.
struct PositionColumns {
    log: LogId,
    offset: Int64Builder,
    index: UInt32Builder,
}

impl PositionColumns {
    fn new(log: &LogId) -> PositionColumns {
        let (offset, index) = (Int64Builder::new(), UInt32Builder::new());
        PositionColumns { log: log.clone(), offset, index }
    }

    fn push(&mut self, (offset, index): Place) {
        self.offset.append_value(offset);
        self.index.append_value(index);
    }

    fn finish(&mut self, columns: &mut Vec<(&str, ArrayRef)>) -> Result<(), BlockError> {
        let rows = self.offset.len();
        let LogId { cluster, topic, incarnation, partition } = &self.log;
        let words = [
            ("kafka_cluster", cluster),
            ("kafka_topic", topic),
            ("kafka_incarnation", incarnation),
        ];
        for (name, word) in words {
            columns.push((name, Words::all(word, rows)?));
        }
        columns.push(("kafka_partition", Arc::new(Int32Array::from_value(*partition, rows))));
        columns.push(("kafka_offset", Arc::new(self.offset.finish())));
        columns.push(("kafka_index", Arc::new(self.index.finish())));
        Ok(())
    }
}

/// The next slice takes about as much.
fn finish_text(column: &mut StringBuilder) -> ArrayRef {
    let (rows, bytes) = (column.len(), column.values_slice().len());
    let next = StringBuilder::with_capacity(rows + rows / 8, bytes + bytes / 8);
    Arc::new(std::mem::replace(column, next).finish())
}

fn timestamps() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
}

fn push_targets(column: &mut ListBuilder<StructBuilder>, targets: &[Target<'_>]) {
    for target in targets {
        let row = column.values();
        for (at, value) in [target.id, target.kind, target.name].into_iter().enumerate() {
            // INVARIANT: the struct was built with three text fields.
            if let Some(part) = row.field_builder::<StringBuilder>(at) {
                part.append_value(value);
            }
        }
        row.append(true);
    }
    column.append(true);
}

/// Rows of one slice.
#[derive(Debug)]
pub struct Block(RecordBatch);

/// Slices, as one Arrow stream.
pub struct Stream<W: Write> {
    to: Option<W>,
    writer: Option<StreamWriter<W>>,
}

impl<W: Write> Stream<W> {
    /// Nothing is written before there is a slice.
    pub fn new(to: W) -> Stream<W> {
        Stream { to: Some(to), writer: None }
    }

    /// Write a slice.
    pub fn push(&mut self, block: &Block) -> Result<(), BlockError> {
        if let Some(to) = self.to.take() {
            self.writer = Some(StreamWriter::try_new(to, &block.0.schema())?);
        }
        if let Some(writer) = &mut self.writer {
            writer.write(&block.0)?;
        }
        Ok(())
    }

    /// There is no further slice.
    pub fn finish(self) -> Result<(), BlockError> {
        if let Some(writer) = self.writer {
            writer.into_inner()?.flush().map_err(ArrowError::from)?;
        }
        Ok(())
    }
}

/// Rows that do not fit Arrow's columns, such as more than 2 GiB of text in one of them.
#[derive(Debug, thiserror::Error)]
#[error("columns: {0}")]
pub struct BlockError(#[from] ArrowError);
