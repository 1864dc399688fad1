//! Rules, evaluated one by one over a tree of values.
//!
//! In: a [`Rule`] and a [`Body`]. Out: what it [`Found`], with the values it took.
//!
//! # Invariants
//! - A rule that finds nothing takes nothing.
//!
//! Deliberately unknown here: which field a rule fills.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use trailhouse::event::Micros;
use trailhouse::schema::mapping::{Piece, Rule, Separator, Take};
use trailhouse::schema::path::Path;
use trailhouse::schema::time;

use super::{Outside, at, exact, scalar_text};

/// What rules read.
#[derive(Clone, Copy)]
pub struct Body<'v, 'p> {
    /// The body, or one element of a target's array.
    pub root: &'v Value,
    /// Where the root stands in the record.
    pub prefix: &'p [String],
    /// The record's text.
    pub text: &'v str,
    pub outside: &'v Outside<'v>,
}

/// What a rule found.
pub struct Found<'v> {
    pub text: Cow<'v, str>,
    pub took: Vec<&'v Value>,
}

type Target<'v> = ([Cow<'v, str>; 3], Vec<*const Value>);

impl<'v> Body<'v, '_> {
    pub fn text(&self, rule: &'v Rule) -> Option<Found<'v>> {
        let made = |text| Found { text, took: Vec::new() };
        match rule {
            Rule::Path(path) => self.path(path),
            Rule::FirstOf(rules) => {
                rules.iter().filter_map(|rule| self.text(rule)).find(|found| !found.text.is_empty())
            }
            Rule::Const(text) => Some(made(Cow::Borrowed(text))),
            Rule::Template(pieces) => {
                let mut all = made(Cow::Borrowed(""));
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => all.text.to_mut().push_str(text),
                        Piece::Path(path) => {
                            let found = self.path(path)?;
                            all.text.to_mut().push_str(&found.text);
                            all.took.extend(found.took);
                        }
                    }
                }
                Some(all)
            }
            Rule::Lookup { of, table, otherwise } => {
                let hit = self.text(of).and_then(|found| {
                    let text = Cow::Borrowed(table.get(&*found.text)?.as_str());
                    Some(Found { text, ..found })
                });
                hit.or_else(|| otherwise.as_deref().map(|text| made(Cow::Borrowed(text))))
            }
            Rule::Lower(of) => {
                self.text(of).map(|found| made(Cow::Owned(found.text.to_lowercase())))
            }
            Rule::Split { of, by, take } => {
                let text = self.text(of)?.text;
                part(&text, by, *take).map(|part| made(Cow::Owned(part)))
            }
            Rule::Time { of, .. } | Rule::Ip(of) => self.text(of),
            Rule::Json(_) => None,
        }
    }

    pub fn time(&self, rule: &'v Rule) -> Option<(Micros, Vec<&'v Value>)> {
        match rule {
            Rule::FirstOf(rules) => rules.iter().find_map(|rule| self.time(rule)),
            Rule::Time { of, formats } => {
                let found = self.text(of)?;
                time::parse(&found.text, formats).map(|time| (time, found.took))
            }
            _ => None,
        }
    }

    pub fn ip(&self, rule: &'v Rule) -> Option<Found<'v>> {
        match rule {
            Rule::FirstOf(rules) => rules.iter().find_map(|rule| self.ip(rule)),
            Rule::Ip(of) => {
                let found = self.text(of)?;
                if let Ok(ip) = found.text.parse::<IpAddr>() {
                    let text = ip.to_canonical().to_string();
                    // The column's value for "no address".
                    let none = ip == Ipv6Addr::UNSPECIFIED;
                    return (!none).then_some(Found { text: Cow::Owned(text), ..found });
                }
                let first = found.text.split(',').next().unwrap_or_default().trim();
                let bare = first.trim_start_matches('[').trim_end_matches(']');
                let bracketed = format!("[{bare}]") == first;
                let ip = (first.parse().ok())
                    .or_else(|| first.parse::<SocketAddr>().ok().map(|address| address.ip()))
                    .or_else(|| bare.parse().ok().filter(|_| bracketed));
                let ip = ip.filter(|ip: &IpAddr| *ip != Ipv6Addr::UNSPECIFIED)?;
                Some(Found { text: Cow::Owned(ip.to_canonical().to_string()), took: Vec::new() })
            }
            _ => None,
        }
    }

    pub fn json(&self, rule: &'v Rule) -> Option<Found<'v>> {
        match rule {
            Rule::FirstOf(rules) => rules.iter().find_map(|rule| self.json(rule)),
            Rule::Json(Path::Body(path)) => {
                let value = at(self.root, path)?;
                Some(Found { text: Cow::Owned(exact(self.text, path)), took: vec![value] })
            }
            _ => None,
        }
    }

    /// Id, type and name of a thing; nothing when it has neither id nor name.
    pub fn target(&self, rules: [Option<&'v Rule>; 3]) -> Option<Target<'v>> {
        let mut took = Vec::new();
        let target = rules.map(|rule| match rule.and_then(|rule| self.text(rule)) {
            Some(found) => {
                took.extend(found.took.into_iter().map(std::ptr::from_ref));
                found.text
            }
            None => Cow::Borrowed(""),
        });
        let nothing = target[0].is_empty() && target[2].is_empty();
        (!nothing).then_some((target, took))
    }

    fn path(&self, path: &Path) -> Option<Found<'v>> {
        let outside = |text: &'v str| Found { text: Cow::Borrowed(text), took: Vec::new() };
        match path {
            Path::Body(path) => {
                let value = at(self.root, path)?;
                let text = match value {
                    Value::Number(_) => {
                        let whole: Vec<String> = self.prefix.iter().chain(path).cloned().collect();
                        scalar_text(self.text, value, &whole)
                    }
                    _ => scalar_text(self.text, value, &[]),
                };
                text.map(|text| Found { text, took: vec![value] })
            }
            Path::Header(name) => self.outside.header(name).map(outside),
            Path::CloudEvent(name) => self.outside.header(&format!("ce_{name}")).map(outside),
            Path::Key => self.outside.key.map(outside),
            Path::Topic => Some(outside(self.outside.topic)),
            Path::Wrapper(_) => None,
        }
    }
}

/// Every path of the body that a rule may read.
pub fn paths(rule: &Rule) -> Vec<&[String]> {
    match rule {
        Rule::Path(path) | Rule::Json(path) => body(path).into_iter().collect(),
        Rule::FirstOf(rules) => rules.iter().flat_map(paths).collect(),
        Rule::Template(pieces) => pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Path(path) => body(path),
                Piece::Text(_) => None,
            })
            .collect(),
        Rule::Lookup { of, .. }
        | Rule::Lower(of)
        | Rule::Split { of, .. }
        | Rule::Time { of, .. }
        | Rule::Ip(of) => paths(of),
        Rule::Const(_) => Vec::new(),
    }
}

fn body(path: &Path) -> Option<&[String]> {
    match path {
        Path::Body(segments) => Some(segments),
        _ => None,
    }
}

fn part(text: &str, by: &Separator, take: Take) -> Option<String> {
    let (parts, separator): (Vec<String>, &str) = match by {
        Separator::Text(by) => (text.split(by.as_str()).map(str::to_owned).collect(), by),
        Separator::Word => (words(text), ""),
    };
    match take {
        Take::First => parts.first().cloned(),
        Take::Last => parts.last().cloned(),
        Take::At(at) => parts.get(at).cloned(),
        Take::Range(from, to) => {
            let some: Vec<String> = parts.into_iter().take(to).skip(from).collect();
            (!some.is_empty()).then(|| some.join(separator))
        }
    }
}

/// A word ends at what is no letter or digit, before a capital, and not inside a run of capitals,
/// whose last begins the next word where a small letter follows.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after = chars.get(at + 1);
        let in_capitals = before.is_some_and(char::is_uppercase);
        let begins =
            c.is_uppercase() && (!in_capitals || after.is_some_and(|after| after.is_lowercase()));
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            // INVARIANT: there is always a last word.
            words.last_mut().into_iter().for_each(|word| word.push(*c));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
