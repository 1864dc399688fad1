//! Every fixture through every mapping, written down.
//!
//! In: `tests/fixtures/SCHEMA/*.json`. Out: one snapshot a schema, in `snapshots/`.
//!
//! # Invariants
//! - A fixture is read on a topic that names no mapping: it is claimed by its shape.
//! - A new fixture has no snapshot, which fails where `CI` is set; accept it with
//!   `INSTA_UPDATE=always cargo test --test it snapshot`.
//!
//! Deliberately unknown here: what is right; a reader of the snapshot says that.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{normaliser, outcomes, shipped};

#[test]
fn every_fixture_becomes_what_its_snapshot_shows() {
    let catalog = shipped();
    let engine = normaliser(&catalog, "audit");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for mapping in catalog.mappings() {
        let mut files: Vec<_> = fs::read_dir(fixtures.join(&mapping.name))
            .unwrap_or_else(|error| panic!("no fixtures of {}: {error}", mapping.name))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no fixtures of {}", mapping.name);
        let mut all = String::new();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let found = outcomes(&engine, &[("tenant", "acme")], &fs::read(&file).unwrap());
            for (index, outcome) in found.into_iter().enumerate() {
                writeln!(all, "== {name} {index}").unwrap();
                match outcome {
                    Err((code, sentence)) => writeln!(all, "{code}: {sentence}").unwrap(),
                    Ok(fields) => {
                        for (field, text) in fields {
                            writeln!(all, "{field} = {text}").unwrap();
                        }
                    }
                }
                all.push('\n');
            }
        }
        settings.bind(|| insta::assert_snapshot!(mapping.name.as_str(), all));
    }
}
