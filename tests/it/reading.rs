//! ClickHouse is held to the naive reader: whatever is asked, both give the same pages.
//!
//! In: events with colliding times, ids on both sides of every byte order, repeats in numbers, and
//! texts that would break out of careless SQL. Out: nothing, or the question they differ on.
//!
//! # Invariants
//! - Events of one place (time and id) are byte-identical, as derived ids make them.
//! - Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: how rows are usually inserted (these go in as JSON).

use std::net::Ipv6Addr;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use serde_json::value::RawValue;
use trailhouse::event::{
    Micros, Origin, Outcome, StoredActor, StoredChanges, StoredEvent, StoredPosition, StoredTarget,
    TimeSource, Verb,
};
use trailhouse::query::memory::MemoryReader;
use trailhouse::query::{
    Comparison, Direction, EventReader, Field, Filter, Order, Pattern, Query, ReadError, Selection,
    SortField, Start, TargetField, TenantScope, TextTest, TimeField, Window,
};
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};
use uuid::Uuid;

use crate::harness;

/// A tick before midnight of a month's end: events fall into two table partitions.
const MONTH_END: Micros = 1_706_745_600_000_000 - 20;
/// The ends of what the column holds, and what lies months away.
const FAR: [Micros; 5] =
    [-2_208_988_800_000_000, -1, 0, 4_102_444_800_000_000, 10_413_791_999_999_999];
/// Integers, and what only looks like one.
const SOURCE_IDS: [&str; 14] = [
    "",
    "s",
    "7",
    "10",
    "-0",
    "007",
    "+7",
    " 7",
    "7 ",
    "7.0",
    "-",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
];
const TENANTS: [&str; 4] = ["acme", "o'hara", "a\\", "?"];
const WORDS: [&str; 6] = ["", "create", "it's", "\\'; DROP TABLE events; --", "?", "ä\n\t\0"];

#[test]
fn clickhouse_means_by_a_query_what_the_naive_reader_means() {
    hold_pages_to_naive(&harness::clickhouse(), 200);
}

pub(crate) fn hold_pages_to_naive(warehouse: &Warehouse, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let events = sample(&mut runner);
    runtime.block_on(store(warehouse, &events));
    let naive = MemoryReader { events };

    runner
        .run(&query(), |query| {
            let (ours, naive) = runtime.block_on(async {
                (walk(warehouse, query.clone()).await, walk(&naive, query.clone()).await)
            });
            prop_assert_eq!(ours, naive);
            Ok(())
        })
        .unwrap();
}

#[test]
fn clickhouse_finds_by_id_what_the_naive_reader_finds() {
    hold_ids_to_naive(&harness::clickhouse(), 100);
}

pub(crate) fn hold_ids_to_naive(warehouse: &Warehouse, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let events = sample(&mut runner);
    runtime.block_on(store(warehouse, &events));
    let naive = MemoryReader { events };

    runner
        .run(&(scope(), id()), |(tenants, id)| {
            let (ours, naive) = runtime.block_on(async {
                (warehouse.get(&tenants, id).await, naive.get(&tenants, id).await)
            });
            prop_assert_eq!(text(ours.unwrap().as_ref()), text(naive.unwrap().as_ref()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_page_may_be_longer_than_one_statement_can_name() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let warehouse = harness::clickhouse();
    let mut runner = TestRunner::new(Config::default());
    let one = sample(&mut runner).swap_remove(0);
    let events: Vec<StoredEvent> = (0..5_000)
        .map(|number| StoredEvent { id: Uuid::from_u128(number), repeats: 1, ..one.clone() })
        .collect();
    runtime.block_on(store(&warehouse, &events));
    // Two of one event, so that each statement names its keys twice.
    runtime.block_on(store(&warehouse, &events[..1]));
    let everything = Selection::new(TenantScope::All, Window { from: i64::MIN, to: i64::MAX });
    let page = runtime.block_on(warehouse.page(&Query::new(everything, 5_001))).unwrap();
    assert_eq!((page.events.len(), page.next), (5_000, None));
}

#[test]
fn migrating_twice_and_by_two_workers_at_once_changes_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let warehouse = harness::clickhouse();
    runtime.block_on(async {
        for table in ["events", "quarantine", "batches", "schema_migrations"] {
            warehouse.run(&format!("DROP TABLE {table}")).await.unwrap();
        }
        assert!(matches!(warehouse.ready().await, Err(ReadError::Unavailable(_))));
        let planned = migrate::up(&warehouse, true).await.unwrap();
        assert_eq!(planned.len(), migrate::ALL.len());
        assert!(warehouse.ready().await.is_err(), "a dry run changes nothing");

        let (one, other) =
            tokio::join!(migrate::up(&warehouse, false), migrate::up(&warehouse, false));
        one.unwrap();
        other.unwrap();
        warehouse.ready().await.unwrap();
        assert!(migrate::up(&warehouse, false).await.unwrap().is_empty());
        let states = migrate::status(&warehouse).await.unwrap();
        assert_eq!(states.len(), migrate::ALL.len());
        assert!(states.iter().all(|state| state.standing == migrate::Standing::Applied));
    });
}

#[test]
fn an_edited_migration_is_refused_by_name() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let warehouse = harness::clickhouse();
    runtime.block_on(async {
        let forged = "INSERT INTO schema_migrations (version, name, checksum) \
                      VALUES (2, 'quarantine', 'edited'), (9999, 'newer', 'x')";
        warehouse.run(forged).await.unwrap();
        let error = migrate::up(&warehouse, false).await.unwrap_err().to_string();
        assert!(error.contains("0002_quarantine.sql"), "{error}");
        let newest = migrate::status(&warehouse).await.unwrap().pop().unwrap();
        assert_eq!((newest.version, newest.standing), (9999, migrate::Standing::Unknown));
    });
}

#[test]
fn a_clickhouse_that_is_not_there_is_unavailable() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Port 1 refuses.
    let config = ClickHouseConfig { url: "http://127.0.0.1:1".into(), ..Default::default() };
    let warehouse = Warehouse::connect(&config).unwrap();
    let everything = Selection::new(TenantScope::All, Window { from: 0, to: 1 });
    let query = Query::new(everything, 1);
    runtime.block_on(async {
        assert!(matches!(warehouse.ready().await, Err(ReadError::Unavailable(_))));
        assert!(matches!(warehouse.page(&query).await, Err(ReadError::Unavailable(_))));
    });
}

/// The pages of an answer, as text; the first dozen, lest limits of one take minutes.
async fn walk(reader: &dyn EventReader, mut query: Query) -> Vec<Vec<Option<String>>> {
    let mut pages = Vec::new();
    loop {
        let page = reader.page(&query).await.unwrap();
        pages.push(page.events.iter().map(|event| text(Some(event))).collect());
        let Some(next) = page.next.filter(|_| pages.len() < 12) else { return pages };
        query.start = Start::After(next);
    }
}

fn text(event: Option<&StoredEvent>) -> Option<String> {
    event.map(|event| serde_json::to_string(event).unwrap())
}

pub(crate) fn sample(runner: &mut TestRunner) -> Vec<StoredEvent> {
    let many = prop::collection::vec((event(), repeats()), 300);
    let distinct = many.new_tree(runner).unwrap().current();
    let mut events: Vec<StoredEvent> = Vec::new();
    for (event, repeats) in distinct {
        let times = |event: &StoredEvent| [event.occurred_at, event.received_at];
        let same =
            |other: &StoredEvent| times(other).iter().zip(times(&event)).any(|(a, b)| *a == b);
        if events.iter().any(|other| other.id == event.id && same(other)) {
            continue;
        }
        events.extend(std::iter::repeat_n(event, repeats));
    }
    let count = events.len();
    for (number, event) in events.iter_mut().enumerate() {
        // Offsets run against the order of insertion, so that a repeat's first is not first here.
        event.kafka.offset = (count - number) as i64;
    }
    events
}

fn repeats() -> impl Strategy<Value = usize> {
    prop_oneof![20 => Just(1), 5 => 2..5_usize, 1 => 30..200_usize]
}

fn id() -> impl Strategy<Value = Uuid> {
    let half = || select(vec![0, 1, 2, 255, 256, 1 << 63, u64::MAX]);
    (half(), half()).prop_map(|(first, second)| Uuid::from_u64_pair(first, second))
}

fn word() -> impl Strategy<Value = String> {
    select(WORDS.to_vec()).prop_map(str::to_owned)
}

fn target() -> impl Strategy<Value = StoredTarget> {
    (word(), word()).prop_map(|(id, kind)| StoredTarget { id, kind, name: "n".into() })
}

fn ip() -> impl Strategy<Value = Option<Ipv6Addr>> {
    select(vec![None, Some("::1".parse().unwrap()), Some("::ffff:1.2.3.4".parse().unwrap())])
}

pub(crate) fn event() -> impl Strategy<Value = StoredEvent> {
    let near = (0..40_i64).prop_map(|tick| MONTH_END + tick);
    let at = prop_oneof![9 => near, 1 => select(FAR.to_vec())];
    let what = (id(), at, select(TENANTS.to_vec()), word(), word());
    let how = (select(Verb::ALL.to_vec()), select(Outcome::ALL.to_vec()), ip());
    let source = (select(SOURCE_IDS.to_vec()), 0..5_i64);
    (what, how, source, target(), prop::collection::vec(target(), 0..3)).prop_map(
        |(what, (verb, outcome, client_ip), (source, received), target, targets)| {
            let (id, occurred_at, tenant, actor, action) = what;
            StoredEvent {
                id,
                source_id: source.into(),
                tenant: tenant.into(),
                schema: "shop".into(),
                mapping_version: 3,
                occurred_at,
                received_at: MONTH_END + 1_000_000 + received,
                time_source: TimeSource::Event,
                service: "shop".into(),
                action: action.clone(),
                verb,
                outcome,
                reason: String::new(),
                actor: StoredActor { id: actor, ..StoredActor::default() },
                target,
                targets,
                origin: Origin::Api,
                client_ip,
                user_agent: String::new(),
                country: String::new(),
                region: String::new(),
                session_id: String::new(),
                request_id: String::new(),
                correlation_id: String::new(),
                message: action.clone(),
                changes: StoredChanges {
                    old: RawValue::from_string("null".into()).ok(),
                    new: None,
                },
                attributes: [("a.b".to_owned(), action.clone())].into(),
                written_by: String::new(),
                headers: [("tenant".to_owned(), tenant.to_owned())].into(),
                kafka: StoredPosition {
                    cluster: "c".into(),
                    topic: "audit".into(),
                    incarnation: "i".into(),
                    partition: 1,
                    offset: 0,
                    index: 0,
                },
                repeats: 1,
                raw: Some(format!("{{\"action\":{}}}", json!(action))),
            }
        },
    )
}

pub(crate) fn scope() -> impl Strategy<Value = TenantScope> {
    let some = prop::sample::subsequence(TENANTS.to_vec(), 0..=TENANTS.len());
    let only = some.prop_map(|some| TenantScope::Only(some.into_iter().map(Into::into).collect()));
    prop_oneof![1 => Just(TenantScope::All), 3 => only]
}

pub(crate) fn window() -> impl Strategy<Value = Window> {
    let near = (0..40_i64, 0..41_i64)
        .prop_map(|(from, to)| Window { from: MONTH_END + from, to: MONTH_END + to });
    let wide = select(vec![(i64::MIN, i64::MAX), (0, i64::MAX), (i64::MIN, MONTH_END + 20)])
        .prop_map(|(from, to)| Window { from, to });
    prop_oneof![near, wide]
}

pub(crate) fn field() -> impl Strategy<Value = Field> {
    let named = select(Field::NAMED.map(|(_, field)| field).to_vec());
    let attribute = select(vec!["a.b", "o'hara?", ""]);
    prop_oneof![5 => named, 1 => attribute.prop_map(|name| Field::Attribute(name.into()))]
}

/// Texts whose pieces make patterns and parts that sometimes fit.
fn piece() -> impl Strategy<Value = String> {
    select(vec!["", "c", "create", "E", "it", "'", "\\", "%", "_", "?", "ä", "Ä", "\n", "s"])
        .prop_map(str::to_owned)
}

fn comparison() -> impl Strategy<Value = Comparison> {
    select(Comparison::ALL.to_vec())
}

fn text_test() -> impl Strategy<Value = TextTest> {
    prop_oneof![
        3 => word().prop_map(TextTest::Is),
        1 => piece().prop_map(TextTest::Contains),
        2 => prop::collection::vec(piece(), 2..4).prop_map(|parts| TextTest::Like(Pattern(parts))),
        2 => prop::collection::vec(piece(), 1..4).prop_map(|parts| TextTest::Alike(Pattern(parts))),
        1 => Just(TextTest::Exists),
        1 => (comparison(), word()).prop_map(|(comparison, text)| {
            TextTest::Compares(comparison, text)
        }),
    ]
}

fn time_field() -> impl Strategy<Value = TimeField> {
    select(vec![TimeField::OccurredAt, TimeField::ReceivedAt])
}

fn moment() -> impl Strategy<Value = Micros> {
    let near = prop_oneof![0..45_i64, 1_000_000..1_000_010_i64].prop_map(|tick| MONTH_END + tick);
    let beyond = [i64::MIN, FAR[0] - 1, FAR[4] + 1, i64::MAX];
    prop_oneof![4 => near, 1 => select([FAR.as_slice(), &beyond].concat())]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![3 => -1..12_i64, 1 => select(vec![i64::MIN, i64::MAX])]
}

fn leaf() -> impl Strategy<Value = Filter> {
    let network = select(vec!["::/0", "::1/128", "::ffff:1.2.3.0/120", "::/64", "2001:db8::1/128"]);
    let target_field = select(vec![TargetField::Id, TargetField::Name]);
    let text = select(vec!["action", "ACTION create", "it's", "?", "nothing", "ä", "drop table"]);
    prop_oneof![
        6 => (field(), text_test()).prop_map(|(field, test)| Filter::Text(field, test)),
        2 => (word(), target_field, text_test())
            .prop_map(|(kind, field, test)| Filter::TargetOf { kind, field, test }),
        1 => select(Verb::ALL.to_vec()).prop_map(Filter::Verb),
        1 => select(Outcome::ALL.to_vec()).prop_map(Filter::Outcome),
        1 => select(Origin::ALL.to_vec()).prop_map(Filter::Origin),
        1 => id().prop_map(Filter::Id),
        1 => (comparison(), number()).prop_map(|(c, number)| Filter::SourceNumber(c, number)),
        1 => network.prop_map(|network| Filter::ClientIp(network.parse().unwrap())),
        1 => Just(Filter::HasClientIp),
        1 => (time_field(), comparison(), moment())
            .prop_map(|(field, comparison, at)| Filter::Time(field, comparison, at)),
        1 => text.prop_map(|text| Filter::Anywhere(text.into())),
        1 => Just(Filter::Settled),
    ]
}

pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        let some = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            some().prop_map(Filter::All),
            some().prop_map(Filter::Any),
            inner.clone().prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

/// Fields that byte-identical repeats share.
fn sort_field() -> impl Strategy<Value = SortField> {
    let fields = vec![Field::ActorId, Field::Action, Field::TargetId, Field::SourceId];
    prop_oneof![
        select(fields).prop_map(SortField::Text),
        Just(SortField::Time(TimeField::OccurredAt)),
        Just(SortField::SourceNumber),
        Just(SortField::Outcome),
    ]
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![Direction::Ascending, Direction::Descending])
}

fn order() -> impl Strategy<Value = Order> {
    let fields = prop::collection::vec((sort_field(), direction()), 0..3);
    prop_oneof![
        1 => Just(Order::default()),
        2 => (time_field(), direction()).prop_map(|(by, direction)| Order::Time(by, direction)),
        1 => fields.prop_map(Order::Fields),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let limit = select(vec![1_u32, 2, 7, 50, 1000]);
    let start = prop_oneof![3 => Just(Start::First), 1 => (0..400_u64).prop_map(Start::Offset)];
    let filter = prop_oneof![1 => Just(Filter::everything()), 4 => filter()];
    let selection = (scope(), window(), filter).prop_map(|(tenants, window, filter)| Selection {
        tenants,
        window,
        filter,
    });
    (selection, order(), start, limit, any::<bool>()).prop_map(
        |(selection, order, start, limit, raw)| Query { selection, order, start, limit, raw },
    )
}

/// Insert in several parts, so that answers have to be merged; of a cluster into its shards in turn, so
/// that repeats of one event stand on several.
pub(crate) async fn store(warehouse: &Warehouse, events: &[StoredEvent]) {
    let shards = warehouse.shards().iter().cycle();
    for (part, shard) in events.chunks(events.len().div_ceil(3)).zip(shards) {
        let rows: Vec<String> = part.iter().map(|event| row(event).to_string()).collect();
        let insert = format!("INSERT INTO events FORMAT JSONEachRow\n{}", rows.join("\n"));
        shard.run(&insert).await.unwrap();
    }
}

fn row(event: &StoredEvent) -> serde_json::Value {
    let time = |micros: Micros| {
        let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
        time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
    };
    let target =
        |target: &StoredTarget| json!({"id": target.id, "type": target.kind, "name": target.name});
    json!({
        "id": event.id,
        "source_id": event.source_id,
        "tenant": event.tenant,
        "schema": event.schema,
        "mapping_version": event.mapping_version,
        "occurred_at": time(event.occurred_at),
        "received_at": time(event.received_at),
        "time_source": event.time_source.as_str(),
        "service": event.service,
        "action": event.action,
        "verb": event.verb.as_str(),
        "outcome": event.outcome.as_str(),
        "actor_id": event.actor.id,
        "target_id": event.target.id,
        "target_type": event.target.kind,
        "target_name": event.target.name,
        "targets": event.targets.iter().map(target).collect::<Vec<_>>(),
        "origin": event.origin.as_str(),
        "client_ip": event.client_ip.unwrap_or(Ipv6Addr::UNSPECIFIED),
        "message": event.message,
        "changes_old": event.changes.old.as_ref().map_or("", |json| json.get()),
        "attributes": event.attributes,
        "headers": event.headers,
        "kafka_cluster": event.kafka.cluster,
        "kafka_topic": event.kafka.topic,
        "kafka_incarnation": event.kafka.incarnation,
        "kafka_partition": event.kafka.partition,
        "kafka_offset": event.kafka.offset,
        "kafka_index": event.kafka.index,
        "raw": event.raw,
    })
}
