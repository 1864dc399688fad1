//! The subcommands, each a few lines into [`trailhouse::app`] or [`trailhouse::demo`].
//!
//! In: arguments, signals. Out: an exit code: 0 done, 1 failed, 2 misused, 78 misconfigured; of
//! `verify` 1 where something was found, and 75 where it could not be asked.
//!
//! # Invariants
//! - What a user asked for goes to standard output; logs, progress and errors to standard error.
//!
//! Deliberately unknown here: how anything is done.

mod arguments;
mod signal;

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use trailhouse::app::output::{output, reader_left, say, tell};
use trailhouse::app::{
    Service, audit, check, ingest, key, lifecycle, mappings, produce, quarantine, replay,
};
use trailhouse::audit::Scope;
use trailhouse::config::{Config, Loaded, effective};
use trailhouse::demo::{self, DemoOptions};
use trailhouse::pipeline::fault;
use trailhouse::problem::Problem;
use trailhouse::telemetry;
use trailhouse::warehouse::{Wanted, Warehouse, migrate};

use crate::arguments::{
    Arguments, Command, ConfigCommand, KeyCommand, MappingsCommand, MigrateCommand,
    QuarantineCommand, VerifyArguments,
};
use crate::signal::{hangup, interrupted};

/// `EX_CONFIG` of sysexits.h.
const MISCONFIGURED: u8 = 78;
/// `EX_TEMPFAIL`: a proof that could not be made is no finding.
const UNPROVED: u8 = 75;

fn main() -> ExitCode {
    // An engine of the demo is a child of this same program.
    if let Some(code) = demo::launcher::dispatch(std::env::args_os()) {
        return code;
    }
    let arguments = Arguments::parse();
    let _faults = fault::setup();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("starting the runtime")),
    };
    let code = runtime.block_on(run(arguments));
    // A request or an insert that will not end must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code.unwrap_or_else(|error| if reader_left(&error) { ExitCode::SUCCESS } else { fail(&error) })
}

fn fail(error: &anyhow::Error) -> ExitCode {
    tell(format_args!("trailhouse: {error:#}"));
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Demo(args) => {
            let log = telemetry::LogConfig { level: args.log_level.clone(), ..Default::default() };
            telemetry::log(&log);
            let options = DemoOptions {
                kafka: args.kafka,
                clickhouse: (args.clickhouse != "auto").then_some(args.clickhouse),
                rate: args.rate,
                duration: args.r#for.map(Duration::from_secs),
                dir: args.dir,
                reset: args.reset,
                listen: args.listen,
            };
            let bottom = demo::run(options, interrupted()?).await?;
            say(bottom);
            Ok(exit(bottom.lost == 0 && bottom.duplicated == 0))
        }
        Command::Serve { config, role, accept_gap } => {
            with(config.as_deref(), async |mut loaded| {
                loaded.config.kafka.accept_gap.extend(accept_gap);
                let mut interrupted = pin!(interrupted()?);
                let mut hangup = hangup()?;
                let mut service = tokio::select! {
                    started = Service::start(&loaded, role) => started?,
                    // Nothing was read yet.
                    () = &mut interrupted => return Ok(ExitCode::SUCCESS),
                };
                let failed = loop {
                    tokio::select! {
                        () = &mut interrupted => break None,
                        error = service.failed() => break Some(error),
                        _ = hangup.recv() => service.reload(config.as_deref()),
                    }
                };
                let done = service.stop().await?;
                match (failed, done) {
                    (Some(error), _) => Err(error),
                    (None, Some(done)) => Ok(exit(done.drained)),
                    (None, None) => Ok(ExitCode::SUCCESS),
                }
            })
            .await
        }
        Command::Produce(args) => {
            with(args.config.as_deref(), async |loaded| {
                let mut kafka = loaded.config.kafka;
                kafka.brokers = args.brokers.clone().unwrap_or(kafka.brokers);
                let schema = args.generate.as_deref();
                let topic = args.topic.clone().or(schema.map(|name| format!("audit.{name}")));
                let topic = topic.context("--topic says where the file's lines go")?;
                let (headers, rate, create) = (&args.header, args.rate, args.create);
                let target =
                    produce::Target { kafka: &kafka, topic: &topic, headers, rate, create };
                let sent = match (&args.file, schema) {
                    (_, Some(schema)) => produce::generated(&target, schema, args.count).await?,
                    (Some(file), None) => {
                        let open =
                            File::open(file).with_context(|| format!("{}", file.display()))?;
                        produce::lines(&target, BufReader::new(open)).await?
                    }
                    // INVARIANT: clap demands one of the two.
                    (None, None) => 0,
                };
                say(format_args!("produced {sent} records to {topic}"));
                Ok(ExitCode::SUCCESS)
            })
            .await
        }
        Command::Ingest { config, file, schema, tenant } => {
            with(config.as_deref(), async |loaded| {
                let (file, tenant) = (file.as_path(), tenant.as_deref());
                let schema = schema.as_deref().unwrap_or_default();
                let what = ingest::FileIngest { file, schema, tenant };
                let done = ingest::run(loaded, what).await?;
                let skipped = match done.skipped {
                    0 => String::new(),
                    some => format!(", {some} skipped by rules"),
                };
                say(format_args!(
                    "{} of {}: {} events and {} quarantined{skipped}; {} stored by an earlier run",
                    records(done.records),
                    file.display(),
                    done.event_rows,
                    done.quarantined_rows,
                    records(done.passed_over),
                ));
                Ok(exit(done.drained))
            })
            .await
        }
        Command::Migrate { config, command } => {
            with(config.as_deref(), async |loaded| {
                let warehouse = Warehouse::connect(&loaded.config.clickhouse)?;
                match command {
                    MigrateCommand::Status => {
                        for state in migrate::status(&warehouse).await? {
                            let standing = state.standing.as_str();
                            say(format_args!("{:04} {:<32} {standing}", state.version, state.name));
                        }
                    }
                    MigrateCommand::Up { dry_run } => {
                        let ran = migrate::up(&warehouse, dry_run).await?;
                        let verb = if dry_run { "would apply" } else { "applied" };
                        for migration in &ran {
                            say(format_args!("{verb} {:04}_{}", migration.version, migration.name));
                        }
                        if ran.is_empty() {
                            say("nothing to apply: the tables are up to date");
                        }
                    }
                }
                Ok(ExitCode::SUCCESS)
            })
            .await
        }
        Command::Verify(args) => {
            with(args.config.as_deref(), async |loaded| match verify(&loaded, &args).await {
                Err(error) if !reader_left(&error) => {
                    fail(&error);
                    Ok(ExitCode::from(UNPROVED))
                }
                answered => answered,
            })
            .await
        }
        Command::Receipt { topic, partition, offset, config, output } => {
            with(config.as_deref(), async |loaded| {
                let receipt = audit::receipt(&loaded, &topic, partition, offset).await?;
                output.print(&receipt)?;
                Ok(exit(receipt.is_good()))
            })
            .await
        }
        Command::Mappings { config, command } => {
            with(config.as_deref(), async |loaded| {
                let mut out = output();
                match command {
                    MappingsCommand::Test => {
                        let failed = mappings::test(&loaded.catalog, &mut out)?;
                        Ok(exit(failed == 0))
                    }
                    MappingsCommand::Try { file, schema, topic, header, tenant_from_body } => {
                        let text =
                            std::fs::read(&file).with_context(|| format!("{}", file.display()))?;
                        let (topic, schema) = (topic.as_str(), schema.as_deref());
                        let trial =
                            mappings::Trial { topic, schema, tenant_from_body, headers: &header };
                        let bad = mappings::try_records(loaded, &text, &trial, &mut out)?;
                        writeln!(out, "{bad} quarantined")?;
                        Ok(exit(bad == 0))
                    }
                }
            })
            .await
        }
        Command::Quarantine { config, command } => {
            with(config.as_deref(), async |loaded| {
                let mut out = output();
                match command {
                    QuarantineCommand::List(args) => {
                        let (topic, reason, mapping) = (args.topic, args.reason, args.mapping);
                        let (since, limit) = (args.since, args.limit);
                        let wanted = Wanted { topic, reason, mapping, since, limit };
                        quarantine::list(&loaded, &wanted, args.output, &mut out).await?;
                    }
                    QuarantineCommand::Show(args) => {
                        let (topic, partition) = (args.topic, args.partition);
                        let (offset, index) = (args.offset, args.index);
                        let which = quarantine::Which { topic, partition, offset, index };
                        match args.raw {
                            true => quarantine::raw(&loaded, &which, &mut out).await?,
                            false => {
                                quarantine::show(&loaded, &which, args.output, &mut out).await?
                            }
                        }
                    }
                    QuarantineCommand::Replay(args) => {
                        let (topic, reason, dry_run) = (args.topic, args.reason, args.dry_run);
                        let selection = replay::Selection { topic, reason, dry_run };
                        let outcomes = replay::run(&loaded, &selection).await?;
                        replay::report(&outcomes, dry_run, &mut out)?;
                    }
                }
                Ok(ExitCode::SUCCESS)
            })
            .await
        }
        Command::Key { config, command } => {
            with(config.as_deref(), async |loaded| {
                let mut out = output();
                match command {
                    KeyCommand::Create(args) => key::create(&loaded, args.into(), &mut out).await?,
                    KeyCommand::List => key::list(&loaded, &mut out).await?,
                    KeyCommand::Revoke { key } => key::revoke(&loaded, &key, &mut out).await?,
                }
                Ok(ExitCode::SUCCESS)
            })
            .await
        }
        Command::Lifecycle(command) => {
            with(command.config().map(Path::to_owned).as_deref(), async |loaded| {
                Ok(exit(lifecycle::run(&loaded, command.into(), &mut output()).await?))
            })
            .await
        }
        Command::Check(args) => {
            with(args.config.as_deref(), async |loaded| {
                Ok(exit(check::run(&loaded, args.connect, &mut output()).await?))
            })
            .await
        }
        Command::Config { config, command: ConfigCommand::Print { .. } } => {
            with(config.as_deref(), async |loaded| {
                match effective(&loaded.config, config.as_deref()) {
                    Ok(settings) => check::print(&settings, &mut output())?,
                    Err(problems) => report(&problems),
                }
                Ok(ExitCode::SUCCESS)
            })
            .await
        }
    }
}

async fn verify(loaded: &Loaded, args: &VerifyArguments) -> anyhow::Result<ExitCode> {
    let scope = Scope { from: args.from, to: args.to, digests: args.digests };
    let topic = args.topic.as_deref();
    let report = audit::verify(loaded, topic, args.partition, scope).await?;
    let told = args.output.print(&report);
    let file = args.metrics_file.as_deref();
    let written = file.map_or(Ok(()), |file| audit::write_metrics(&report, file));
    // What was found is told in any case, be it by the exit code alone.
    if report.good {
        written.and(told)?;
    } else if let Err(error) = written.and(told) {
        fail(&error);
    }
    Ok(exit(report.good))
}

/// Load the configuration, begin logging and tracing, go on; or tell every problem and end.
async fn with(
    path: Option<&Path>,
    go_on: impl AsyncFnOnce(Loaded) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    match Config::load(path) {
        Ok(loaded) => {
            telemetry::log(&loaded.config.log);
            let traces = match telemetry::trace(&loaded.config.traces) {
                Ok(traces) => traces,
                Err(error) => {
                    fail(&error.into());
                    return Ok(ExitCode::from(MISCONFIGURED));
                }
            };
            let code = go_on(loaded).await;
            traces.end().await;
            code
        }
        Err(problems) => {
            report(&problems);
            Ok(ExitCode::from(MISCONFIGURED))
        }
    }
}

fn report(problems: &[Problem]) {
    for problem in problems {
        tell(problem);
    }
    tell(format_args!("trailhouse: {} problem(s) in the configuration", problems.len()));
}

fn records(count: u64) -> String {
    format!("{count} {}", if count == 1 { "record" } else { "records" })
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
