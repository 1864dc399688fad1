//! What a question costs: the native API, the reader behind it, and bare SQL, in turn in one run.
//!
//! In: how many rows and runs. Out: p50 and p95 in milliseconds, question by question.
//!
//! ```sh
//! cargo bench --bench question -- --rows 10000000 --runs 200
//! ```
//!
//! # Invariants
//! - Fifty tenants over ninety days; every run asks about another one of ten of them, with another
//!   value, and of all its rows.
//! - One run asks all three ways, one after the other, so that what disturbs one disturbs all.
//! - Bare SQL is what an analyst would write, to the same rows, over the same HTTP interface.
//!
//! Deliberately unknown here: how long anything should take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "shared/rows.rs"]
mod rows;

use std::future::poll_fn;
use std::path::Path;
use std::time::Instant;

use clap::Parser;
use tokio::runtime::Runtime;
use trailhouse::app::{Role, Service};
use trailhouse::config::{Config, Loaded};
use trailhouse::demo::{ClickHouseServer, USER};
use trailhouse::query::{
    EventReader, ExportFormat, Facet, Field, Filter, Interval, Query, Selection, Start,
    TenantScope, TextTest, Window,
};
use trailhouse::warehouse::{Warehouse, migrate};

use self::rows::{TENANTS, insert_rows};

const FROM: i64 = 1_780_000_000_000_000;
const DAYS: i64 = 90;
const TO: i64 = FROM + DAYS * 86_400_000_000;

/// What a question costs.
#[derive(Parser)]
struct Options {
    /// Rows in the table.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Runs of each question.
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One question, put in three ways.
struct Case {
    name: &'static str,
    /// The part of the path behind the tenant and the window.
    path: &'static str,
    /// The SQL behind `WHERE` tenant and window.
    sql: &'static str,
    /// What is asked for of the reader.
    ask: Ask,
}

enum Ask {
    Page(fn(&str) -> Filter),
    Page20,
    Count,
    Facets(Field),
    Histogram,
    Export,
}

const COLUMNS: &str = "SELECT * EXCEPT (raw) FROM events WHERE";
const LATEST: &str = "ORDER BY occurred_at DESC, id DESC LIMIT 50";

fn cases() -> Vec<Case> {
    let case = |name, path, sql, ask| Case { name, path, sql, ask };
    vec![
        case("first page", "/v1/events?", "", Ask::Page(|_| Filter::everything())),
        case("page 20", "/v1/events?cursor=$c&", "AND (occurred_at, id) < ($p)", Ask::Page20),
        case(
            "actor",
            "/v1/events?actor.id=user-$n&",
            "AND actor_id = 'user-$n'",
            Ask::Page(|n| Filter::Text(Field::ActorId, TextTest::Is(format!("user-{n}")))),
        ),
        case(
            "action",
            "/v1/events?action=order.create&",
            "AND action = 'order.create'",
            Ask::Page(|_| Filter::Text(Field::Action, TextTest::Is("order.create".into()))),
        ),
        case(
            "target",
            "/v1/events?target.id=order-$n&",
            "AND target_id = 'order-$n'",
            Ask::Page(|n| Filter::Text(Field::TargetId, TextTest::Is(format!("order-{n}")))),
        ),
        case(
            "text, a dozen rows",
            "/v1/events?q=w3846&",
            "AND hasToken(lower(raw), 'w3846')",
            Ask::Page(|_| Filter::Anywhere("w3846".into())),
        ),
        case(
            "text, no row",
            "/v1/events?q=nowhere$n&",
            "AND hasToken(lower(raw), 'nowhere$n')",
            Ask::Page(|n| Filter::Anywhere(format!("nowhere{n}"))),
        ),
        case("count", "/v1/events/count?", "", Ask::Count),
        case(
            "facets of action",
            "/v1/events/facets?field=action&",
            "action",
            Ask::Facets(Field::Action),
        ),
        case(
            "facets of actor.id",
            "/v1/events/facets?field=actor.id&",
            "actor_id",
            Ask::Facets(Field::ActorId),
        ),
        case("histogram by hour", "/v1/events/histogram?interval=1h&", "", Ask::Histogram),
        case("export of 100,000", "/v1/events/export?format=ndjson&limit=100000&", "", Ask::Export),
    ]
}

struct Bench {
    runtime: Runtime,
    warehouse: Warehouse,
    service: Service,
    agent: ureq::Agent,
    clickhouse: String,
    database: String,
}

fn main() {
    let options = Options::parse();
    let exe = Path::new(env!("CARGO_BIN_EXE_trailhouse"));
    let dir = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouseServer::start(dir.path(), exe).unwrap();
    let runtime = Runtime::new().unwrap();
    let Loaded { mut config, catalog } = Config::load(None).unwrap();
    config.clickhouse.url = clickhouse.url();
    config.clickhouse.user = USER.to_owned();
    config.api.listen = "127.0.0.1:0".to_owned();
    let database = config.clickhouse.database.clone();
    let warehouse = Warehouse::connect(&config.clickhouse).unwrap();
    let loaded = Loaded { config, catalog };
    let service = runtime.block_on(async {
        migrate::up(&warehouse, false).await.unwrap();
        warehouse.run(&insert_rows(options.rows, FROM, TO)).await.unwrap();
        Service::start(&loaded, Role::Api).await.unwrap()
    });
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let bench =
        Bench { runtime, warehouse, service, agent, clickhouse: clickhouse.url(), database };
    println!(
        "{} rows, {TENANTS} tenants, {DAYS} days, {} runs: p50 / p95 in ms",
        options.rows, options.runs
    );
    println!("| question | API | reader | bare SQL |");
    println!("| --- | --- | --- | --- |");
    for case in cases() {
        let runs =
            if matches!(case.ask, Ask::Export) { options.runs.div_ceil(4) } else { options.runs };
        bench.case(&case, runs);
    }
}

impl Bench {
    fn case(&self, case: &Case, runs: usize) {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for run in 0..runs + 3 {
            let tenant = format!("tenant-{:02}", run as u64 % 10 * 5);
            let number = (run * 37 % 1000).to_string();
            let (start, cursor) = match case.ask {
                Ask::Page20 => self.page20(&tenant),
                _ => (Start::First, String::new()),
            };
            let took = [
                self.api(case, &tenant, &number, &cursor),
                self.reader(case, &tenant, &number, start),
                self.sql(case, &tenant, &number, start),
            ];
            // The first few warm caches and connections.
            for (times, took) in times.iter_mut().zip(took).filter(|_| run >= 3) {
                times.push(took);
            }
        }
        let [api, reader, sql] = times.map(quantiles);
        println!("| {} | {api} | {reader} | {sql} |", case.name);
    }

    /// Milliseconds through the API.
    fn api(&self, case: &Case, tenant: &str, number: &str, cursor: &str) -> f64 {
        let path = case.path.replace("$n", number).replace("$c", cursor);
        let window = match cursor {
            "" => "&from=2026-05-28T20:26:40Z&to=2026-08-26T20:26:40Z",
            _ => "",
        };
        let url = format!("http://{}{path}tenant={tenant}{window}", self.service.address);
        let begun = Instant::now();
        let mut answer = self.agent.get(&url).call().unwrap();
        let bytes = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        let took = begun.elapsed().as_secs_f64() * 1e3;
        assert_eq!(answer.status(), 200, "{url}: {}", String::from_utf8_lossy(&bytes));
        took
    }

    fn reader(&self, case: &Case, tenant: &str, number: &str, start: Start) -> f64 {
        let mut selection = all_of(tenant);
        let reader = &self.warehouse;
        let begun = Instant::now();
        self.runtime.block_on(async {
            match &case.ask {
                Ask::Page(filter) => {
                    selection.filter = filter(number);
                    drop(reader.page(&Query::new(selection, 50)).await.unwrap());
                }
                Ask::Page20 => {
                    let query = Query { start, ..Query::new(selection, 50) };
                    assert_eq!(reader.page(&query).await.unwrap().events.len(), 50);
                }
                Ask::Count => drop(reader.count(&selection).await.unwrap()),
                Ask::Facets(field) => {
                    let facet = Facet::Text(field.clone());
                    drop(reader.facets(&selection, &facet, 10).await.unwrap());
                }
                Ask::Histogram => {
                    drop(reader.histogram(&selection, Interval::OneHour).await.unwrap());
                }
                Ask::Export => {
                    let limit = Some(100_000);
                    let mut chunks =
                        reader.export(&selection, ExportFormat::Ndjson, limit).await.unwrap();
                    while let Some(chunk) = poll_fn(|cx| chunks.as_mut().poll_next(cx)).await {
                        chunk.unwrap();
                    }
                }
            }
        });
        begun.elapsed().as_secs_f64() * 1e3
    }

    fn sql(&self, case: &Case, tenant: &str, number: &str, start: Start) -> f64 {
        let place = match start {
            Start::After(place) => {
                format!("fromUnixTimestamp64Micro({}), toUUID('{}')", place.at, place.id)
            }
            _ => String::new(),
        };
        let window = format!(
            "tenant = '{tenant}' AND occurred_at >= fromUnixTimestamp64Micro({FROM}) \
             AND occurred_at < fromUnixTimestamp64Micro({TO})"
        );
        let extra = case.sql.replace("$n", number).replace("$p", &place);
        let statement = match &case.ask {
            Ask::Page(_) | Ask::Page20 => {
                format!("{COLUMNS} {window} {extra} {LATEST} FORMAT RowBinary")
            }
            Ask::Count => format!("SELECT count() FROM events WHERE {window}"),
            Ask::Facets(_) => format!(
                "SELECT {extra}, count() AS n FROM events WHERE {window} GROUP BY {extra} \
                 ORDER BY n DESC LIMIT 10"
            ),
            Ask::Histogram => format!(
                "SELECT toStartOfHour(occurred_at) AS hour, count() FROM events WHERE {window} \
                 GROUP BY hour ORDER BY hour"
            ),
            Ask::Export => format!(
                "{COLUMNS} {window} ORDER BY occurred_at DESC LIMIT 100000 FORMAT JSONEachRow"
            ),
        };
        let url = format!("{}/?user={USER}&database={}", self.clickhouse, self.database);
        let begun = Instant::now();
        let mut answer = self.agent.post(&url).send(&statement).unwrap();
        let bytes = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        let took = begun.elapsed().as_secs_f64() * 1e3;
        assert_eq!(answer.status(), 200, "{statement}: {}", String::from_utf8_lossy(&bytes));
        took
    }

    /// Where the twentieth page begins, and the API's cursor to it.
    fn page20(&self, tenant: &str) -> (Start, String) {
        let pages = Query::new(all_of(tenant), 950);
        let page = self.runtime.block_on(self.warehouse.page(&pages)).unwrap();
        let start = Start::After(page.next.unwrap());
        let window = "from=2026-05-28T20:26:40Z&to=2026-08-26T20:26:40Z";
        let address = self.service.address;
        let url = format!("http://{address}/v1/events?tenant={tenant}&limit=950&{window}");
        let mut answer = self.agent.get(&url).call().unwrap();
        let answer: serde_json::Value = answer.body_mut().read_json().unwrap();
        (start, answer["next_cursor"].as_str().unwrap_or_default().to_owned())
    }
}

fn all_of(tenant: &str) -> Selection {
    let tenants = TenantScope::Only(vec![tenant.to_owned()]);
    Selection::new(tenants, Window { from: FROM, to: TO })
}

fn quantiles(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    format!("{:.1} / {:.1}", at(0.5), at(0.95))
}
