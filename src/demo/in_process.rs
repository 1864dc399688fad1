//! A broker inside this process: librdkafka's mock cluster, which speaks the protocol over TCP.
//!
//! In: nothing. Out: a bootstrap address, for where there is no Java.
//!
//! # Invariants
//! - In memory: it ends with this process, and keeps [`KEPT_BYTES`] a partition; older records are
//!   gone, consumed or not.
//! - Its handle may be used from any thread: the cluster itself, a C pointer, stays on one.
//!
//! Deliberately unknown here: that there is another broker.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaErrorCode;

/// What librdkafka's mock broker keeps of a partition.
pub(super) const KEPT_BYTES: usize = 5 << 20;

/// A running mock cluster of one broker. Dropping it ends it.
#[derive(Debug)]
pub struct InProcessBroker {
    bootstrap: String,
    /// Absent only while dropping: the thread ends when this end of the channel does.
    requests: Option<mpsc::Sender<CreateTopic>>,
    thread: Option<JoinHandle<()>>,
}

struct CreateTopic {
    name: String,
    partitions: i32,
    reply: mpsc::Sender<KafkaResult<()>>,
}

impl InProcessBroker {
    /// Starts the cluster.
    pub fn start() -> anyhow::Result<Self> {
        let (requests, queue) = mpsc::channel::<CreateTopic>();
        let (started, address) = mpsc::channel();
        let thread = thread::Builder::new().name("in-process-broker".into()).spawn(move || {
            let cluster = match MockCluster::new(1) {
                Ok(cluster) => cluster,
                Err(error) => return drop(started.send(Err(error))),
            };
            // Both receivers wait for their answer, or are gone with the handle.
            let _ = started.send(Ok(cluster.bootstrap_servers()));
            for CreateTopic { name, partitions, reply } in queue {
                let _ = reply.send(cluster.create_topic(&name, partitions, 1));
            }
        })?;
        let bootstrap = address.recv()?.context("cannot start the in-process broker")?;
        Ok(Self { bootstrap, requests: Some(requests), thread: Some(thread) })
    }

    /// What clients are given as `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Creates topics, `(name, partitions)`; those that exist are left as they are. (The mock
    /// cluster does not know the protocol's own request for it.)
    pub fn create_topics(&self, topics: &[(&str, i32)]) -> anyhow::Result<()> {
        for &(name, partitions) in topics {
            let (reply, answer) = mpsc::channel();
            let request = CreateTopic { name: name.to_owned(), partitions, reply };
            let requests = self.requests.as_ref().context("the in-process broker has ended")?;
            requests.send(request).ok().context("the in-process broker has ended")?;
            match answer.recv()? {
                Ok(()) | Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot create the topic {name}"));
                }
            }
        }
        Ok(())
    }
}

impl Drop for InProcessBroker {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use super::*;

    #[test]
    fn a_topic_has_the_partitions_asked_for_and_creating_it_again_is_fine() {
        let broker = InProcessBroker::start().unwrap();
        broker.create_topics(&[("audit", 3)]).unwrap();
        broker.create_topics(&[("audit", 3), ("other", 1)]).unwrap();
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().unwrap();
        let metadata = client.fetch_metadata(Some("audit"), Duration::from_secs(10)).unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), 3);
    }
}
