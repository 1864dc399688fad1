//! What each part of the table costs: inserts of the same blocks with and without it.
//!
//! In: a filled topic. Out: for each variant of `events`, CPU seconds of ClickHouse per million rows,
//! of inserts and of one merge of all, and bytes a row takes on disk.
//!
//! # Invariants
//! - Variants take turns, run by run, so that what else the machine does meets all of them.
//!
//! Deliberately unknown here: what a part is good for; `benches/question.rs` says that.

use serde_json::{Value, json};

use super::limits::{Held, Inserted, insert};
use super::system::Site;

/// The table as it is, and changes of it.
const VARIANTS: [(&str, &str); 6] = [
    ("as it is", ""),
    ("without the projection by_position", "ALTER TABLE events DROP PROJECTION by_position"),
    (
        "without the nine bloom filters",
        "ALTER TABLE events DROP INDEX by_id, DROP INDEX by_source_id, DROP INDEX by_actor_id, \
         DROP INDEX by_target_id, DROP INDEX by_targets_id, DROP INDEX by_action, \
         DROP INDEX by_request_id, DROP INDEX by_correlation_id, DROP INDEX by_client_ip",
    ),
    ("raw in LZ4", "ALTER TABLE events MODIFY COLUMN raw CODEC(LZ4)"),
    (
        "wide parts from 10 MiB on, which is ClickHouse's default",
        "ALTER TABLE events MODIFY SETTING min_bytes_for_wide_part = 10485760",
    ),
    ("merged row by row", "ALTER TABLE events MODIFY SETTING enable_vertical_merge_algorithm = 0"),
];

/// Measure all variants, and further ones.
pub async fn table(site: &Site<'_>, further: &[String], runs: usize) -> Value {
    let (_, held) = Held::fetch(site);
    let further = further.iter().map(|change| (&**change, &**change));
    let variants: Vec<(&str, &str)> = VARIANTS.into_iter().chain(further).collect();
    let mut costs = vec![Vec::new(); variants.len()];
    for run in 0..runs {
        for turn in 0..variants.len() {
            let at = (turn + run) % variants.len();
            let (name, change) = variants[at];
            let inserted = insert(site, &held, change).await;
            let Inserted { insert, merge, bytes, .. } = inserted;
            eprintln!("{name}, run {}: {insert:.2} + {merge:.2}, {bytes:.0} bytes", run + 1);
            costs[at].push(inserted);
        }
    }
    println!("\n| table | insert, CPU s per million rows | one merge | bytes a row |");
    println!("| --- | --- | --- | --- |");
    let mut rows = Vec::new();
    for ((name, _), costs) in variants.iter().zip(&costs) {
        let (low, insert, high) = spread(costs, |cost| cost.insert);
        let (least, merge, most) = spread(costs, |cost| cost.merge);
        let bytes = spread(costs, |cost| cost.bytes).1;
        println!(
            "| {name} | {insert:.2} ({low:.2}-{high:.2}) | {merge:.2} ({least:.2}-{most:.2}) | \
             {bytes:.0} |"
        );
        rows.push(json!({
            "table": name,
            "insert_cpu_s_per_million": insert,
            "merge_cpu_s_per_million": merge,
            "bytes_per_row": bytes,
        }));
    }
    json!({ "batch_rows": site.batch_rows, "runs": runs, "tables": rows })
}

/// Lowest, median, highest.
fn spread(costs: &[Inserted], of: impl Fn(&Inserted) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
