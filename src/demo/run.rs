//! `trailhouse demo`: everything on one machine, from nothing to an answered question.
//!
//! In: [`DemoOptions`]. Out: a running Trailhouse over real engines, a producer of nine schemas,
//! and one last line that says whether anything was lost or stored twice.
//!
//! # Invariants
//! - The last line comes from Kafka's offsets and ClickHouse's rows.
//! - Whatever way it ends, no process is left.
//!
//! Deliberately unknown here: how the engines work.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::bottom::{Bottom, Count, ends, id_of_cluster};
use super::folder::{self, Folder};
use super::generate::{self, TENANTS};
use super::{Broker, BrokerMode, ClickHouseServer, USER, process};
use crate::app::output::{say, tell};
use crate::app::produce::{Pace, outgoing};
use crate::app::{Role, Service};
use crate::config::{Config, Loaded, TenantConfig};
use crate::gateway::{Outgoing, Sender};
use crate::source::TopicConfig;
use crate::warehouse::{Warehouse, migrate};

/// Every so many records one is broken on purpose.
const BROKEN_EVERY: u64 = 50;
/// Where records of any schema go, to be told apart by their shape.
const MIXED: &str = "audit.mixed";
const PARTITIONS: i32 = 3;
const INTERRUPTED: &str = "interrupted while starting: nothing was produced";
/// How long what was produced may take to be stored once producing has ended.
const SETTLE: Duration = Duration::from_secs(60);

/// What the demo shall do.
pub struct DemoOptions {
    /// Which broker.
    pub kafka: BrokerMode,
    /// A ClickHouse that runs already; `None` starts one.
    pub clickhouse: Option<String>,
    /// Records a second.
    pub rate: u64,
    /// How long; `None` until interrupted.
    pub duration: Option<Duration>,
    /// Where data is kept; `None` for a temporary folder.
    pub dir: Option<PathBuf>,
    /// Whether to drop what is there first.
    pub reset: bool,
    /// Where the API listens.
    pub listen: String,
}

/// Run the demo until `interrupted` resolves, the time is up, or a part fails.
pub async fn run(
    options: DemoOptions,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<Bottom> {
    let temporary = tempfile::tempdir().context("a temporary folder")?;
    let dir = options.dir.as_deref().unwrap_or(temporary.path());
    let _folder = Folder::take(dir)?;
    let mut interrupted = pin!(interrupted);
    let mut engines = Engines::start(&options, dir, interrupted.as_mut()).await?;
    let outcome = with_engines(&options, &engines, interrupted).await;
    let stopped = tokio::task::spawn_blocking(move || engines.stop()).await;
    let bottom = outcome?;
    stopped.context("stopping the engines")??;
    Ok(bottom)
}

struct Engines {
    clickhouse: Option<ClickHouseServer>,
    broker: Option<Broker>,
    url: String,
    bootstrap: String,
    /// The name positions carry.
    cluster: String,
}

impl Engines {
    async fn start(
        options: &DemoOptions,
        dir: &Path,
        interrupted: Pin<&mut impl Future<Output = ()>>,
    ) -> anyhow::Result<Engines> {
        let exe = std::env::current_exe().context("the path of this program")?;
        let (mode, given, dir) =
            (options.kafka.clone(), options.clickhouse.clone(), dir.to_owned());
        let reset = options.reset;
        let mut started = tokio::task::spawn_blocking(move || {
            if reset {
                folder::reset(&dir)?;
            }
            let clickhouse = match &given {
                Some(_) => None,
                None => Some(ClickHouseServer::start(&dir.join("clickhouse"), &exe)?),
            };
            let broker = Broker::choose(&mode, &dir.join("kafka"), &exe)?;
            let url = given.or(clickhouse.as_ref().map(ClickHouseServer::url)).unwrap_or_default();
            let bootstrap = broker.bootstrap();
            // The in-process broker begins at offset 0 every time: each time it is another cluster.
            let cluster = match &broker {
                Broker::InProcess(_) => format!("in-process-{}", chrono::Utc::now().timestamp()),
                _ => id_of_cluster(&bootstrap)?,
            };
            let broker = Some(broker);
            anyhow::Ok(Engines { clickhouse, broker, url, bootstrap, cluster })
        });
        tokio::select! {
            started = &mut started => started.context("starting the engines")?,
            () = interrupted => {
                process::give_up();
                // Whatever came of it: what had been started ends with its handle.
                drop(started.await);
                bail!(INTERRUPTED)
            }
        }
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let broker = self.broker.take().map_or(Ok(()), Broker::stop);
        let clickhouse = self.clickhouse.take().map_or(Ok(()), ClickHouseServer::stop);
        broker.and(clickhouse)
    }
}

async fn with_engines(
    options: &DemoOptions,
    engines: &Engines,
    mut interrupted: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<Bottom> {
    let loaded = loaded(options, engines)?;
    let topics: Vec<&str> =
        loaded.config.kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    let wanted: Vec<(&str, i32)> = topics.iter().map(|topic| (*topic, PARTITIONS)).collect();
    let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
    let begin = async {
        if let Some(broker) = &engines.broker {
            broker.create_topics(&wanted).await.context("creating topics")?;
        }
        migrate::up(&warehouse, false).await?;
        // What somebody else's broker holds already is not this run's.
        let starts = match &engines.broker {
            Some(Broker::External(_)) => ends(&engines.bootstrap, &topics)?,
            _ => HashMap::new(),
        };
        let service = Service::start(&loaded, Role::All).await?;
        anyhow::Ok((service, starts))
    };
    let (mut service, starts) = tokio::select! {
        begun = begin => begun?,
        () = interrupted.as_mut() => bail!(INTERRUPTED),
    };
    greet(&service, engines, options);
    let (bootstrap, cluster) = (engines.bootstrap.as_str(), engines.cluster.as_str());
    let count = Count { warehouse: &warehouse, bootstrap, cluster, topics: &topics, starts };

    let failed = {
        let ended = async {
            match options.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let mut sender = Sender::new(&engines.bootstrap)?;
        let produced = tokio::select! {
            () = interrupted => Ok(()),
            () = ended => Ok(()),
            error = service.failed() => Err(error),
            error = produce(&mut sender, options.rate) => Err(error),
        };
        sender.close().await?;
        produced.err()
    };
    tell("stopping: storing what is on its way");
    let settled = match failed {
        Some(error) => Err(error),
        None => count.until_stored(SETTLE).await,
    };
    service.stop().await?;
    settled?;
    count.bottom().await
}

/// The configuration a demo runs with.
fn loaded(options: &DemoOptions, engines: &Engines) -> anyhow::Result<Loaded> {
    let defaults = Config::load(None).map_err(|problems| {
        anyhow::anyhow!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let Loaded { mut config, catalog } = defaults;
    config.kafka.brokers = engines.bootstrap.clone();
    config.kafka.group = "trailhouse-demo".to_owned();
    config.kafka.cluster = engines.cluster.clone();
    config.kafka.topic_ids = !matches!(engines.broker, Some(Broker::InProcess(_)));
    config.kafka.topics = generate::SCHEMAS
        .iter()
        .map(|schema| (format!("audit.{schema}"), *schema))
        .chain([(MIXED.to_owned(), "")])
        .map(|(name, schema)| TopicConfig {
            name,
            schema: schema.to_owned(),
            tenant: String::new(),
            tenant_from_body: true,
        })
        .collect();
    config.clickhouse.url = engines.url.clone();
    if engines.clickhouse.is_some() {
        config.clickhouse.user = USER.to_owned();
    }
    config.api.listen = options.listen.clone();
    config.tenant = TENANTS
        .iter()
        .map(|tenant| TenantConfig {
            id: tenant.id.to_owned(),
            aliases: tenant.aliases().map(str::to_owned).to_vec(),
        })
        .collect();
    let wrong = config.api.check();
    ensure!(
        wrong.is_empty(),
        "--listen {}",
        wrong.into_iter().map(|(_, why)| why).collect::<String>()
    );
    Ok(Loaded { config, catalog })
}

fn greet(service: &Service, engines: &Engines, options: &DemoOptions) {
    let api = format!("http://{}", service.address);
    say(format_args!("Trailhouse is running; {} records a second of nine schemas.", options.rate));
    say(format_args!("  API         {api}/v1/events   {api}/readyz   {api}/metrics"));
    let user = engines.clickhouse.as_ref().map_or(String::new(), |_| format!(" (user {USER})"));
    say(format_args!("  ClickHouse  {}{user}   Kafka  {}", engines.url, engines.bootstrap));
    say("Worth trying:");
    say(format_args!("  curl -s '{api}/v1/events?tenant=acme&limit=3'"));
    say(format_args!("  curl -s '{api}/v1/events?verb=delete&outcome=failure&from=-1h'"));
    say(format_args!("  curl -s '{api}/v1/events?schema=aws_cloudtrail&limit=1'"));
    if options.duration.is_none() {
        say("Ctrl-C stops everything.");
    }
}

/// Records of all schemas in turn, for ever; ends only with an error.
async fn produce(sender: &mut Sender, rate: u64) -> anyhow::Error {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {human_pos} records produced, {elapsed}")
    {
        bar.set_style(style);
    }
    let mut pace = Pace::new(rate);
    for n in 0.. {
        pace.turn().await;
        let (topic, record) = record(n);
        if let Err(error) = sender.send(&topic, &record).await {
            return error.into();
        }
        bar.inc(1);
    }
    // INVARIANT: the loop has no end.
    anyhow::anyhow!("ran out of records")
}

/// The n-th record and its topic: the schemas in turn, now and then on the topic without a schema
/// of its own, now and then broken.
fn record(n: u64) -> (String, Outgoing) {
    let schema = generate::SCHEMAS[(n % generate::SCHEMAS.len() as u64) as usize];
    if n % BROKEN_EVERY == BROKEN_EVERY - 1 {
        let payload = generate::broken(n / BROKEN_EVERY);
        return (MIXED.to_owned(), Outgoing { payload, ..Outgoing::default() });
    }
    let now = chrono::Utc::now().timestamp_micros();
    let made = generate::generate(schema, n, now).map(outgoing).unwrap_or_default();
    let topic = if n % 20 == 7 { MIXED.to_owned() } else { format!("audit.{schema}") };
    (topic, made)
}
