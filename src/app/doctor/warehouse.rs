//! What of ClickHouse stands in the way: hosts, credentials, clocks, disks, tables, of each shard.
//!
//! In: the `[clickhouse]` settings, our clock. Out: findings.
//!
//! # Invariants
//! - Each host is tried by itself. Tables are looked at where they are written: on `url`, or on every
//!   server of every shard; and of a cluster on `url` those over all shards.
//! - What is found of a server of a shard says which.
//!
//! Deliberately unknown here: SQL.

use super::{Finding, clocks};
use crate::app::up_to_date;
use crate::event::Micros;
use crate::warehouse::{ClickHouseConfig, DiskSpace, Warehouse};

/// Free bytes of a disk at least: a merge of large parts needs as much again as they have.
const LEAST_FREE_BYTES: u64 = 1 << 30;

/// Try it all.
pub(super) async fn examine(config: &ClickHouseConfig, now: fn() -> Micros) -> Vec<Finding> {
    let warehouse = match Warehouse::connect(config) {
        Ok(warehouse) => warehouse,
        Err(error) => {
            return vec![Finding::new(
                format!("clickhouse {}", config.url),
                Err(error.to_string()),
            )];
        }
    };
    let is_cluster = !config.cluster.is_empty();
    let mut findings = Vec::new();
    let mut with_tables = Vec::new();
    for server in warehouse.servers() {
        if host(server, config, now, &mut findings).await {
            with_tables.push(server);
        }
    }
    let mut is_asked_up = with_tables.iter().any(|server| server.url() == config.url);
    for url in others(config, &warehouse) {
        let other = ClickHouseConfig {
            url: url.clone(),
            fallback_urls: Vec::new(),
            cluster: String::new(),
            shards: Vec::new(),
            ..config.clone()
        };
        // What could be wrong with the settings was wrong above.
        let Ok(other) = Warehouse::connect(&other) else { continue };
        is_asked_up |= host(&other, config, now, &mut findings).await && *url == config.url;
    }
    for server in &with_tables {
        findings.extend(tables(server, is_cluster).await);
    }
    if is_cluster && is_asked_up {
        let all_well = findings.iter().all(|finding| finding.found.is_ok());
        findings.extend(over_all_shards(&warehouse, &config.url, all_well).await);
    }
    findings
}

/// Hosts that have no tables of ours for all we know: replicas for questions, and of a cluster whom
/// questions go to, where that is no server of a shard.
fn others<'c>(
    config: &'c ClickHouseConfig,
    warehouse: &'c Warehouse,
) -> impl Iterator<Item = &'c String> {
    let all = std::iter::once(&config.url).chain(&config.fallback_urls);
    all.filter(|url| warehouse.servers().iter().all(|server| server.url() != *url))
}

/// One host; whether it lets us in.
async fn host(
    server: &Warehouse,
    config: &ClickHouseConfig,
    now: fn() -> Micros,
    findings: &mut Vec<Finding>,
) -> bool {
    let thing = format!("clickhouse {}", server.place());
    let before = now();
    let facts = match server.facts().await {
        Ok(facts) => facts,
        Err(error) => {
            findings.push(Finding::new(thing, Err(error.to_string())));
            return false;
        }
    };
    let (version, user) = (&facts.version, &config.user);
    findings.push(Finding::new(&thing, Ok(format!("version {version}, as `{user}`"))));
    // It looked at its clock somewhere between our two looks.
    let ours = before + (now() - before) / 2;
    findings.push(Finding::new(format!("clock of {thing}"), clocks(facts.now, ours)));
    // Whoever may not see the disks is told of a full one by the inserts.
    if let Ok(disks) = server.disks().await {
        findings.extend(disks.iter().map(|disk| of_disk(&thing, disk)));
    }
    true
}

fn of_disk(host: &str, disk: &DiskSpace) -> Finding {
    let DiskSpace { name, free_bytes, total_bytes } = disk;
    let (free_gib, total_gib) = (free_bytes >> 30, total_bytes >> 30);
    let found = match *free_bytes < LEAST_FREE_BYTES {
        true => Err(format!("less than 1 of {total_gib} GiB is free; free or add disk space")),
        false => Ok(format!("{free_gib} of {total_gib} GiB free")),
    };
    Finding::new(format!("disk {name} of {host}"), found)
}

/// Whether a server's tables are up to date, there, and fit for exactly once.
async fn tables(server: &Warehouse, is_cluster: bool) -> Vec<Finding> {
    let at = if is_cluster { format!(" at {}", server.place()) } else { String::new() };
    let thing = format!("tables of database {}{at}", server.database());
    if let Err(error) = up_to_date(server).await {
        return vec![Finding::new(thing, Err(format!("{error:#}")))];
    }
    let missing = match server.missing_tables().await {
        Ok(missing) => missing,
        Err(error) => return vec![Finding::new(thing, Err(error.to_string()))],
    };
    if !missing.is_empty() {
        let told = missing.into_iter().map(|(table, migration)| {
            let (version, name) = (migration.version, migration.name);
            let thing = format!("table {}.{table}{at}", server.database());
            let told = format!(
                "is not there, though migration {version:04}_{name} has run; restore it from a \
                 backup, or run deploy/clickhouse/{version:04}_{name}.sql for an empty one"
            );
            Finding::new(thing, Err(told))
        });
        return told.collect();
    }
    match server.obstacles_here().await {
        Err(error) => vec![Finding::new(thing, Err(error.to_string()))],
        Ok(obstacles) if obstacles.is_empty() => {
            let fit = "up to date; insert tokens are remembered, no row is hidden from us";
            vec![Finding::new(thing, Ok(fit.to_owned()))]
        }
        Ok(obstacles) => obstacles.into_iter().map(|one| Finding::new(&thing, Err(one))).collect(),
    }
}

/// What questions rest on: that the server they go to knows all shards, has a table over each of
/// theirs, and is let in by them. The last is tried only where all else is well.
async fn over_all_shards(whole: &Warehouse, url: &str, all_well: bool) -> Vec<Finding> {
    let thing = format!("questions over all shards at {url}");
    let one = |found| vec![Finding::new(&thing, found)];
    match whole.unknown_shards().await {
        Err(error) => return one(Err(error.to_string())),
        Ok(Some(obstacle)) => return one(Err(obstacle)),
        Ok(None) => {}
    }
    match whole.missing_over_all().await {
        Err(error) => return one(Err(error.to_string())),
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let told = missing.into_iter().map(|table| {
                let fix = "is not there; run `trailhouse migrate up`, which makes it again";
                Finding::new(format!("table {table} at {url}"), Err(fix.to_owned()))
            });
            return told.collect();
        }
    }
    if !all_well {
        return Vec::new();
    }
    match whole.ask_every_shard().await {
        Ok(()) => one(Ok("every shard answers".to_owned())),
        Err(error) => one(Err(format!(
            "{error}; each shard answers us, so mend how {url} comes to the others: hosts, user and \
             password, or secret, of remote_servers in its configuration"
        ))),
    }
}
