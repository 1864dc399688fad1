//! Traces, as a collector gets them: the real binary, and an endpoint that reads what it sends.
//!
//! In: records with `traceparent`, requests with one. Out: spans, as OTLP has them.
//!
//! # Invariants
//! - A test waits for a condition with a deadline, never for a time.
//!
//! Deliberately unknown here: how spans are made.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod collector;
#[allow(dead_code, reason = "shared with the integration tests, which use all of it")]
#[path = "../it/harness.rs"]
mod harness;
mod program;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use trailhouse::gateway::Outgoing;
use trailhouse::warehouse::Warehouse;

use self::collector::{Collector, Sent, Stuck, ids, number, status, text};
use self::harness::{in_kafka, loaded, produce, unique, until, until_stored};
use self::program::Program;

/// How OTLP numbers a span that has failed.
const FAILED: i32 = StatusCode::Error as i32;

const BODY: &str = r#"{"id":"1","timestamp":"2026-01-01T00:00:00Z","status":{"name":"Done"}}"#;

/// A record of a producer that traces; its `traceparent` is this.
fn record(traceparent: &str) -> Outgoing {
    let headers = [("tenant", "acme"), ("traceparent", traceparent)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Outgoing { key: "one partition".to_owned(), headers, payload: BODY.into() }
}

fn sampled(trace: u32) -> String {
    format!("00-{trace:032x}-{:016x}-01", trace + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_links_to_its_producers_and_a_request_continues_its_callers_trace() {
    let collector = Collector::start().await;
    let topic = unique("traced");
    let mut loaded = loaded(&[(&topic, "cockpit")]).await;
    loaded.config.traces.endpoint = collector.endpoint.clone();
    loaded.config.traces.instance_id = "worker-1".to_owned();
    // More producers than a batch links to; none of the first five can be linked to.
    let unusable = ["", "00-0-0-01", "ff-x", "no trace", &sampled(7).replace("-01", "-00")];
    let headers = unusable.map(str::to_owned).into_iter().chain((100..140).map(sampled));
    let repeated = headers.chain([sampled(100)]);
    produce(&topic, repeated.map(|header| record(&header))).await;

    let mut program = Program::serve(&loaded.config);
    until_stored(&loaded).await;
    let path = "/v1/events?tenant=acme";
    let asked = program.get(path, Some(&sampled(9_000))).await;
    assert_eq!(asked, 200);
    assert_eq!(program.get("/v1/events/no-id", None).await, 400);
    assert_eq!(program.get("/livez", Some(&sampled(9_001))).await, 200);
    // What was not sent by then is sent at the end.
    assert_eq!(program.terminate(), Some(0), "{}", program.log());

    let sent = collector.taken();
    let resource = |name: &str| sent.iter().find_map(|one| text(&one.resource, name)).unwrap();
    assert_eq!(resource("service.name"), "trailhouse");
    assert_eq!(resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(resource("service.instance.id"), "worker-1");

    let named = |name: &str| sent.iter().filter(|one| one.span.name == name).collect::<Vec<_>>();
    let batches = named(&format!("batch {topic}"));
    let records =
        batches.iter().map(|one| number(&one.span.attributes, "messaging.batch.message_count"));
    assert_eq!(records.map(Option::unwrap).sum::<i64>(), in_kafka(&loaded).await as i64);
    let offsets = |one: &&Sent, name| number(&one.span.attributes, name).unwrap();
    let mut next = 0;
    for batch in &batches {
        let is = |name, value: &str| {
            assert_eq!(text(&batch.span.attributes, name).as_deref(), Some(value), "{name}");
        };
        is("messaging.system", "kafka");
        is("messaging.operation.type", "process");
        is("messaging.destination.name", &topic);
        is("trailhouse.batch.outcome", "clean");
        assert!(text(&batch.span.attributes, "messaging.destination.partition.id").is_some());
        assert_eq!(
            offsets(batch, "trailhouse.batch.first_offset"),
            next,
            "one partition, in order"
        );
        next = offsets(batch, "trailhouse.batch.last_offset") + 1;
        assert!(batch.span.links.len() <= 32, "{}", batch.span.links.len());
        let tries = named("INSERT events").into_iter();
        let of_it = tries.filter(|one| one.span.parent_span_id == batch.span.span_id);
        assert_eq!(of_it.count(), 1, "a clean batch is inserted once");
    }
    let rows = batches.iter().map(|one| offsets(one, "trailhouse.batch.event_rows")).sum::<i64>();
    assert_eq!(rows, 46, "all of them are events");
    // However the records came to fall into batches, the first producers are linked to, each once.
    let linked: Vec<String> = batches
        .iter()
        .flat_map(|one| one.span.links.iter().map(|link| ids(&link.trace_id)))
        .collect();
    for trace in 100..132 {
        assert!(linked.contains(&format!("{trace:032x}")), "{trace}: {linked:?}");
    }
    assert!(linked.iter().all(|trace| *trace >= format!("{:032x}", 100)), "{linked:?}");
    if batches.len() == 1 {
        assert_eq!(linked.len(), 32);
    }

    let asked = named("GET /v1/events");
    assert_eq!(asked.len(), 1);
    assert_eq!(ids(&asked[0].span.trace_id), format!("{:032x}", 9_000));
    assert_eq!(ids(&asked[0].span.parent_span_id), format!("{:016x}", 9_001));
    let attributes = &asked[0].span.attributes;
    assert_eq!(text(attributes, "http.route").as_deref(), Some("/v1/events"));
    assert_eq!(text(attributes, "url.path").as_deref(), Some("/v1/events"), "without the query");
    assert_eq!(number(attributes, "http.response.status_code"), Some(200));
    let refused = named("GET /v1/events/{id}");
    assert_eq!(number(&refused[0].span.attributes, "http.response.status_code"), Some(400));
    assert!(refused[0].span.parent_span_id.is_empty(), "a trace of its own");
    let probed = |one: &Sent| one.span.name.contains("livez");
    assert!(!sent.iter().any(probed), "probes are not traced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_neither_delivery_nor_the_end() {
    let stuck = Stuck::start();
    let topic = unique("stuck");
    let mut loaded = loaded(&[(&topic, "cockpit")]).await;
    loaded.config.traces.endpoint = stuck.endpoint.clone();
    loaded.config.traces.queue_spans = 1;
    loaded.config.traces.export_timeout_ms = 600_000;
    loaded.config.traces.flush_ms = 50;
    let mut program = Program::serve(&loaded.config);
    produce(&topic, (0..20).map(|at| record(&sampled(at)))).await;
    assert_eq!(until_stored(&loaded).await.records, 20);
    for _ in 0..20 {
        program.get("/v1/me", None).await;
    }
    until(async || program.log().contains("spans are lost: traces.queue_spans are waiting")).await;
    assert_eq!(program.terminate(), Some(0), "{}", program.log());
    assert!(program.log().contains("the last spans are lost"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_nothing_traces_only_what_a_caller_has_decided_to_trace() {
    let collector = Collector::start().await;
    let topic = unique("unsampled");
    let mut loaded = loaded(&[(&topic, "cockpit")]).await;
    loaded.config.traces.endpoint = collector.endpoint.clone();
    loaded.config.traces.sampled_ratio = 0.0;
    let mut program = Program::serve(&loaded.config);
    produce(&topic, [record(&sampled(1))]).await;
    until_stored(&loaded).await;
    program.get("/v1/me", None).await;
    program.get("/v1/me", Some(&sampled(2))).await;
    assert_eq!(program.terminate(), Some(0), "{}", program.log());
    let sent: Vec<String> = collector.taken().into_iter().map(|one| one.span.name).collect();
    assert_eq!(sent, ["GET /v1/me"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_that_fails_is_seen_while_its_batch_waits_and_one_that_is_given_up_says_so() {
    let collector = Collector::start().await;
    let topic = unique("given_up");
    let mut loaded = loaded(&[(&topic, "cockpit")]).await;
    loaded.config.traces.endpoint = collector.endpoint.clone();
    loaded.config.pipeline.drain_ms = 1_000;
    let mut program = Program::serve(&loaded.config);
    // A partition's start asks the table what is there.
    produce(&topic, [record(&sampled(1))]).await;
    until_stored(&loaded).await;
    let warehouse = Warehouse::connect(&loaded.config.clickhouse).unwrap();
    warehouse.run("RENAME TABLE events TO events_away").await.unwrap();
    produce(&topic, [record(&sampled(1))]).await;
    let failed = |one: &Sent| one.span.name == "INSERT events" && status(one) == FAILED;
    until(async || collector.taken().iter().any(failed)).await;
    let batches = |sent: &[Sent]| {
        let is_batch = |one: &&Sent| one.span.name == format!("batch {topic}");
        sent.iter().filter(is_batch).cloned().collect::<Vec<Sent>>()
    };
    assert_eq!(batches(&collector.taken()).len(), 1, "the second waits");
    assert_eq!(program.terminate(), Some(1), "not drained: {}", program.log());

    let sent = collector.taken();
    let [stored, given_up] = &batches(&sent)[..] else { panic!("two batches: {sent:?}") };
    let outcome = |batch: &Sent| text(&batch.span.attributes, "trailhouse.batch.outcome");
    assert_eq!((outcome(stored).as_deref(), status(stored)), (Some("clean"), 0));
    assert_eq!((outcome(given_up).as_deref(), status(given_up)), (Some("given_up"), FAILED));
    for one in sent.iter().filter(|one| failed(one)) {
        assert_eq!(one.span.parent_span_id, given_up.span.span_id);
        assert_eq!(text(&one.span.attributes, "error.type").as_deref(), Some("fatal"));
    }
}
