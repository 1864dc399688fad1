//! What a request to BloodHound's audit log asks.
//!
//! In: the query of a URI. Out: [`Asked`].
//!
//! # Invariants
//! - What is wrong is told in the original's words.
//! - Both ends of time are inclusive. Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: who asks, what a page holds.

use axum::extract::Query;
use axum::http::Uri;

use super::super::walk::LONGEST;
use super::filter::{filter, time};
use crate::api::refusal::Refusal;
use crate::event::Micros;
use crate::query::{Direction, Field, Filter, Order, SortField, TimeField, Window};

const DAY: Micros = 86_400_000_000;
/// How far back it is looked where nothing says.
const REACH: Micros = 365 * DAY;
const LIMIT: u32 = 1_000;

/// What is no filter.
const PAGING: [&str; 6] = ["skip", "offset", "limit", "before", "after", "sort_by"];

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub filter: Filter,
    pub order: Order,
    pub skip: u64,
    pub limit: u32,
    pub before: Option<Micros>,
    pub after: Option<Micros>,
}

impl Asked {
    /// Read the query of a URI.
    pub(super) fn read(uri: &Uri) -> Result<Asked, Refusal> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Refusal::parameter("query", "the query of the URL cannot be read"));
        };
        let all = |wanted: &'static str| {
            pairs.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        // An empty one is as if left out.
        let once = |name| all(name).next().filter(|value| !value.is_empty());
        let order = order(all("sort_by"))?;
        let filters = pairs.iter().filter(|(name, _)| !PAGING.contains(&name.as_str()));
        let filters: Vec<_> = filters.map(|(name, value)| (&**name, &**value)).collect();
        let filter = filter(&filters)?;
        let number = |name| once(name).map(|text| number(name, text)).transpose();
        let (skip, offset) = (number("skip")?, number("offset")?);
        let limit = number("limit")?.unwrap_or(LIMIT.into());
        let limit = u32::try_from(limit).ok().filter(|limit| *limit <= LONGEST);
        let limit =
            limit.ok_or_else(|| malformed("limit", &format!("it is more than {LONGEST}")))?;
        let moment = |name| {
            let no_time = |text| malformed(name, &format!("{text:?} is no time of RFC 3339"));
            once(name).map(|text| time(text).ok_or_else(|| no_time(text))).transpose()
        };
        let (before, after) = (moment("before")?, moment("after")?);
        Ok(Asked { filter, order, skip: skip.or(offset).unwrap_or(0), limit, before, after })
    }

    /// The span of time, where the latest moment is not said: up to `now`.
    pub(super) fn window(&self, now: Micros) -> Window {
        let last = self.before.unwrap_or(now);
        let from = self.after.unwrap_or_else(|| last.saturating_sub(REACH));
        Window { from, to: last.saturating_add(1) }
    }
}

/// A parameter that cannot be read.
pub(super) fn malformed(name: &str, why: &str) -> Refusal {
    Refusal::parameter(name, format!("query parameter \"{name}\" is malformed: {why}"))
}

fn number(name: &str, text: &str) -> Result<u64, Refusal> {
    match text.parse::<i64>() {
        Ok(number) => {
            u64::try_from(number).map_err(|_| malformed(name, &format!("{number} is less than 0")))
        }
        Err(_) => Err(malformed(name, &format!("{text:?} is no whole number"))),
    }
}

fn order<'v>(columns: impl Iterator<Item = &'v str>) -> Result<Order, Refusal> {
    let fields: Vec<_> = columns.map(sort_field).collect::<Result<_, _>>()?;
    Ok(match &fields[..] {
        [] => Order::default(),
        // An order by time alone can be walked.
        [(SortField::Time(time), direction)] => Order::Time(*time, *direction),
        _ => Order::Fields(fields),
    })
}

fn sort_field(column: &str) -> Result<(SortField, Direction), Refusal> {
    let (column, direction) = match column.strip_prefix('-') {
        Some(column) => (column, Direction::Descending),
        None => (column, Direction::Ascending),
    };
    let attribute = |name: &str| SortField::Text(Field::Attribute(name.to_owned()));
    let field = match column {
        "id" => SortField::SourceNumber,
        "actor_id" => SortField::Text(Field::ActorId),
        "actor_name" => SortField::Text(Field::ActorName),
        "actor_email" => SortField::Text(Field::ActorEmail),
        "action" => SortField::Text(Field::Action),
        "request_id" => SortField::Text(Field::RequestId),
        "created_at" => SortField::Time(TimeField::OccurredAt),
        "source" | "source_ip_address" => attribute(column),
        "status" => SortField::Outcome,
        _ => {
            let detail = "column format does not support sorting";
            return Err(Refusal::parameter("sort_by", detail));
        }
    };
    Ok((field, direction))
}
