//! `/v1/events/count`, `/histogram`, `/facets`: how many.
//!
//! In: the parameters of a filter, and by what to count. Out: numbers of records, and the window
//! they are of.
//!
//! # Invariants
//! - Records are counted, byte-identical repeats each.
//! - A histogram has every bucket of its window, empty ones too, and at most [`MOST_BUCKETS`]; the
//!   first and the last may reach beyond the window, and count what is inside.
//!
//! Deliberately unknown here: how a store counts.

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use serde::Serialize;

use super::ApiState;
use super::error::Problem;
use super::selection::{Span, parameters, rfc3339, selection};
use crate::access::Caller;
use crate::event::Micros;
use crate::query::{Facet, Field, Interval, Window};

/// What each question takes beside a filter.
pub(super) const OF_HISTOGRAM: [&str; 1] = ["interval"];
pub(super) const OF_FACETS: [&str; 2] = ["field", "limit"];

/// No more than this: two days by the minute, a week by five, a month by a quarter of an hour, a
/// quarter of a year by the hour.
const MOST_BUCKETS: i64 = 3_000;
/// Without an interval, the finest that makes no more than this.
const USUAL_BUCKETS: i64 = 120;

const FACET_VALUES: u32 = 20;
const MOST_FACET_VALUES: u32 = 1_000;

#[derive(Serialize)]
pub(super) struct Count {
    count: u64,
    window: Span,
}

#[derive(Serialize)]
pub(super) struct Histogram {
    interval: &'static str,
    buckets: Vec<Bar>,
    window: Span,
}

#[derive(Serialize)]
struct Bar {
    from: String,
    count: u64,
}

#[derive(Serialize)]
pub(super) struct FacetAnswer {
    field: String,
    values: Vec<Valued>,
    other_values: u64,
    other_count: u64,
    window: Span,
}

#[derive(Serialize)]
struct Valued {
    value: String,
    count: u64,
}

pub(super) async fn count(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Count>, Problem> {
    let selection = selection(&parameters(&uri, &[])?, &caller, &state.tenants, (state.now)())?;
    let count = state.reader.count(&selection).await?;
    Ok(Json(Count { count, window: selection.window.into() }))
}

pub(super) async fn histogram(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Histogram>, Problem> {
    let parameters = parameters(&uri, &OF_HISTOGRAM)?;
    let selection = selection(&parameters, &caller, &state.tenants, (state.now)())?;
    let asked = parameters.word("interval", &Interval::ALL, Interval::as_str)?;
    let interval = interval(asked, selection.window)?;
    let found = state.reader.histogram(&selection, interval).await?;
    let mut found = found.into_iter().peekable();
    let bar = |from: Micros| {
        let count = found.next_if(|bucket| bucket.from == from).map_or(0, |bucket| bucket.count);
        Bar { from: rfc3339(from), count }
    };
    let buckets = starts(interval, selection.window).map(bar).collect();
    let window = selection.window.into();
    Ok(Json(Histogram { interval: interval.as_str(), buckets, window }))
}

pub(super) async fn facets(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<FacetAnswer>, Problem> {
    let parameters = parameters(&uri, &OF_FACETS)?;
    let name = parameters.get("field").unwrap_or_default();
    let facet = Facet::parse(name).ok_or_else(|| no_facet(name))?;
    let limit = parameters.number("limit", 1, MOST_FACET_VALUES)?.unwrap_or(FACET_VALUES);
    let selection = selection(&parameters, &caller, &state.tenants, (state.now)())?;
    let found = state.reader.facets(&selection, &facet, limit).await?;
    let valued = found.values.into_iter();
    Ok(Json(FacetAnswer {
        field: facet.to_string(),
        values: valued.map(|found| Valued { value: found.value, count: found.count }).collect(),
        other_values: found.other_values,
        other_count: found.other_count,
        window: selection.window.into(),
    }))
}

/// The interval asked for, or the finest that draws a readable picture.
fn interval(asked: Option<Interval>, window: Window) -> Result<Interval, Problem> {
    let fits = |most: i64| move |interval: &Interval| buckets(*interval, window) <= most;
    let usual = || Interval::ALL.into_iter().find(fits(USUAL_BUCKETS));
    let interval = asked.or_else(usual).unwrap_or(Interval::OneWeek);
    if fits(MOST_BUCKETS)(&interval) {
        return Ok(interval);
    }
    let mut allowed: Vec<String> = Interval::ALL
        .iter()
        .filter(|interval| fits(MOST_BUCKETS)(interval))
        .map(|interval| interval.as_str().to_owned())
        .collect();
    allowed.push("a shorter window".to_owned());
    let buckets = buckets(interval, window);
    let detail = format!(
        "interval {} makes {buckets} buckets of this window; the most is {MOST_BUCKETS}",
        interval.as_str()
    );
    Err(Problem::costly("interval", detail, allowed))
}

fn buckets(interval: Interval, window: Window) -> i64 {
    let reach = window.to.saturating_sub(interval.start(window.from)).max(0);
    reach.div_euclid(interval.micros()) + i64::from(reach.rem_euclid(interval.micros()) > 0)
}

/// Where each bucket of a window begins.
fn starts(interval: Interval, window: Window) -> impl Iterator<Item = Micros> {
    let first = interval.start(window.from);
    let most = if window.from < window.to { buckets(interval, window) } else { 0 };
    (0..most).map(move |number| first + number * interval.micros())
}

fn no_facet(name: &str) -> Problem {
    let words = Facet::WORDS.into_iter().map(|(name, _)| name);
    let known = Field::NAMED.into_iter().map(|(name, _)| name).chain(words);
    let allowed: Vec<String> = known.chain(["attributes.NAME"]).map(str::to_owned).collect();
    let distance = |other: &&String| strsim::damerau_levenshtein(name, other);
    let nearest = allowed.iter().min_by_key(distance).cloned().unwrap_or_default();
    let detail = match name {
        "" => "field is missing: name the field whose values are counted".to_owned(),
        _ => format!("field is {name:?}, whose values cannot be counted; the nearest is {nearest}"),
    };
    Problem::parameter("field", detail, allowed)
}
