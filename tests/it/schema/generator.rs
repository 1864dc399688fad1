//! Any mapping and any record, whose keys and paths meet often.
//!
//! In: proptest's randomness. Out: mapping files as TOML, records as JSON text.
//!
//! # Invariants
//! - A mapping that comes out is one that `parse` accepts.
//! - Paths that capture (`json`, `each`, `unwrap`) have roots of their own: what two captures of
//!   one value would mean is not said by docs/SCHEMAS.md.
//! - Numbers stay within `f64`, strings without lone surrogates: a `serde_json::Value` holds
//!   neither. Tables test those.
//!
//! Deliberately unknown here: what either means.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use trailhouse::schema::path::Path;

const KEYS: [&str; 12] = ["a", "b", "c", "0", "1", "d.e", "x\"y\\", "ä", "", "named", "@t", "f"];
/// Roots of captured JSON, of targets' arrays, and of strings that are JSON.
const SPECIAL: [&str; 5] = ["j", "k", "e", "t", "u"];
const TEXTS: [&str; 28] = [
    "",
    "null",
    "a",
    "ä",
    "create",
    "success",
    "api",
    "CreateOrder",
    "createSSOProvider",
    "order.placed.now",
    "create_order-now",
    "x/y",
    "ÄndereAuftrag",
    "2025-06-15T15:06:40.123456789Z",
    "2025-06-15T17:06:40+02:00",
    "2025-06-15 15:06:40.5",
    "2025-06-15T15:06:40",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "1.2.3.4",
    "1.2.3.4:80",
    "[2001:db8::1]:80",
    "2001:db8::1, 10.0.0.1",
    "::",
    "::ffff:1.2.3.4",
    "0.0.0.0",
    "host.example",
    "tab\tquote\"back\\slash/ line\n\u{1F600}\u{2028}",
];
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "-0.0",
    "7",
    "-1",
    "1.50",
    "1E+2",
    "0.1e-7",
    "1750000000",
    "1750000000123",
    "1750000000.5",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890.000",
    "1.7976931348623157e308",
    "5e-324",
    "1e-999",
];

/// A JSON value as it will be written.
#[derive(Debug, Clone)]
pub enum Json {
    Word(&'static str),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A string that holds JSON.
    Wrapped(Box<Json>),
}

/// How a record is written: white space and escapes, by a seed.
#[derive(Debug, Clone, Copy)]
pub struct Style(pub u64);

impl Json {
    /// The text, in a style.
    pub fn write(&self, style: &mut Style) -> String {
        let mut text = String::new();
        self.append(style, &mut text);
        text
    }

    fn append(&self, style: &mut Style, text: &mut String) {
        style.space(text);
        match self {
            Json::Word(word) => text.push_str(word),
            Json::Number(number) => text.push_str(number),
            Json::Text(content) => style.quote(content, text),
            Json::Wrapped(inner) => {
                let content = inner.write(style);
                style.quote(&content, text);
            }
            Json::Array(elements) => {
                text.push('[');
                for (at, element) in elements.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    element.append(style, text);
                }
                style.space(text);
                text.push(']');
            }
            Json::Object(members) => {
                text.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    style.space(text);
                    style.quote(key, text);
                    style.space(text);
                    text.push(':');
                    value.append(style, text);
                }
                style.space(text);
                text.push('}');
            }
        }
        style.space(text);
    }
}

impl Style {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides
    }

    fn space(&mut self, text: &mut String) {
        if self.throw(6) == 0 {
            text.push_str([" ", "\n", "\t", "\r\n  "][self.throw(4) as usize]);
        }
    }

    fn quote(&mut self, content: &str, text: &mut String) {
        text.push('"');
        for c in content.chars() {
            let escape = self.throw(12) == 0;
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                '/' if escape => text.push_str("\\/"),
                c if escape || c < ' ' => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // INVARIANT: writing to a String cannot fail.
                        let _ = write!(text, "\\u{unit:04x}");
                    }
                }
                c => text.push(c),
            }
        }
        text.push('"');
    }
}

/// A record: an object with any of the keys, and often the special ones.
pub fn record() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        1 => select(&["null", "true", "false"][..]).prop_map(Json::Word),
        2 => select(&NUMBERS[..]).prop_map(|number| Json::Number(number.to_owned())),
        1 => "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?(e-?[0-9]{1,2})?".prop_map(Json::Number),
        6 => select(&TEXTS[..]).prop_map(|text| Json::Text(text.to_owned())),
        1 => any::<String>().prop_map(Json::Text),
    ];
    let value = scalar.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![3 => select(&KEYS[..]), 1 => select(&SPECIAL[..])];
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Json::Array),
            4 => (vec((key, inner.clone()), 0..4), 0..200_u8).prop_map(object),
            1 => inner.prop_map(|inner| Json::Wrapped(Box::new(inner))),
        ]
    });
    let key = prop_oneof![2 => select(&KEYS[..]), 1 => select(&SPECIAL[..])];
    (vec((key, value), 0..9), 0..200_u8).prop_map(object)
}

/// Keys are made unique, but for one object in two hundred.
fn object((mut members, luck): (Vec<(&'static str, Json)>, u8)) -> Json {
    if luck > 0 {
        let mut seen = std::collections::HashSet::new();
        members.retain(|(key, _)| seen.insert(*key));
    }
    Json::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A mapping file named `any`.
pub fn mapping() -> impl Strategy<Value = String> {
    let words = |words: &'static [&'static str]| {
        prop_oneof![rule(Some(words)), lookup(path().prop_map(|p| toml(&p)).boxed(), Some(words))]
    };
    let texts = [
        "source_id",
        "tenant",
        "service",
        "reason",
        "message",
        "actor.id",
        "actor.type",
        "actor.name",
        "actor.email",
        "target.id",
        "target.type",
        "target.name",
        "user_agent",
        "country",
        "session_id",
        "request_id",
    ];
    let texts = texts.map(|name| option::weighted(0.4, rule(None)).prop_map(move |r| (name, r)));
    let action = prop_oneof![
        1 => rule(None),
        3 => rule(None).prop_map(|rule| format!("{{ first_of = [{rule}, {{ const = \"act\" }}] }}")),
    ];
    let others = (
        action.prop_map(|rule| ("action", Some(rule))),
        option::of(words(&["create", "other"])).prop_map(|rule| ("verb", rule)),
        option::of(words(&["success", "failure"])).prop_map(|rule| ("outcome", rule)),
        option::of(words(&["api", "system"])).prop_map(|rule| ("origin", rule)),
        option::of(time()).prop_map(|rule| ("occurred_at", rule)),
        option::of(chosen("ip", rule(None))).prop_map(|rule| ("client_ip", rule)),
        option::of(Just("{ json = \"j\" }".to_owned())).prop_map(|rule| ("changes.old", rule)),
        option::of(Just("{ first_of = [{ json = \"k.a\" }, { json = \"k.b\" }] }".to_owned()))
            .prop_map(|rule| ("changes.new", rule)),
    );
    let attribute = select(&["named", "mine", "d.e", "a"][..]);
    let attributes = proptest::collection::btree_map(attribute, rule(None), 0..3);
    let unwrap = proptest::sample::subsequence(vec!["u", "u.a", "f.b"], 0..=3);
    let required = proptest::sample::subsequence(
        vec!["source_id", "occurred_at", "client_ip", "actor.id", "changes.old", "verb"],
        0..=2,
    );
    (texts, others, attributes, targets(), unwrap, required, prop::bool::weighted(0.85)).prop_map(
        |(texts, others, attributes, targets, unwrap, required, rest)| {
            let (a, b, c, d, e, f, g, h) = others;
            let fields: Vec<_> = texts.into_iter().chain([a, b, c, d, e, f, g, h]).collect();
            let ruled = |field: &&str| fields.iter().any(|(name, r)| name == field && r.is_some());
            let required: Vec<&str> = required.into_iter().filter(ruled).collect();
            let mut file = format!(
                "name = \"any\"\nversion = 7\nabout = \"any\"\nrest = {rest}\nunwrap = {unwrap:?}\n\
                 required = {required:?}\n[event]\n"
            );
            for (name, rule) in &fields {
                rule.iter().for_each(|rule| writeln!(file, "{name} = {rule}").unwrap());
            }
            for (name, rule) in attributes {
                writeln!(file, "attributes.{name:?} = {rule}").unwrap();
            }
            writeln!(file, "targets = [{}]", targets.join(", ")).unwrap();
            file
        },
    )
}

fn targets() -> impl Strategy<Value = Vec<String>> {
    let part =
        |name| option::of(rule(None)).prop_map(move |rule| rule.map(|r| format!("{name} = {r}")));
    let parts = (part("id"), part("type"), part("name"))
        .prop_map(|(id, kind, name)| [id, kind, name].into_iter().flatten().collect::<Vec<_>>());
    let plain = parts.clone().prop_map(|parts| format!("{{ {} }}", parts.join(", ")));
    let over = |each: &'static str| {
        option::of(parts.clone()).prop_map(move |parts| {
            parts.map(|parts| format!("{{ each = \"{each}\", {} }}", parts.join(", ")))
        })
    };
    // An array is gone over at most once: what a second rule leaves over, the first may have taken.
    (vec(plain, 0..3), over("e"), over("t.a")).prop_map(|(mut all, first, second)| {
        all.extend(first);
        all.insert(0, second.unwrap_or_else(|| "{ name = \"t.b\" }".to_owned()));
        all
    })
}

fn path() -> impl Strategy<Value = String> {
    let body = prop_oneof![
        5 => vec(select(&KEYS[..]), 1..4),
        // Whatever stands at a captured place; what stands in a string that is JSON, or in what
        // is captured whole.
        1 => select(&SPECIAL[..]).prop_map(|root| vec![root]),
        2 => (select(&["u", "j", "k"][..]), vec(select(&KEYS[..]), 1..3))
            .prop_map(|(root, mut keys)| { keys.insert(0, root); keys }),
    ]
    .prop_map(|keys| Path::Body(keys.into_iter().map(str::to_owned).collect()).to_string());
    prop_oneof![
        10 => body,
        1 => select(&["@key", "@topic", "@header.tenant", "@header.no", "@ce.type", "@ce.no"][..])
            .prop_map(str::to_owned),
    ]
}

type Words = Option<&'static [&'static str]>;

/// A rule for text; constants are of the words, where the field has words.
fn rule(words: Words) -> impl Strategy<Value = String> + Clone {
    let leaf = prop_oneof![
        6 => path().prop_map(|path| toml(&path)),
        1 => constant(words).prop_map(|text| format!("{{ const = {} }}", toml(&text))),
        1 => (path_in_template(), path_in_template(), select(&["", "/", "{", "x "][..])).prop_map(
            |(one, other, between)| {
                let between = between.replace('{', "-");
                format!("{{ template = {} }}", toml(&format!("{{{one}}}{between}{{{other}}}")))
            },
        ),
    ];
    leaf.prop_recursive(3, 8, 3, move |inner| {
        prop_oneof![
            chosen("path", path().prop_map(|path| toml(&path))),
            vec(inner.clone(), 1..4)
                .prop_map(|all| format!("{{ first_of = [{}] }}", all.join(", "))),
            chosen("lower", inner.clone()),
            (inner.clone(), select(&["word", ".", "e", "ä"][..]), take()).prop_map(
                |(of, by, take)| format!("{{ split = {of}, by = {by:?}, take = {take} }}")
            ),
            lookup(inner.boxed(), words),
        ]
    })
    .boxed()
}

/// A path that may stand between braces.
fn path_in_template() -> impl Strategy<Value = String> {
    path().prop_filter("no brace in it", |path| !path.contains(['{', '}']))
}

fn lookup(of: BoxedStrategy<String>, words: Words) -> impl Strategy<Value = String> {
    let table = proptest::collection::btree_map(select(&TEXTS[..]), constant(words), 0..4);
    (of, table, option::of(constant(words))).prop_map(|(of, table, otherwise)| {
        let entry = |(key, text): (&str, String)| format!("{} = {}", toml(key), toml(&text));
        let table: Vec<String> = table.into_iter().map(entry).collect();
        let otherwise = otherwise.map(|text| format!(", otherwise = {}", toml(&text)));
        let otherwise = otherwise.unwrap_or_default();
        format!("{{ lookup = {of}, table = {{ {} }}{otherwise} }}", table.join(", "))
    })
}

fn time() -> impl Strategy<Value = String> {
    let formats = ["rfc3339", "epoch_s", "epoch_ms", "epoch_us", "%Y-%m-%d %H:%M:%S%.f"];
    let formats = proptest::sample::subsequence(formats.to_vec(), 1..=3).prop_shuffle();
    let one = (rule(None), formats)
        .prop_map(|(of, formats)| format!("{{ time = {of}, formats = {formats:?} }}"));
    vec(one, 1..3).prop_map(|all| match &all[..] {
        [one] => one.clone(),
        _ => format!("{{ first_of = [{}] }}", all.join(", ")),
    })
}

fn take() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&["\"first\"", "\"last\"", "0", "1", "\"0..2\"", "\"1..2\"", "\"3..9\""][..])
            .prop_map(str::to_owned),
    ]
}

fn constant(words: Words) -> BoxedStrategy<String> {
    select(words.unwrap_or(&TEXTS)).prop_map(str::to_owned).boxed()
}

fn chosen(
    operator: &'static str,
    of: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    of.prop_map(move |of| format!("{{ {operator} = {of} }}"))
}

/// Text as a TOML string; JSON's escapes are TOML's too.
fn toml(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
