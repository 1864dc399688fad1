//! Records for a demonstration: every schema as its vendor documents it, and broken ones.
//!
//! In: a schema's name, a number, a time. Out: a record's key, headers and payload.
//!
//! # Invariants
//! - The same schema, number and time make the same bytes, on every machine: no clock, no
//!   randomness but `Dice`.
//! - A payload is 600 to 1,200 bytes; times are microseconds since the Unix epoch, UTC.
//! - A tenant travels as the header `tenant` where the vendor's body has none, else in the body
//!   as one of the tenant's [`Tenant::aliases`].
//!
//! Deliberately unknown here: topics, Kafka, mapping files.

mod broken;
mod contracts;
mod platforms;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

pub use self::broken::broken;
use crate::event::Micros;

/// Every schema there are events of.
pub const SCHEMAS: [&str; 9] = [
    "pace",
    "frontier",
    "softwareone",
    "cockpit",
    "bloodhound",
    "aws_cloudtrail",
    "kubernetes_audit",
    "github_audit",
    "okta_system",
];

/// The companies whose logs these are.
pub const TENANTS: [Tenant; 3] = [
    Tenant { id: "acme", account: "ACC-1001-0001", aws: "111122223333" },
    Tenant { id: "globex", account: "ACC-1001-0002", aws: "222233334444" },
    Tenant { id: "initech", account: "ACC-1001-0003", aws: "333344445555" },
];

/// One company under the names that sources have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// The name in headers, Frontier's slug and GitHub's organisation.
    pub id: &'static str,
    /// SoftwareOne's account.
    pub account: &'static str,
    /// The AWS account.
    pub aws: &'static str,
}

impl Tenant {
    /// The names other than `id`, for `[[tenant]] aliases`.
    pub fn aliases(&self) -> [&'static str; 2] {
        [self.account, self.aws]
    }
}

/// A record to produce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Keeps one actor's records in order.
    pub key: String,
    /// What a write endpoint would have set.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON.
    pub payload: Vec<u8>,
}

/// Somebody who does things.
#[derive(Debug, Clone, Copy)]
struct Person {
    login: &'static str,
    name: &'static str,
}

const PEOPLE: [Person; 12] = [
    Person { login: "ann.arbor", name: "Ann Arbor" },
    Person { login: "bo.li", name: "Bo Li" },
    Person { login: "carla.diaz", name: "Carla Díaz" },
    Person { login: "dmitri.k", name: "Dmitri Karlov" },
    Person { login: "elif.aydin", name: "Elif Aydın" },
    Person { login: "femi.ade", name: "Femi Ade" },
    Person { login: "grace.h", name: "Grace Hall" },
    Person { login: "hiro.sato", name: "Hiro Sato" },
    Person { login: "ines.roy", name: "Ines Roy" },
    Person { login: "jonas.w", name: "Jonas Weiß" },
    Person { login: "kim.park", name: "Kim Park" },
    Person { login: "lena.b", name: "Lena Berg" },
];

const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
];

/// One of the [`SCHEMAS`]' events; `None` for any other name.
///
/// `at` is when it happens.
pub fn generate(schema: &str, n: u64, at: Micros) -> Option<Generated> {
    let place = SCHEMAS.iter().position(|known| *known == schema)?;
    let mut dice = Dice::of(n.wrapping_mul(SCHEMAS.len() as u64).wrapping_add(place as u64));
    let scene = Scene {
        n,
        at,
        tenant: *dice.pick(&TENANTS),
        who: *dice.pick(&PEOPLE),
        failed: dice.one_in(9),
    };
    let make = match schema {
        "pace" => contracts::pace,
        "frontier" => contracts::frontier,
        "softwareone" => contracts::softwareone,
        "cockpit" => contracts::cockpit,
        "bloodhound" => contracts::bloodhound,
        "aws_cloudtrail" => platforms::aws_cloudtrail,
        "kubernetes_audit" => platforms::kubernetes_audit,
        "github_audit" => platforms::github_audit,
        _ => platforms::okta_system,
    };
    let body = make(&scene, &mut dice);
    let mut headers = Vec::new();
    if matches!(schema, "pace" | "cockpit" | "bloodhound" | "kubernetes_audit" | "okta_system") {
        headers.push(("tenant", scene.tenant.id.to_owned()));
    }
    if schema == "pace" {
        headers.push(("actor-id", scene.person_id().to_string()));
        headers.push(("actor-name", scene.who.name.to_owned()));
    }
    Some(Generated {
        key: format!("{}/{}", scene.tenant.id, scene.who.login),
        headers,
        payload: body.to_string().into_bytes(),
    })
}

/// What all bodies have in common.
struct Scene {
    n: u64,
    at: Micros,
    tenant: Tenant,
    who: Person,
    failed: bool,
}

impl Scene {
    /// The moment, with as many digits as the vendor writes.
    fn time(&self, digits: SecondsFormat) -> String {
        let time = DateTime::<Utc>::from_timestamp_micros(self.at).unwrap_or_default();
        time.to_rfc3339_opts(digits, true)
    }

    fn mail(&self) -> String {
        format!("{}@{}.example", self.who.login, self.tenant.id)
    }

    /// A stable identifier of the person: the same in each of their events.
    fn person_id(&self) -> Uuid {
        let bytes = self.mail().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Dice::of(bytes).uuid()
    }
}

/// A die whose throws follow from its seed: splitmix64.
struct Dice(u64);

impl Dice {
    fn of(seed: u64) -> Dice {
        Dice(seed)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.throw() % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    fn uuid(&mut self) -> Uuid {
        let bytes = u128::from(self.throw()) << 64 | u128::from(self.throw());
        uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
    }

    /// An address of a block that is reserved for documentation; one in eight is IPv6.
    fn ip(&mut self) -> String {
        let host = 1 + self.below(250);
        match self.below(8) {
            0 => format!("2001:db8::{host:x}"),
            1..4 => format!("198.51.100.{host}"),
            _ => format!("203.0.113.{host}"),
        }
    }

    fn hex(&mut self) -> String {
        format!("{:016x}", self.throw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Micros = 1_750_000_000_123_456;

    #[test]
    fn every_payload_is_json_and_between_600_and_1200_bytes() {
        for schema in SCHEMAS {
            for n in 0..500 {
                let made = generate(schema, n, AT).unwrap();
                let size = made.payload.len();
                assert!((600..=1200).contains(&size), "{schema} {n}: {size} bytes");
                let body: serde_json::Value = serde_json::from_slice(&made.payload).unwrap();
                assert!(body.is_object(), "{schema} {n}");
            }
        }
    }

    #[test]
    fn the_same_number_makes_the_same_record_and_another_makes_another() {
        for schema in SCHEMAS {
            let records: Vec<_> = (0..100).map(|n| generate(schema, n, AT)).collect();
            assert_eq!(records, (0..100).map(|n| generate(schema, n, AT)).collect::<Vec<_>>());
            let mut payloads: Vec<_> = records.into_iter().flatten().map(|r| r.payload).collect();
            payloads.sort();
            payloads.dedup();
            assert_eq!(payloads.len(), 100, "{schema}");
        }
    }

    #[test]
    fn every_tenant_has_events_of_every_schema() {
        for schema in SCHEMAS {
            for tenant in TENANTS {
                let prefix = format!("{}/", tenant.id);
                let theirs =
                    |n| generate(schema, n, AT).is_some_and(|r| r.key.starts_with(&prefix));
                assert!((0..100).any(theirs), "{schema} {}", tenant.id);
            }
        }
    }

    #[test]
    fn a_schema_nobody_knows_has_no_events() {
        assert_eq!(generate("pacemaker", 1, AT), None);
    }
}
