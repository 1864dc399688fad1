//! What of ClickHouse stands in the way: host, credentials, clock, disks, tables.
//!
//! In: the `[clickhouse]` settings, our clock. Out: findings.
//!
//! # Invariants
//! - Each host is tried by itself; tables are looked at on `url`, where they are written.
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
    let mut findings = Vec::new();
    let home = host(config, now, &mut findings).await;
    for url in &config.fallback_urls {
        let other =
            ClickHouseConfig { url: url.clone(), fallback_urls: Vec::new(), ..config.clone() };
        host(&other, now, &mut findings).await;
    }
    if let Some(warehouse) = home {
        findings.extend(tables(&warehouse).await);
    }
    findings
}

/// One host; the way to it, where there is one.
async fn host(
    config: &ClickHouseConfig,
    now: fn() -> Micros,
    findings: &mut Vec<Finding>,
) -> Option<Warehouse> {
    let thing = format!("clickhouse {}", config.url);
    let warehouse = match Warehouse::connect(config) {
        Ok(warehouse) => warehouse,
        Err(error) => {
            findings.push(Finding::new(thing, Err(error.to_string())));
            return None;
        }
    };
    let before = now();
    let facts = match warehouse.facts().await {
        Ok(facts) => facts,
        Err(error) => {
            findings.push(Finding::new(thing, Err(error.to_string())));
            return None;
        }
    };
    let (version, user) = (&facts.version, &config.user);
    findings.push(Finding::new(&thing, Ok(format!("version {version}, as `{user}`"))));
    // It looked at its clock somewhere between our two looks.
    let ours = before + (now() - before) / 2;
    findings.push(Finding::new(format!("clock of {thing}"), clocks(facts.now, ours)));
    // Whoever may not see the disks is told of a full one by the inserts.
    if let Ok(disks) = warehouse.disks().await {
        findings.extend(disks.iter().map(|disk| of_disk(&thing, disk)));
    }
    Some(warehouse)
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

/// Whether the tables are up to date, there, and fit for exactly once.
async fn tables(warehouse: &Warehouse) -> Vec<Finding> {
    let thing = format!("tables of database {}", warehouse.database());
    if let Err(error) = up_to_date(warehouse).await {
        return vec![Finding::new(thing, Err(format!("{error:#}")))];
    }
    let missing = match warehouse.missing_tables().await {
        Ok(missing) => missing,
        Err(error) => return vec![Finding::new(thing, Err(error.to_string()))],
    };
    if !missing.is_empty() {
        let told = missing.into_iter().map(|(table, migration)| {
            let (version, name) = (migration.version, migration.name);
            let thing = format!("table {}.{table}", warehouse.database());
            let told = format!(
                "is not there, though migration {version:04}_{name} has run; restore it from a \
                 backup, or run deploy/clickhouse/{version:04}_{name}.sql for an empty one"
            );
            Finding::new(thing, Err(told))
        });
        return told.collect();
    }
    match warehouse.obstacles().await {
        Err(error) => vec![Finding::new(thing, Err(error.to_string()))],
        Ok(obstacles) if obstacles.is_empty() => {
            let fit = "up to date; insert tokens are remembered, no row is hidden from us";
            vec![Finding::new(thing, Ok(fit.to_owned()))]
        }
        Ok(obstacles) => obstacles.into_iter().map(|one| Finding::new(&thing, Err(one))).collect(),
    }
}
