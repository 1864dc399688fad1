//! The filter of every question: one reading of parameters for pages, counts and exports.
//!
//! In: query parameters, a caller, the clock. Out: a [`Selection`], so that whatever is asked with
//! the same parameters is asked of the same events.
//!
//! # Invariants
//! - All conditions hold: each parameter's, and `q`.
//! - The window is `from` and `to`; where they are silent, what `q` demands of `occurred_at`; where
//!   that is silent too, the last 24 hours. Every answer says it.
//! - A window is half-open, `[from, to)`, in microseconds since the Unix epoch; one that ends where it
//!   begins, or is said to end before, has nothing in it.
//!
//! Deliberately unknown here: what is done with what is selected.

use axum::http::Uri;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::error::Problem;
use super::parameter::Parameters;
use crate::access::{Caller, Tenants};
use crate::event::{Micros, Origin, Outcome, Verb};
use crate::query::{
    Comparison, Field, Filter, Selection, TenantScope, TextTest, TimeField, Window, language,
};

const DAY: Micros = 86_400_000_000;

/// What selects beside the text fields.
const OTHERS: [&str; 7] = ["q", "from", "to", "verb", "outcome", "origin", "client_ip"];

/// Every parameter of a filter that may be given once; `tenant` may be given often.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let fields = Field::NAMED.into_iter().filter(|(_, field)| *field != Field::Tenant);
    OTHERS.into_iter().chain(fields.map(|(name, _)| name))
}

/// The parameters of a question: a filter's, and its own.
pub(super) fn parameters(uri: &Uri, own: &[&'static str]) -> Result<Parameters, Problem> {
    let once: Vec<&str> = names().chain(own.iter().copied()).collect();
    Parameters::read(uri, &once, &["tenant"])
}

/// Whose logs are asked for: of those that are named, by whichever of their names, the caller's.
pub(super) fn scope(
    parameters: &Parameters,
    caller: &Caller,
    known: &Tenants,
) -> Result<TenantScope, Problem> {
    let named = parameters.list("tenant")?;
    let stored: Vec<String> = named.iter().map(|name| known.resolve(name).to_owned()).collect();
    Ok(caller.scope(&stored))
}

/// What the parameters select; relative times are counted from `now`.
pub(super) fn selection(
    parameters: &Parameters,
    caller: &Caller,
    known: &Tenants,
    now: Micros,
) -> Result<Selection, Problem> {
    let query = query(parameters, now)?;
    let window = window(parameters, &query, now)?;
    let tenants = scope(parameters, caller, known)?;
    Ok(Selection { tenants, window, filter: filter(parameters, query)? })
}

/// The same of whatever is stored next, which no window cuts that is not asked for.
pub(super) fn unbounded(
    parameters: &Parameters,
    caller: &Caller,
    known: &Tenants,
    now: Micros,
) -> Result<(TenantScope, Filter), Problem> {
    let mut all = vec![filter(parameters, query(parameters, now)?)?];
    for (name, comparison) in [("from", Comparison::AtLeast), ("to", Comparison::Less)] {
        let at = parameters.time(name, now)?;
        all.extend(at.map(|at| Filter::Time(TimeField::OccurredAt, comparison, at)));
    }
    Ok((scope(parameters, caller, known)?, Filter::All(all)))
}

/// A window as an answer says it.
#[derive(Serialize)]
pub(super) struct Span {
    from: String,
    to: String,
}

impl From<Window> for Span {
    fn from(window: Window) -> Span {
        Span { from: rfc3339(window.from), to: rfc3339(window.to) }
    }
}

pub(super) fn rfc3339(micros: Micros) -> String {
    let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What `q` says.
fn query(parameters: &Parameters, now: Micros) -> Result<Filter, Problem> {
    let Some(text) = parameters.get("q") else { return Ok(Filter::everything()) };
    language::parse(text, now).map_err(|error| {
        let detail = format!("q, {error}");
        Problem::parameter("q", detail, error.expected)
    })
}

fn window(parameters: &Parameters, query: &Filter, now: Micros) -> Result<Window, Problem> {
    let (from, to) = (parameters.time("from", now)?, parameters.time("to", now)?);
    let (query_from, query_to) = query.bounds();
    let to = to.or(query_to).unwrap_or(now);
    let from = from.or(query_from).unwrap_or(to.saturating_sub(DAY));
    // Nothing happened before it began: so asks who goes on from the last event they saw, and is
    // told nothing new, also where their clock is ahead of ours.
    Ok(Window { from, to: to.max(from) })
}

fn filter(parameters: &Parameters, query: Filter) -> Result<Filter, Problem> {
    let mut all = Vec::new();
    for (name, field) in Field::NAMED {
        if let Some(text) = parameters.get(name).filter(|_| field != Field::Tenant) {
            all.push(Filter::Text(field, TextTest::Is(text.to_owned())));
        }
    }
    let verb = parameters.word("verb", &Verb::ALL, Verb::as_str)?;
    let outcome = parameters.word("outcome", &Outcome::ALL, Outcome::as_str)?;
    let origin = parameters.word("origin", &Origin::ALL, Origin::as_str)?;
    all.extend(verb.map(Filter::Verb));
    all.extend(outcome.map(Filter::Outcome));
    all.extend(origin.map(Filter::Origin));
    all.extend(client_ip(parameters)?);
    if query != Filter::everything() {
        all.push(query);
    }
    Ok(Filter::All(all))
}

fn client_ip(parameters: &Parameters) -> Result<Option<Filter>, Problem> {
    let Some(text) = parameters.get("client_ip") else { return Ok(None) };
    let Some(network) = language::network(text) else {
        let detail =
            format!("client_ip is {text:?}; it is an IP address or a network, without port");
        let allowed = ["203.0.113.7", "203.0.113.0/24", "2001:db8::1", "2001:db8::/32"];
        return Err(Problem::parameter("client_ip", detail, allowed.map(str::to_owned).to_vec()));
    };
    Ok(Some(Filter::ClientIp(network)))
}
