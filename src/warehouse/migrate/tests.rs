//! Migrations without a server.
//!
//! In: the embedded files, records of what has run. Out: whether each may run beside older programs,
//! and how a database stands to it.
//!
//! # Invariants
//! - No server is asked.
//!
//! Deliberately unknown here: whether a statement is right; every test over a fresh database has that.

use super::*;

#[test]
fn every_numbered_file_of_the_folder_is_embedded_under_its_own_number() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/clickhouse");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sql") && name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    files.sort();
    let embedded: Vec<String> =
        ALL.iter().map(|m| format!("{:04}_{}.sql", m.version, m.name)).collect();
    assert_eq!(files, embedded);
    for (migration, file) in ALL.iter().zip(&files) {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        assert_eq!(migration.sql, text, "{file} is embedded under another name");
    }
}

#[test]
fn a_migration_is_one_statement_that_may_run_twice() {
    for migration in ALL {
        let ends = migration.sql.lines().filter(|line| line.trim_end().ends_with(';')).count();
        assert_eq!(ends, 0, "{}: one statement a file, without its semicolon", migration.name);
        let may_run_twice = ["IF NOT EXISTS", "MODIFY SETTING", "CREATE OR REPLACE VIEW"]
            .iter()
            .any(|words| migration.sql.contains(words));
        assert!(may_run_twice, "{}: not repeatable", migration.name);
    }
}

#[test]
fn a_migration_only_adds_unless_its_name_says_that_it_takes_away() {
    let takes_away = |sql: &str| {
        let lines = sql.lines().filter(|line| !line.starts_with("--"));
        let code: String = lines.map(|line| format!("{line} ")).collect();
        ["DROP ", "RENAME ", "MODIFY COLUMN", "ALTER COLUMN", "CLEAR COLUMN"]
            .iter()
            .any(|words| code.contains(words))
    };
    assert!(takes_away("ALTER TABLE events\n    DROP COLUMN country"));
    for migration in ALL.iter().filter(|migration| takes_away(migration.sql)) {
        let name = migration.name;
        assert!(name.starts_with(CONTRACTS), "{name}: an older worker may run beside it");
    }
}

#[test]
fn a_version_is_pending_applied_changed_or_unknown() {
    let known = [
        Migration { version: 1, name: "one", sql: "1" },
        Migration { version: 2, name: "two", sql: "2" },
        Migration { version: 3, name: "three", sql: "3" },
    ];
    let record =
        |version, checksum: &str| Record { version, name: "it".into(), checksum: checksum.into() };
    // Two workers recorded version 1; a program with an edited file recorded version 2 too.
    let recorded = [
        record(1, &known[0].checksum()),
        record(1, &known[0].checksum()),
        record(2, "other"),
        record(2, &known[1].checksum()),
        record(9, "newer"),
        Record { name: "contract_it".into(), ..record(10, "newer") },
    ];
    let standings: Vec<(u32, Standing)> =
        compare(&known, &recorded).into_iter().map(|s| (s.version, s.standing)).collect();
    assert_eq!(
        standings,
        [
            (1, Standing::Applied),
            (2, Standing::Changed),
            (3, Standing::Pending),
            (9, Standing::Unknown),
            (10, Standing::Contracted)
        ]
    );
}
