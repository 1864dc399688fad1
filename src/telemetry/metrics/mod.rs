//! Every metric, by the floor that updates it.
//!
//! In: nothing. Out: [`Metrics`], registered; the list of them, for the documents.
//!
//! # Invariants
//! - A name stands here once, with its labels, and in `docs/OPERATING.md`; a test compares.
//! - Nothing in the way of a record looks a label up: what has labels is looked up once a partition
//!   or once a batch.
//!
//! Deliberately unknown here: when anything is counted.

mod answer;
mod ingest;
mod process;
mod register;

use std::sync::Arc;

use prometheus::{Error, Registry};

pub use answer::{ApiMetrics, WarehouseMetrics};
pub use ingest::{LaneMetrics, PipelineMetrics, SourceMetrics};
pub use process::{ProcessMetrics, VerifyMetrics};
pub use register::Listed;
use register::Register;

/// Every metric of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Where they are gathered.
    pub registry: Registry,
    /// All of them, but the library's own of the process.
    pub listed: Arc<[Listed]>,
    /// Updated by `source`.
    pub source: SourceMetrics,
    /// Updated by `pipeline`.
    pub pipeline: PipelineMetrics,
    /// Updated by `warehouse`, where it reads.
    pub warehouse: WarehouseMetrics,
    /// Updated by `api`, and by `app` around what it answers from.
    pub api: ApiMetrics,
    /// Updated by `app`.
    pub process: ProcessMetrics,
}

impl Metrics {
    /// Register everything.
    pub fn new() -> Result<Metrics, Error> {
        let mut register = Register::default();
        let source = SourceMetrics::new(&mut register)?;
        let pipeline = PipelineMetrics::new(&mut register)?;
        let warehouse = WarehouseMetrics::new(&mut register)?;
        let api = ApiMetrics::new(&mut register)?;
        let process = ProcessMetrics::new(&mut register)?;
        let Register { registry, listed } = register;
        // The library's collector of the process itself knows Linux only.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Metrics { registry, listed: listed.into(), source, pipeline, warehouse, api, process })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_unit_and_kind_as_prometheus_wants_them() {
        let metrics = Metrics::new().unwrap();
        assert!(metrics.listed.len() >= 40, "{}", metrics.listed.len());
        for Listed { name, labels, kind, help } in metrics.listed.iter() {
            assert!(name.starts_with("trailhouse_"), "{name}");
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            assert!(help.ends_with('.'), "{name}: {help}");
            // Who asked, and what, is nobody's label.
            for label in *labels {
                assert!(!["tenant", "caller", "path", "id"].contains(label), "{name}: {label}");
            }
        }
    }
}
