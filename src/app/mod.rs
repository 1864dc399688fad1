//! Wiring: a configuration in, running parts out.
//!
//! In: [`Loaded`] settings and mappings, a [`Role`]. Out: a [`Service`] that ingests, answers, or
//! both, until it is stopped.
//!
//! # Invariants
//! - The parts see each other only here.
//! - A service begins only over tables that are up to date; what to run otherwise is in the error.
//! - Stopping takes no further record, stores what is in memory, commits, and answers the requests
//!   that had begun.
//!
//! Deliberately unknown here: arguments, signals, exit codes.

mod answer;
pub mod audit;
pub mod check;
mod consume;
mod dead_letter;
pub mod doctor;
mod expiry;
mod facts;
pub mod ingest;
pub mod key;
mod ledger;
pub mod lifecycle;
pub mod mappings;
mod measured;
pub mod output;
pub mod produce;
pub mod quarantine;
mod reading;
mod reload;
pub mod replay;
pub mod retire;
mod watch;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use backon::{ExponentialBuilder, Retryable as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::answer::Answering;
use self::consume::{Ingest, start_ingest};
use self::reload::Reloading;
use self::watch::{Watch, Watched, watch};
use crate::api::{self, Impatient, Tails, Tls};
use crate::config::{Live, Loaded};
use crate::pipeline::Done;
use crate::telemetry::{Health, Metrics, Seldom, VERSION};
use crate::warehouse::migrate::{self, MigrateError, Standing};
use crate::warehouse::{ServerError, Warehouse};

/// The part of readiness that an up to date ClickHouse stands for.
const TABLES: &str = "clickhouse";
/// The part that a joined consumer stands for.
const KAFKA: &str = "kafka";

/// Which parts a process runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Consumes and answers.
    #[default]
    All,
    /// Consumes; still serves health and metrics.
    Ingest,
    /// Answers.
    Api,
}

/// Running parts.
pub struct Service {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Every metric of the process.
    pub metrics: Metrics,
    ingest: Option<Ingest>,
    api: JoinHandle<()>,
    /// Who writes down who reads.
    readings: Option<JoinHandle<()>>,
    tails: Tails,
    /// What is looked at for metrics.
    _watch: Watch,
    stop_api: oneshot::Sender<()>,
    reloading: Reloading,
}

impl Service {
    /// Start the parts of a role. Waits for ClickHouse, with the API answering how that stands;
    /// what waiting cannot mend is an error at once. May be dropped while it waits.
    pub async fn start(loaded: &Loaded, role: Role) -> anyhow::Result<Service> {
        let config = &loaded.config;
        let ingests = role != Role::Api;
        ensure!(
            !ingests || !config.kafka.topics.is_empty(),
            "no topic to consume: list at least one [[kafka.topics]], or run --role api"
        );
        // Flags may have changed what the file was checked for.
        if let Some((field, message)) = config.api.check().into_iter().next() {
            bail!("api.{field}: {message}");
        }
        facts::tell(loaded, role);
        let warehouse = Warehouse::connect(&config.clickhouse)?;
        let metrics = Metrics::new().context("registering metrics")?;
        facts::describe(loaded, &metrics);
        let health = Health::default();
        health.awaits(TABLES);
        if ingests {
            health.awaits(KAFKA);
        }
        let live = Live::of(loaded);
        let Answering { state, readings } =
            answer::from(loaded, role, &live, &warehouse, &metrics, &health).await?;
        let tails = state.tails.clone();
        let (auth, limits) = (&config.api.auth, &config.api.limits);
        if role != Role::Ingest && !auth.is_required() {
            tracing::info!("api.auth.mode is none: whoever reaches the API may do everything");
        }
        let router = match role {
            Role::Ingest => api::operations(state, &config.api),
            Role::All | Role::Api => api::router(state, &config.api),
        };
        // First of all: a port that is taken must be found out before a record is consumed.
        let listener = TcpListener::bind(&config.api.listen).await.with_context(|| {
            let listen = &config.api.listen;
            format!("listening on {listen}; another address goes into api.listen, or --listen for the demo")
        })?;
        let address = listener.local_addr()?;
        health.fails(TABLES, "ClickHouse has not answered yet");
        let (stop_api, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            // A dropped sender stops it as well as a sent word: so does a start that is given up.
            let _ = stopped.await;
        };
        let header_timeout = Duration::from_millis(limits.header_timeout_ms);
        let api = match Tls::of(&config.api.tls)? {
            None => {
                let listener = Impatient::over(listener, config.api.stall());
                tokio::spawn(api::serve(listener, router, header_timeout, shutdown))
            }
            Some(tls) => {
                let listener = Impatient::over(tls.over(listener), config.api.stall());
                tokio::spawn(api::serve(listener, router, header_timeout, shutdown))
            }
        };
        // An API alone may begin over a replica, too.
        let asked = match ingests {
            true => warehouse.clone(),
            false => Warehouse::connect_to_ask(&config.clickhouse)?,
        };
        tables_are_fit(&asked, ingests, &health).await?;
        let ingest = match ingests {
            true => Some(start_ingest(loaded, &live, &warehouse, &metrics, &health)?),
            false => None,
        };
        tracing::info!(version = VERSION, %address, ?role, "serving");
        let keys = role != Role::Ingest && auth.is_required();
        let _watch = watch(warehouse, &metrics, Watched { parts: ingests, keys });
        let reloading = Reloading::of(loaded, &live, &metrics);
        Ok(Service { address, metrics, ingest, api, readings, tails, _watch, stop_api, reloading })
    }

    /// Read the mappings, and how much is logged, again from the settings file.
    pub fn reload(&mut self, config: Option<&Path>) {
        self.reloading.reload(config);
    }

    /// Wait until a part ends that should not have.
    pub async fn failed(&mut self) -> anyhow::Error {
        let ended = match self.ingest.as_mut().and_then(|ingest| ingest.done.as_mut()) {
            None => std::future::pending().await,
            Some(done) => done.await,
        };
        if let Some(ingest) = &mut self.ingest {
            ingest.done = None;
        }
        match ended {
            Ok(Err(error)) => anyhow::Error::new(error).context("ingest ended"),
            Ok(Ok(_)) => anyhow::anyhow!("ingest ended without being asked"),
            Err(_) => anyhow::anyhow!("ingest panicked; the log has the place"),
        }
    }

    /// Stop every part; what ingest did, where it ran.
    pub async fn stop(self) -> anyhow::Result<Option<Done>> {
        let mut done = None;
        if let Some(ingest) = self.ingest {
            ingest.stopped.store(true, Ordering::Release);
            ingest.stop.ask();
            if let Some(ended) = ingest.done {
                done = Some(ended.await.context("ingest panicked")?.context("ingest")?);
            }
        }
        // They would go on as long as they are listened to.
        self.tails.close();
        // The API stops itself if the word cannot be sent.
        let _ = self.stop_api.send(());
        const PATIENCE: Duration = Duration::from_secs(10);
        if let Ok(ended) = tokio::time::timeout(PATIENCE, self.api).await {
            ended.context("the API panicked")?;
        }
        if let Some(readings) = self.readings {
            // Kafka may be away; what it does not take is told in the log.
            let _ = tokio::time::timeout(PATIENCE, readings).await;
        }
        let Done { records, drained, .. } =
            done.unwrap_or(Done { drained: true, ..Done::default() });
        tracing::info!(records, drained, "stopped");
        Ok(done)
    }
}

/// Refuse tables that are missing, older than this program, or that a newer one has taken something
/// from. What a newer one has added is no matter: so an upgrade rolls.
pub async fn up_to_date(warehouse: &Warehouse) -> anyhow::Result<()> {
    let states = migrate::status(warehouse).await?;
    if let Some(state) = states.iter().find(|state| state.standing == Standing::Contracted) {
        bail!(
            "migration {:04}_{} of a newer trailhouse took from database {} what this one uses; run \
             the newer one",
            state.version,
            state.name,
            warehouse.database()
        );
    }
    if let Some(state) = states.iter().find(|state| state.standing == Standing::Changed) {
        bail!(
            "migration {:04}_{} was changed after it was applied to database {}; restore its file \
             in deploy/clickhouse, and put the change into a new one",
            state.version,
            state.name,
            warehouse.database()
        );
    }
    if let Some(state) = states.iter().find(|state| state.standing == Standing::Pending) {
        bail!(
            "database {} lacks migration {:04}_{}; run `trailhouse migrate up`",
            warehouse.database(),
            state.version,
            state.name
        );
    }
    Ok(())
}

/// Refuse tables that cannot keep what delivery promises.
pub async fn fit_to_insert(warehouse: &Warehouse) -> anyhow::Result<()> {
    let obstacles = warehouse.obstacles().await?;
    ensure!(obstacles.is_empty(), "{}", obstacles.join("\n"));
    Ok(())
}

/// Wait for a ClickHouse whose tables are up to date, and fit for what is to be done.
async fn tables_are_fit(
    warehouse: &Warehouse,
    ingests: bool,
    health: &Health,
) -> anyhow::Result<()> {
    let mut seldom = Seldom::default();
    let passes = |error: &anyhow::Error| {
        error.downcast_ref::<MigrateError>().is_some_and(MigrateError::may_pass)
            || error.downcast_ref::<ServerError>().is_some_and(ServerError::may_pass)
    };
    let check = || async {
        up_to_date(warehouse).await?;
        if ingests { fit_to_insert(warehouse).await } else { Ok(()) }
    };
    check
        .retry(patience())
        .when(passes)
        .notify(|error, delay| {
            health.fails(TABLES, format!("{error:#}"));
            if let Some(kept_back) = seldom.happened(Instant::now()) {
                let delay_ms = delay.as_millis() as u64;
                tracing::warn!(delay_ms, kept_back, "waiting for ClickHouse: {error:#}");
            }
        })
        .await?;
    health.works(TABLES);
    Ok(())
}

/// How often is tried again what another must first mend.
fn patience() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
}
