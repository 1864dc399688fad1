//! A partition's queue of its own, and what comes out of it.
//!
//! In: an assigned partition. Out: its records and its end, handed to the [`Intake`].
//!
//! # Invariants
//! - The queue is split off before the partition is assigned, so that it gets every record.
//! - A partition the intake does not want is not polled.
//!
//! Deliberately unknown here: commits, who decides what is assigned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode;

use super::super::{Intake, SourceError, Waker, native};
use super::client::Context;
use crate::event::{Headers, PartitionId, RawRecord};

/// Records taken from one partition before the next has its turn.
const TURN: usize = 2_000;
/// How long a topic's id is believed.
const ID_AGE: Duration = Duration::from_secs(5);

/// An assigned partition.
pub struct Lane {
    /// Which.
    pub partition: PartitionId,
    /// Its topic's id, when it was assigned.
    pub incarnation: Arc<str>,
    /// When the topic still had that id.
    pub id_seen: Instant,
    /// Whether the intake was told of it.
    pub is_told: bool,
    /// Where reading was last told to begin; `None` once that is to be told anew.
    pub reads_from: Option<i64>,
    /// Why it cannot be read on.
    pub broken: Option<String>,
    queue: PartitionQueue<Context>,
}

impl Lane {
    /// Split off the queue of a partition that is about to be assigned.
    pub fn split(
        consumer: &Arc<BaseConsumer<Context>>,
        partition: &PartitionId,
        waker: &Arc<Waker>,
    ) -> Result<Lane, SourceError> {
        let split = consumer.split_partition_queue(&partition.topic, partition.partition);
        let mut queue = split
            .ok_or_else(|| SourceError::Fatal(format!("{partition}: librdkafka has no queue")))?;
        let ring = Arc::clone(waker);
        queue.set_nonempty_callback(move || ring.ring());
        Ok(Lane {
            partition: partition.clone(),
            incarnation: "".into(),
            id_seen: Instant::now(),
            is_told: false,
            reads_from: None,
            broken: None,
            queue,
        })
    }

    /// Whether its topic's id was last seen too long ago to be believed.
    pub fn id_is_old(&self, now: Instant) -> bool {
        now.duration_since(self.id_seen) >= ID_AGE
    }

    /// Whether a record is this partition's.
    pub fn holds(&self, message: &BorrowedMessage<'_>) -> bool {
        self.partition.partition == message.partition() && *self.partition.topic == *message.topic()
    }

    /// Hand over what there is and is wanted; whether that was anything.
    pub fn drain(
        &mut self,
        consumer: &BaseConsumer<Context>,
        headers: &mut Vec<u8>,
        intake: &mut dyn Intake,
    ) -> bool {
        let mut any = false;
        if let Some(why) = &self.broken {
            intake.broken(&self.partition, why);
            return any;
        }
        for _ in 0..TURN {
            if !intake.wants(&self.partition) {
                break;
            }
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    any = true;
                    hand_over(&self.partition, &message, headers, intake);
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    // Told wherever the answering replica ends, which may lag behind the leader.
                    let end = native::fetched_end(consumer, &self.partition.topic, number);
                    if let Some(end) = end {
                        intake.reached_end(&self.partition, end);
                    }
                }
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    let why = "its next offset is outside its log: records were deleted before \
                               they were read, or the log was cut";
                    self.broken = Some(why.to_owned());
                    break;
                }
                Some(Err(error)) => {
                    tracing::warn!(partition = %self.partition, %error, "kafka");
                    break;
                }
            }
        }
        any
    }
}

/// Hand over one record.
pub fn hand_over(
    partition: &PartitionId,
    message: &BorrowedMessage<'_>,
    headers: &mut Vec<u8>,
    intake: &mut dyn Intake,
) {
    headers.clear();
    for header in message.headers().into_iter().flat_map(|found| found.iter()) {
        Headers::pack(headers, header.key, header.value.unwrap_or_default());
    }
    let record = RawRecord {
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().map(|millis| millis.saturating_mul(1_000)),
        key: message.key(),
        headers: Headers::packed(headers),
        payload: message.payload().unwrap_or_default(),
    };
    intake.take(partition, &record);
}
