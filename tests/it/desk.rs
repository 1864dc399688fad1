//! A ClickHouse whose users are analysts and an auditor, as deploy/clickhouse/analysts.sql makes them.
//!
//! In: that file, word for word; questions over HTTP, as somebody's own client sends them. Out: rows,
//! or the number of the refusal.
//!
//! # Invariants
//! - The library that the tests run knows users from a file only, so a user gets there what the file's
//!   `GRANT`, `CREATE ROW POLICY` and `CREATE SETTINGS PROFILE` give to their role. That roles hand it
//!   on, and the quota, is ClickHouse's own business: those statements are parsed, and no more.
//!
//! Deliberately unknown here: what they may see and do.

use std::fmt::Write as _;
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use trailhouse::demo::{ClickHouseServer, USER};
use trailhouse::warehouse::{ClickHouseConfig, Warehouse, migrate};

use crate::harness;
use crate::house::read;

const ANALYST: &str = "trailhouse_analyst";
const AUDITOR: &str = "trailhouse_auditor";

/// Users, their roles, and the tenants that `analyst_tenants` gives them.
const USERS: [(&str, &str, &[&str]); 6] = [
    ("alice", ANALYST, &["acme"]),
    ("bob", ANALYST, &["beta", "gamma"]),
    ("carol", ANALYST, &[]),
    ("mallory", ANALYST, &[]),
    // For docs/SQL.md.
    ("dana", ANALYST, &["shop"]),
    ("ada", AUDITOR, &[]),
];

/// A ClickHouse that knows those users, with one database.
pub(crate) struct Desk {
    server: ClickHouseServer,
    pub(crate) database: String,
    _dir: TempDir,
}

/// The statements of the file, over another database.
pub(crate) fn statements(database: &str) -> Vec<String> {
    let text = read("deploy/clickhouse/analysts.sql");
    let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let statements = code.join("\n").replace("trailhouse.", &format!("{database}."));
    let statements = statements.split(';').map(str::trim).filter(|text| !text.is_empty());
    statements.map(str::to_owned).collect()
}

/// Whom a statement is for, and the statement without that.
fn split_grantees(statement: &str) -> Option<(&str, &str)> {
    let (what, whom) = statement.rsplit_once("TO ")?;
    Some((what.trim_end(), whom))
}

fn concerns(statement: &str, role: &str) -> bool {
    let Some((_, whom)) = split_grantees(statement) else { return false };
    let has = |roles: &str| roles.split(", ").any(|one| one == role);
    match whom.strip_prefix("ALL EXCEPT ") {
        Some(others) => !has(others),
        None => has(whom),
    }
}

/// What lies between two words.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no `{begin}` in {text}"));
    rest.split_once(end).map_or(rest, |(found, _)| found).trim()
}

/// The users' file: what the statements say of each user's role.
fn users_xml(statements: &[String], database: &str) -> String {
    let mut users = String::new();
    for (user, role, _) in USERS {
        let mut grants = String::new();
        let mut policies = String::new();
        for statement in statements.iter().filter(|statement| concerns(statement, role)) {
            let (what, _) = split_grantees(statement).unwrap();
            if what.starts_with("GRANT ") {
                let _ = write!(grants, "<query>{what}</query>");
            } else if what.starts_with("CREATE ROW POLICY ") {
                let table = between(what, &format!("ON {database}."), " ");
                let filter = between(what, "USING ", "\n    AS ");
                let _ = write!(policies, "<{table}><filter>{filter}</filter></{table}>");
            }
        }
        let _ = write!(
            users,
            "<{user}><no_password/><networks><ip>127.0.0.1</ip></networks><quota>default</quota>\
             <profile>{ANALYST}</profile><grants>{grants}</grants>\
             <databases><{database}>{policies}</{database}></databases></{user}>"
        );
    }
    let profile =
        statements.iter().find(|text| text.starts_with("CREATE SETTINGS PROFILE")).unwrap();
    for role in [ANALYST, AUDITOR] {
        assert!(concerns(profile, role), "{profile}");
    }
    let (settings, constraints) = settings_of(split_grantees(profile).unwrap().0);
    format!(
        "<clickhouse><profiles><{ANALYST}>{settings}<constraints>{constraints}</constraints>\
         </{ANALYST}></profiles><users>{users}<root><no_password/><profile>default</profile>\
         <networks><ip>127.0.0.1</ip></networks><quota>default</quota>\
         <access_management>1</access_management></root>\
         <eve><no_password/><profile>default</profile><networks><ip>127.0.0.1</ip></networks>\
         <quota>default</quota><databases><{database}><events><filter>tenant = 'acme'</filter>\
         </events></{database}></databases></eve></users></clickhouse>"
    )
}

/// The settings of a profile and their bounds, as a users' file has them.
fn settings_of(profile: &str) -> (String, String) {
    let (mut settings, mut constraints) = (String::new(), String::new());
    for setting in between(profile, " SETTINGS\n", ";").split(",\n") {
        let (name, rest) = setting.trim().split_once(" = ").unwrap();
        let words: Vec<&str> = rest.split(' ').collect();
        let _ = write!(settings, "<{name}>{}</{name}>", words[0].trim_matches('\''));
        let bounds = match words[1..] {
            [] => continue,
            ["CONST"] => "<const/>".to_owned(),
            ["MIN", least, "MAX", most] => format!("<min>{least}</min><max>{most}</max>"),
            _ => panic!("{setting}"),
        };
        let _ = write!(constraints, "<{name}>{bounds}</{name}>");
    }
    (settings, constraints)
}

/// One for all tests; each asks as users whose tenants no other changes.
pub(crate) fn desk() -> &'static Desk {
    static DESK: OnceLock<Desk> = OnceLock::new();
    DESK.get_or_init(|| {
        let database = harness::unique("desk");
        let statements = statements(&database);
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("users.d")).unwrap();
        let users = users_xml(&statements, &database);
        std::fs::write(dir.path().join("users.d/analysts.xml"), users).unwrap();
        let server = ClickHouseServer::start(dir.path(), harness::exe()).unwrap();
        let desk = Desk { server, database, _dir: dir };
        let warehouse = Warehouse::connect(&desk.clickhouse()).unwrap();
        Runtime::new().unwrap().block_on(migrate::up(&warehouse, false)).unwrap();
        let tables = statements.iter().filter(|statement| statement.starts_with("CREATE TABLE"));
        for statement in tables {
            desk.ask(USER, statement).unwrap();
        }
        for (user, _, tenants) in USERS {
            for tenant in tenants {
                desk.ask(USER, &gives(user, tenant)).unwrap();
            }
        }
        desk.ask(USER, FILL).unwrap();
        desk
    })
}

pub(crate) fn gives(user: &str, tenant: &str) -> String {
    format!("INSERT INTO analyst_tenants (user, tenant) VALUES ('{user}', '{tenant}')")
}

/// More than one granule of each tenant, and byte-identical repeats.
const FILL: &str = "INSERT INTO events (id, tenant, occurred_at, action, actor_id, raw)
    SELECT toUUID('00000000-0000-0000-0000-000000000001'),
           ['acme', 'beta', 'gamma', 'delta'][1 + number % 4],
           toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + intDiv(number, 8) * 60, 'a', 'u', 'r'
    FROM numbers(80000)";

impl Desk {
    pub(crate) fn clickhouse(&self) -> ClickHouseConfig {
        ClickHouseConfig {
            url: self.server.url(),
            database: self.database.clone(),
            user: USER.to_owned(),
            ..ClickHouseConfig::default()
        }
    }

    /// What a client of their own gets; or the number of ClickHouse's error.
    pub(crate) fn ask(&self, user: &str, sql: &str) -> Result<Vec<u8>, u32> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        // An answer that fails half-way is to fail as a whole.
        let url = format!(
            "{}/?user={user}&database={}&wait_end_of_query=1",
            self.server.url(),
            self.database
        );
        let mut answer = agent.post(&url).send(sql).unwrap();
        let code = answer.headers().get("X-ClickHouse-Exception-Code");
        let code = code.map(|code| code.to_str().unwrap().parse::<u32>().unwrap());
        let bytes = answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap();
        match code {
            Some(code) => Err(code),
            None => Ok(bytes),
        }
    }

    /// The same, as text without its last line's end.
    pub(crate) fn text(&self, user: &str, sql: &str) -> Result<String, u32> {
        let bytes = self.ask(user, sql)?;
        Ok(String::from_utf8(bytes).unwrap().trim_end_matches('\n').to_owned())
    }
}

/// What one index leaves to read.
#[derive(Debug, PartialEq)]
pub(crate) struct Granules {
    pub(crate) read: u64,
    pub(crate) of: u64,
}

/// What each index leaves to read of `events`, in the order they are asked.
pub(crate) fn granules(plan: &str) -> Vec<Granules> {
    let (_, reading) = plan.split_once(".events)").unwrap_or_else(|| panic!("{plan}"));
    let reading = reading.split("ReadFrom").next().unwrap();
    let after = reading.split("Granules: ").skip(1);
    let words = after.filter_map(|text| text.split_whitespace().next()?.split_once('/'));
    words
        .map(|(read, of)| Granules { read: read.parse().unwrap(), of: of.parse().unwrap() })
        .collect()
}
