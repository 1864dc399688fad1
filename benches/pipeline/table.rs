//! What each part of the table costs: inserts of the same blocks with and without it.
//!
//! In: a filled topic. Out: for each variant of `events`, CPU seconds of ClickHouse per million rows,
//! merges included, and bytes a row takes on disk.
//!
//! # Invariants
//! - Variants take turns, run by run, so that what else the machine does meets all of them.
//!
//! Deliberately unknown here: what a part is good for; `benches/question.rs` says that.

use serde_json::{Value, json};

use super::limits::{Held, insert};
use super::system::Site;

/// The table as it is, and changes of it.
const VARIANTS: [(&str, &[&str]); 9] = [
    ("as it is", &[]),
    ("without the projection by_position", &["ALTER TABLE events DROP PROJECTION by_position"]),
    (
        "without the nine bloom filters",
        &["ALTER TABLE events DROP INDEX by_id, DROP INDEX by_source_id, DROP INDEX by_actor_id, \
             DROP INDEX by_target_id, DROP INDEX by_targets_id, DROP INDEX by_action, \
             DROP INDEX by_request_id, DROP INDEX by_correlation_id, DROP INDEX by_client_ip"],
    ),
    ("without by_targets_id", &["ALTER TABLE events DROP INDEX by_targets_id"]),
    ("without by_action", &["ALTER TABLE events DROP INDEX by_action"]),
    ("raw in LZ4", &["ALTER TABLE events MODIFY COLUMN raw CODEC(LZ4)"]),
    (
        "attributes as a map in buckets",
        &["ALTER TABLE events MODIFY SETTING map_serialization_version = 'with_buckets'"],
    ),
    (
        "merged row by row",
        &["ALTER TABLE events MODIFY SETTING enable_vertical_merge_algorithm = 0"],
    ),
    (
        "merged column by column, always",
        &["ALTER TABLE events MODIFY SETTING vertical_merge_algorithm_min_rows_to_activate = 1, \
             vertical_merge_algorithm_min_columns_to_activate = 1"],
    ),
];

/// Measure all variants.
pub async fn table(site: &Site<'_>, runs: usize) -> Value {
    let (_, held) = Held::fetch(site);
    let mut costs = vec![Vec::new(); VARIANTS.len()];
    let mut disk = vec![0.0; VARIANTS.len()];
    for run in 0..runs {
        for turn in 0..VARIANTS.len() {
            let at = (turn + run) % VARIANTS.len();
            let (name, changes) = VARIANTS[at];
            let (limit, bytes) = insert(site, &held, changes).await;
            eprintln!("{name}, run {}: {:.2}, {bytes:.0} bytes", run + 1, limit.clickhouse);
            costs[at].push(limit.clickhouse);
            disk[at] = bytes;
        }
    }
    println!("\n| table | CPU s per million rows | bytes a row |\n| --- | --- | --- |");
    let mut rows = Vec::new();
    for (((name, _), costs), disk) in VARIANTS.iter().zip(&mut costs).zip(disk) {
        costs.sort_by(f64::total_cmp);
        let (low, median, high) = (costs[0], costs[costs.len() / 2], costs[costs.len() - 1]);
        println!("| {name} | {median:.2} ({low:.2}-{high:.2}) | {disk:.0} |");
        rows.push(json!({ "table": name, "cpu_s_per_million": median, "bytes_per_row": disk }));
    }
    json!({ "batch_rows": site.batch_rows, "runs": runs, "tables": rows })
}
