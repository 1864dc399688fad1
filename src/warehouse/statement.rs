//! SQL that is being put together: a [`Selection`] as conditions, with every value bound.
//!
//! In: what is asked about. Out: text made of `&'static str` alone, and the values for its `?`.
//!
//! # Invariants
//! - [`Filter::holds`] is the meaning; a property test holds this file to it.
//! - No value is ever part of the text.
//! - Times are bound as microseconds since the Unix epoch, within what `DateTime64(6)` holds.
//!
//! Deliberately unknown here: pages, rows, HTTP.

use std::collections::BTreeSet;

use clickhouse::error::Error;
use serde::Serialize;
use uuid::Uuid;

use super::column;
use super::question::{Question, Reader};
use crate::event::Micros;
use crate::query::{
    Comparison, Direction, Field, Filter, Pattern, Place, Selection, SortField, TargetField,
    TenantScope, TextTest, TimeField, Window, words,
};

/// What `DateTime64(6)` can hold, `[1900, 2300)`; a time beyond it would wrap or be refused.
const ALL_TIME: Window = Window { from: -2_208_988_800_000_000, to: 10_413_792_000_000_000 };

/// Values of one statement. Each is one of a few elements of what ClickHouse parses, and of those it
/// takes 50,000; the client looks at all that are bound for each that it binds.
const MOST_VALUES: usize = 10_000;

/// SQL, and the values for its `?`.
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

/// A value to bind.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    Texts(Vec<String>),
    Keys(Vec<(String, Micros, String)>),
    Positions(Vec<(String, String, String, i32, i64, u32)>),
}

/// What a test of a text looks at.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Column(&'static str),
    Attribute(&'a str),
}

impl Statement {
    pub(super) fn new(sql: &'static str) -> Statement {
        Statement { sql: sql.into(), values: Vec::new() }
    }

    pub(super) fn then(&mut self, sql: &'static str) -> &mut Statement {
        self.sql.push_str(sql);
        self
    }

    pub(super) fn add(&mut self, sql: &'static str, value: impl Into<Value>) -> &mut Statement {
        self.sql.push_str(sql);
        self.values.push(value.into());
        self
    }

    pub(super) fn ask<'r>(&self, reader: &'r Reader) -> Result<Question<'r>, Error> {
        if self.values.len() > MOST_VALUES {
            return Err(Error::Other(Box::new(TooMany)));
        }
        let query = reader.query(&self.sql);
        let query = self.values.iter().fold(query, |query, value| query.bind(value));
        Ok(Question { reader, query })
    }

    /// ` FROM events WHERE` what is asked about.
    pub(super) fn from(&mut self, selection: &Selection) -> &mut Statement {
        self.then(" FROM events WHERE ").asked(selection)
    }

    /// The same, for the first rows by a time. Words are looked for before a row is put together
    /// where rows come in the order of the key: ClickHouse would give that place to a filter of its
    /// own, for the best times so far, which has nothing to leave out there. (A third of the CPU.)
    pub(super) fn first_from(&mut self, selection: &Selection, by: TimeField) -> &mut Statement {
        let in_order = by == TimeField::OccurredAt
            && matches!(&selection.tenants, TenantScope::Only(tenants) if tenants.len() == 1);
        match in_order && selection.filter.looks_for_words() {
            true => self.then(" FROM events PREWHERE ").asked(selection),
            false => self.from(selection),
        }
    }

    fn asked(&mut self, selection: &Selection) -> &mut Statement {
        self.window(selection.window).then(" AND ").tenants(&selection.tenants);
        self.then(" AND ").filter(&selection.filter, &selection.tenants)
    }

    pub(super) fn window(&mut self, window: Window) -> &mut Statement {
        self.add("occurred_at >= fromUnixTimestamp64Micro(?, 'UTC')", storable(window.from));
        self.add(" AND occurred_at < fromUnixTimestamp64Micro(?, 'UTC')", storable(window.to))
    }

    pub(super) fn tenants(&mut self, tenants: &TenantScope) -> &mut Statement {
        match tenants {
            TenantScope::All => self.then("1"),
            // Only with equality does ClickHouse read in the order of the key and stop early.
            TenantScope::Only(tenants) if tenants.len() == 1 => {
                self.add("tenant = ?", tenants[0].as_str())
            }
            TenantScope::Only(tenants) => self.add("tenant IN ?", Value::Texts(tenants.clone())),
        }
    }

    /// With one of some primary keys. They come as a subquery: a set that the index can use, where
    /// converting an array in place would become a scan.
    pub(super) fn keys(&mut self, keys: Vec<(String, Micros, String)>) -> &mut Statement {
        self.add(
            " AND (tenant, occurred_at, id) IN (SELECT k.1, fromUnixTimestamp64Micro(k.2, 'UTC'), \
             toUUID(k.3) FROM (SELECT arrayJoin(?) AS k))",
            Value::Keys(keys),
        )
    }

    /// Behind a place. As a comparison of pairs this reads twice as much: the key's conditions
    /// must stand alone.
    pub(super) fn after(&mut self, after: Place, by: TimeField, direction: Direction) {
        let (at_most, less, id) = match direction {
            Direction::Descending => (" <= ", " < ", " OR id < toUUID(?))"),
            Direction::Ascending => (" >= ", " > ", " OR id > toUUID(?))"),
        };
        self.then(" AND ").then(column::time(by)).then(at_most).time(after.at);
        self.then(" AND (").then(column::time(by)).then(less).time(after.at);
        self.add(id, after.id);
    }

    /// At a place.
    pub(super) fn at(&mut self, place: Place, by: TimeField) {
        self.then(" AND ").then(column::time(by)).then(" = ").time(place.at);
        self.add(" AND id = toUUID(?)", place.id);
    }

    fn time(&mut self, at: Micros) -> &mut Statement {
        self.add("fromUnixTimestamp64Micro(?, 'UTC')", storable(at))
    }

    /// What an order compares.
    pub(super) fn sort_field(&mut self, field: &SortField) -> &mut Statement {
        match field {
            SortField::Text(Field::Attribute(name)) => self.add("attributes[?]", name.as_str()),
            SortField::Text(field) => self.then(column::text(field)),
            SortField::Time(time) => self.then(column::time(*time)),
            // Below every number, as what is not there is below everything.
            SortField::SourceNumber => {
                self.then("(toInt64OrNull(source_id) IS NOT NULL, toInt64OrZero(source_id))")
            }
            SortField::Outcome => self.then("toString(outcome)"),
        }
    }

    /// A filter; what it asks of other events, it asks within a scope.
    pub(super) fn filter(&mut self, filter: &Filter, scope: &TenantScope) -> &mut Statement {
        match filter {
            Filter::All(parts) => {
                let mut parts: Vec<&Filter> = parts.iter().collect();
                // What reads the bytes comes last.
                parts.sort_by_key(|part| part.looks_for_words());
                self.joined(&parts, scope, "1", " AND ")
            }
            Filter::Any(parts) => {
                self.joined(&parts.iter().collect::<Vec<_>>(), scope, "0", " OR ")
            }
            Filter::Not(part) => self.then("NOT (").filter(part, scope).then(")"),
            Filter::Text(field, test) => self.field(field, test),
            Filter::TargetOf { kind, field, test } => self.target_of(kind, *field, test),
            Filter::Verb(verb) => self.add("verb = ?", verb.as_str()),
            Filter::Outcome(outcome) => self.add("outcome = ?", outcome.as_str()),
            Filter::Origin(origin) => self.add("origin = ?", origin.as_str()),
            Filter::Id(id) => self.add("id = toUUID(?)", *id),
            Filter::SourceNumber(comparison, number) => self
                .then("ifNull(toInt64OrNull(source_id)")
                .then(column::comparison(*comparison))
                .add("?, 0)", *number),
            // In the column `::` stands for absent, and an absent address is in no network.
            Filter::ClientIp(network) => self
                .add("(client_ip >= toIPv6(?)", network.network().to_string())
                .add(" AND client_ip <= toIPv6(?)", network.broadcast().to_string())
                .then(" AND client_ip != toIPv6('::'))"),
            Filter::HasClientIp => self.then("client_ip != toIPv6('::')"),
            // Beyond what a column can hold, every row is on one side.
            Filter::Time(_, comparison, at) if storable(*at) != *at => {
                let is_asked_above = matches!(comparison, Comparison::Greater | Comparison::AtLeast);
                self.then(if is_asked_above == (*at < ALL_TIME.from) { "1" } else { "0" })
            }
            Filter::Time(field, comparison, at) => {
                self.then(column::time(*field)).then(column::comparison(*comparison)).time(*at)
            }
            Filter::Anywhere(text) => self.anywhere(text),
            // Of all that has ended only what was pending: the rest would be a set of the whole log.
            Filter::Settled => self
                .then(
                    "(outcome != 'pending' OR source_id = '' OR (tenant, schema, source_id) NOT IN \
                     (SELECT tenant, schema, source_id FROM events \
                     WHERE outcome IN ('success', 'failure') AND ",
                )
                .tenants(scope)
                .then(
                    " AND source_id IN (SELECT source_id FROM events WHERE outcome = 'pending' AND ",
                )
                .tenants(scope)
                .then(")))"),
        }
    }

    fn joined(
        &mut self,
        parts: &[&Filter],
        scope: &TenantScope,
        none: &'static str,
        between: &'static str,
    ) -> &mut Statement {
        let Some((first, others)) = parts.split_first() else { return self.then(none) };
        self.then("(").filter(first, scope);
        for part in others {
            self.then(between).filter(part, scope);
        }
        self.then(")")
    }

    fn field(&mut self, field: &Field, test: &TextTest) -> &mut Statement {
        if let Field::Attribute(name) = field {
            return self.test(Subject::Attribute(name), test);
        }
        self.then("(").test(Subject::Column(column::text(field)), test);
        if let Some(all) = column::of_targets(field) {
            match test {
                // `has` can use the index on the array.
                TextTest::Is(text) => self.then(" OR has(").then(all).add(", ?)", text.as_str()),
                _ => {
                    self.then(" OR arrayExists(x -> ").test(Subject::Column("x"), test);
                    self.then(", ").then(all).then(")")
                }
            };
        }
        self.then(")")
    }

    fn target_of(&mut self, kind: &str, field: TargetField, test: &TextTest) -> &mut Statement {
        let (one, all) = match field {
            TargetField::Id => ("target_id", "targets.id"),
            TargetField::Name => ("target_name", "targets.name"),
        };
        self.add("((target_type = ? AND ", kind).test(Subject::Column(one), test);
        self.add(") OR arrayExists((k, x) -> k = ? AND ", kind).test(Subject::Column("x"), test);
        self.then(", targets.type, ").then(all).then("))")
    }

    fn test(&mut self, subject: Subject<'_>, test: &TextTest) -> &mut Statement {
        match test {
            TextTest::Is(text) => self.subject(subject).add(" = ?", text.as_str()),
            TextTest::Contains(part) => {
                self.then("positionCaseInsensitive(").subject(subject);
                self.add(", ?) > 0", part.as_str())
            }
            TextTest::Like(pattern) => self.subject(subject).add(" LIKE ?", like(pattern)),
            // `lower` knows ASCII only, as the test does; ILIKE knows more.
            TextTest::Alike(pattern) => {
                let pattern = like(&pattern.lower_case());
                self.then("lower(").subject(subject).add(") LIKE ?", pattern)
            }
            TextTest::Exists => self.subject(subject).then(" != ''"),
            TextTest::Compares(comparison, other) => {
                self.then("(").subject(subject).then(" != '' AND ").subject(subject);
                self.then(column::comparison(*comparison)).add("?)", other.as_str())
            }
        }
    }

    fn subject(&mut self, subject: Subject<'_>) -> &mut Statement {
        match subject {
            Subject::Column(name) => self.then(name),
            Subject::Attribute(name) => self.add("attributes[?]", name),
        }
    }

    /// A word by `hasToken`, not all by `hasAllTokens`: without an index it takes half the time, and
    /// a bloom filter over `lower(raw)` serves it where somebody adds one.
    fn anywhere(&mut self, text: &str) -> &mut Statement {
        let words: BTreeSet<String> = words(text).collect();
        self.then("(1");
        for word in words {
            self.add(" AND hasToken(lower(raw), ?)", word);
        }
        self.then(")")
    }
}

/// A filter of more conditions than one statement can hold.
#[derive(Debug, thiserror::Error)]
#[error("it has more conditions than one statement can hold")]
pub(super) struct TooMany;

fn storable(at: Micros) -> Micros {
    at.clamp(ALL_TIME.from, ALL_TIME.to)
}

/// A pattern as `LIKE` writes it.
fn like(pattern: &Pattern) -> String {
    let escaped = |part: &String| {
        let mut escaped = String::with_capacity(part.len());
        for c in part.chars() {
            if matches!(c, '%' | '_' | '\\') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    };
    let parts: Vec<String> = pattern.0.iter().map(escaped).collect();
    parts.join("%")
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Value {
        Value::Text(id.to_string())
    }
}
