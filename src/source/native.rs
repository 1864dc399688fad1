//! The librdkafka calls the safe wrapper lacks: DescribeTopics, for the ids of topics and for what we
//! may do there, and a commit whose answer is told.
//!
//! In: a client; topic names, offsets. Out: each topic's id as Kafka prints it (URL-safe base64), or
//! whether it is ours to write; an answer to the commit in the consumer's own queue.
//!
//! # Invariants
//! - Every object made here is destroyed here, on every way out.
//!
//! Deliberately unknown here: what an id is for (it changes when a topic is recreated), and what is
//! committed.

#![allow(unsafe_code, reason = "calls into librdkafka; each call says why it is sound")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;

/// What DescribeTopics said of each topic.
pub type TopicIds = HashMap<String, Result<String, String>>;

/// Commit without waiting; the answer comes to the context's `commit_callback`, by a poll of the
/// consumer. The wrapper's own asynchronous commit asks for no answer: librdkafka sends one only
/// where it is given a queue or a C callback for it.
pub fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    let client = consumer.client().native_ptr();
    // SAFETY: `client` lives as long as the borrowed consumer that owns it; the list is copied by
    // the call; the queue is a reference of our own, given back below.
    let code = unsafe {
        let queue = rd::rd_kafka_queue_get_consumer(client);
        let code = rd::rd_kafka_commit_queue(client, list.ptr(), queue, None, std::ptr::null_mut());
        rd::rd_kafka_queue_destroy(queue);
        code
    };
    if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        Ok(())
    } else {
        Err(KafkaError::ConsumerCommit(code.into()))
    }
}

/// The end of a partition's log as the broker that was last fetched from knows it.
pub fn fetched_end<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (0, 0);
    // SAFETY: the client lives as long as the borrowed consumer; the name and the two numbers
    // outlive the call, which keeps none of them.
    let code = unsafe {
        let client = consumer.client().native_ptr();
        rd::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &mut low, &mut high)
    };
    (code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Each topic's id, empty where the broker has none; or why it is not known.
pub fn topic_ids<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    timeout: Duration,
) -> Result<TopicIds, String> {
    describe(consumer, topics, timeout, Ask { operations: false, read: id_of })
}

/// Whether a topic is ours to write, by the brokers' word; `None` where they do not tell rights.
pub fn may_write<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<bool>, String> {
    let ask = Ask { operations: true, read: writes_of };
    let told = describe(consumer, &[topic], timeout, ask)?.remove(topic);
    told.unwrap_or_else(|| Err("it was not told".to_owned()))
}

/// What is asked of topics.
struct Ask<T> {
    /// Whether brokers are to look up what we may do.
    operations: bool,
    /// Takes the answer from the description of a topic, which is live and without an error.
    read: unsafe fn(*const rd::rd_kafka_TopicDescription_t) -> T,
}

fn describe<C: ConsumerContext, T>(
    consumer: &BaseConsumer<C>,
    topics: &[&str],
    timeout: Duration,
    ask: Ask<T>,
) -> Result<HashMap<String, Result<T, String>>, String> {
    let client = consumer.client().native_ptr();
    let names: Vec<CString> = topics
        .iter()
        .map(|name| CString::new(*name))
        .collect::<Result<_, _>>()
        .map_err(|_| "a topic's name holds a zero byte".to_owned())?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `client` lives as long as the borrowed consumer that owns it; `pointers` and the strings they point to
    // outlive the call, which copies them; every object is destroyed below, and the event is read
    // only before that.
    unsafe {
        let queue = rd::rd_kafka_queue_new(client);
        let collection =
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = rd::rd_kafka_AdminOptions_new(client, operation);
        let millis = timeout.as_millis() as i32;
        rd::rd_kafka_AdminOptions_set_request_timeout(options, millis, std::ptr::null_mut(), 0);
        if ask.operations {
            // Destroying no error does nothing; this option is one of this request.
            let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
            rd::rd_kafka_error_destroy(refused);
        }
        rd::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, millis);
        let told = if event.is_null() {
            Err(format!("no answer to DescribeTopics within {millis} ms"))
        } else {
            read(event, ask.read)
        };
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(collection);
        rd::rd_kafka_queue_destroy(queue);
        told
    }
}

/// # Safety
/// `event` must be a live result of DescribeTopics.
unsafe fn read<T>(
    event: *mut rd::rd_kafka_event_t,
    read: unsafe fn(*const rd::rd_kafka_TopicDescription_t) -> T,
) -> Result<HashMap<String, Result<T, String>>, String> {
    let mut found = HashMap::new();
    // SAFETY: the result, its descriptions and their strings belong to the event, which is live.
    unsafe {
        if rd::rd_kafka_event_error(event) as i32 != 0 {
            return Err(text(rd::rd_kafka_event_error_string(event)));
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let error = rd::rd_kafka_TopicDescription_error(topic);
            let told = match rd::rd_kafka_error_code(error) as i32 {
                0 => Ok(read(topic)),
                _ => Err(text(rd::rd_kafka_error_string(error))),
            };
            found.insert(text(rd::rd_kafka_TopicDescription_name(topic)), told);
        }
    }
    Ok(found)
}

/// # Safety
/// `topic` must be a live description without an error.
unsafe fn id_of(topic: *const rd::rd_kafka_TopicDescription_t) -> String {
    // SAFETY: the id and its string belong to the description, which is live.
    let id = unsafe {
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() { String::new() } else { text(rd::rd_kafka_Uuid_base64str(id)) }
    };
    // librdkafka prints the usual alphabet, Kafka the URL-safe one.
    let id = id.replace('+', "-").replace('/', "_");
    // The nil id: a broker from before Kafka 2.8.
    if id.bytes().all(|byte| byte == b'A') { String::new() } else { id }
}

/// # Safety
/// `topic` must be a live description without an error.
unsafe fn writes_of(topic: *const rd::rd_kafka_TopicDescription_t) -> Option<bool> {
    let write = rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE as i32;
    let mut count = 0;
    // SAFETY: the list has `count` entries and belongs to the description, which is live. They are
    // read as numbers: a broker may name an operation that the binding does not know.
    unsafe {
        let list = rd::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        let list = list.cast::<i32>();
        (!list.is_null()).then(|| (0..count).any(|at| *list.add(at) == write))
    }
}

/// # Safety
/// `pointer` must be null or a live C string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a live C string by the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
