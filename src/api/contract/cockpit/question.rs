//! What a request to Cloud Cockpit's audit logs asks.
//!
//! In: the query of a URI. Out: [`Asked`].
//!
//! # Invariants
//! - Names are taken in any case, unknown ones are ignored, empty ones are as if left out, and of a
//!   repeated one the first counts.
//! - Both ends of time are inclusive. Times are microseconds since the Unix epoch.
//!
//! Deliberately unknown here: who asks, whose logs.

use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, Months, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use uuid::Uuid;

use crate::api::refusal::Refusal;
use crate::event::{Micros, Outcome};
use crate::query::{Field, Filter, TargetField, TextTest, Window};

const PAGE_SIZE: u32 = 25;
const MOST: u32 = 2_000;

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub page_number: u32,
    pub page_size: u32,
    pub start: Option<Micros>,
    pub end: Option<Micros>,
    pub filter: Filter,
    pub token: Option<String>,
}

/// The parameters that have a value, in the order given.
struct Parameters(Vec<(String, String)>);

impl Asked {
    /// Read the query of a URI.
    pub(super) fn read(uri: &Uri) -> Result<Asked, Refusal> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Refusal::parameter("query", "The query of the URL cannot be read."));
        };
        let given = Parameters(pairs);
        let most_pages = i32::MAX.unsigned_abs();
        Ok(Asked {
            page_number: given.number("PageNumber", most_pages)?.unwrap_or(1),
            page_size: given.number("PageSize", MOST)?.unwrap_or(PAGE_SIZE),
            start: given.date("StartDate")?,
            end: given.date("EndDate")?,
            filter: filter(&given)?,
            token: given.get("continuationToken").map(str::to_owned),
        })
    }

    /// How many items stand before the page.
    pub(super) fn offset(&self) -> u64 {
        u64::from(self.page_number - 1) * u64::from(self.page_size)
    }

    /// The span of time: the month up to now, where nothing is said.
    pub(super) fn window(&self, now: Micros) -> Window {
        let to = self.end.unwrap_or(now).saturating_add(1);
        Window { from: self.start.unwrap_or_else(|| month_before(now)), to }
    }
}

impl Parameters {
    fn get(&self, wanted: &str) -> Option<&str> {
        let is_wanted = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(wanted);
        let (_, value) = self.0.iter().find(is_wanted)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        let wrong = || Refusal::parameter(name, format!("{name} must be from 1 to {most}."));
        number.map(Some).ok_or_else(wrong)
    }

    fn date(&self, name: &str) -> Result<Option<Micros>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || {
            let wanted = "a date and time such as 2026-01-31T12:00:00Z (in a URL a + is %2B)";
            Refusal::parameter(name, format!("{name} must be {wanted}."))
        };
        date(text).map(Some).ok_or_else(wrong)
    }
}

fn filter(given: &Parameters) -> Result<Filter, Refusal> {
    let mut parts = vec![Filter::Settled];
    if let Some(operations) = given.get("Operations") {
        let operations = operations.split('|').map(str::trim).filter(|name| !name.is_empty());
        let is = |name: &str| Filter::Text(Field::Action, TextTest::Is(name.to_owned()));
        parts.push(Filter::Any(operations.map(is).collect()));
    }
    if let Some(status) = given.get("Status") {
        parts.push(Filter::Outcome(match status {
            "Processing" => Outcome::Pending,
            "Succeded" | "Succeeded" => Outcome::Success,
            "Failed" => Outcome::Failure,
            _ => {
                let detail = "Status must be Processing, Succeded or Failed.";
                return Err(Refusal::parameter("Status", detail));
            }
        }));
    }
    for (name, kind) in [("Reseller", "reseller"), ("Customer", "customer")] {
        if let Some(part) = given.get(name) {
            let test = TextTest::Contains(part.to_owned());
            parts.push(Filter::TargetOf { kind: kind.into(), field: TargetField::Name, test });
        }
    }
    if let Some(text) = given.get("resellerId") {
        let Ok(id) = Uuid::parse_str(text) else {
            return Err(Refusal::parameter("resellerId", "resellerId must be a UUID."));
        };
        // Texts compare by bytes, and a UUID may have been written in either case.
        let spellings = [id.to_string(), id.to_string().to_uppercase()];
        let is = |id: String| of_reseller(TargetField::Id, &id);
        parts.push(Filter::Any(spellings.into_iter().flat_map(is).collect()));
    }
    Ok(Filter::All(parts))
}

/// A reseller by id or name: among the rows' resellers, or the entity itself.
pub(super) fn of_reseller(field: TargetField, text: &str) -> [Filter; 2] {
    ["reseller", "Reseller"].map(|kind| Filter::TargetOf {
        kind: kind.to_owned(),
        field,
        test: TextTest::Is(text.to_owned()),
    })
}

fn date(text: &str) -> Option<Micros> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let time = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"].iter();
    let mut time = time.filter_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN));
    Some(time.next().or_else(day)?.and_utc().timestamp_micros())
}

/// The same time of the same day a month before; of a day that month does not have, its last.
fn month_before(now: Micros) -> Micros {
    let moment = DateTime::<Utc>::from_timestamp_micros(now).unwrap_or_default();
    let before = moment.checked_sub_months(Months::new(1)).unwrap_or_default();
    before.timestamp_micros()
}
