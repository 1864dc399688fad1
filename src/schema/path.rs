//! Where a rule finds a value: `a.b.c`, `list.0`, `a."dotted.key"`, `@header.tenant`.
//!
//! In: the text of a path in a mapping file. Out: a [`Path`], which prints as it was written.
//!
//! # Invariants
//! - A printed path parses to itself; a segment that holds a dot, a quote or a backslash is
//!   printed quoted, so an attribute's name says exactly which value it is.
//!
//! Deliberately unknown here: JSON.

use std::fmt;

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// In the body.
    Body(Vec<String>),
    /// In the wrapper the element came in: `@wrapper.a.b`.
    Wrapper(Vec<String>),
    /// A header of the record: `@header.NAME`.
    Header(String),
    /// A CloudEvents attribute: `@ce.NAME`.
    CloudEvent(String),
    /// The record's key: `@key`.
    Key,
    /// The record's topic: `@topic`.
    Topic,
}

impl Path {
    /// Read a path; the error is the rest of a sentence.
    pub fn parse(text: &str) -> Result<Path, String> {
        let Some(outside) = text.strip_prefix('@') else {
            return Ok(Path::Body(segments(text)?));
        };
        // `@timestamp` and its like are ordinary keys; only the five names below mean something.
        let (name, rest) = outside.split_once('.').unwrap_or((outside, ""));
        match name {
            "key" if rest.is_empty() => Ok(Path::Key),
            "topic" if rest.is_empty() => Ok(Path::Topic),
            "header" if !rest.is_empty() => Ok(Path::Header(rest.to_owned())),
            "ce" if !rest.is_empty() => Ok(Path::CloudEvent(rest.to_owned())),
            "wrapper" if !rest.is_empty() => Ok(Path::Wrapper(segments(rest)?)),
            "header" | "ce" | "wrapper" => Err(format!("`@{name}` needs a name after a dot")),
            _ => Ok(Path::Body(segments(text)?)),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Body(segments) => f.write_str(&joined(segments)),
            Path::Wrapper(segments) => write!(f, "@wrapper.{}", joined(segments)),
            Path::Header(name) => write!(f, "@header.{name}"),
            Path::CloudEvent(name) => write!(f, "@ce.{name}"),
            Path::Key => f.write_str("@key"),
            Path::Topic => f.write_str("@topic"),
        }
    }
}

/// Append one segment to a printed path, quoted where it must be.
pub fn push_segment(path: &mut String, segment: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    if !needs_quotes(segment) {
        path.push_str(segment);
        return;
    }
    path.push('"');
    for c in segment.chars() {
        if matches!(c, '"' | '\\') {
            path.push('\\');
        }
        path.push(c);
    }
    path.push('"');
}

/// Whether a key can stand in a path only between quotes.
pub fn needs_quotes(segment: &str) -> bool {
    // Most segments are bare: to look at all their bytes is quicker than to stop at one.
    let special = |any, byte| any | SPECIAL[usize::from(byte)];
    segment.is_empty() || segment.bytes().fold(false, special)
}

/// The bytes that a bare segment cannot hold: one look at a table is quicker than three compares.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    special[b'.' as usize] = true;
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

fn joined(segments: &[String]) -> String {
    let mut path = String::new();
    for segment in segments {
        push_segment(&mut path, segment);
    }
    path
}

fn segments(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let (segment, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_segment(quoted, text)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if segment.is_empty() && !rest.starts_with('"') {
            return Err(format!("the path `{text}` has an empty part"));
        }
        found.push(segment);
        rest = match tail.strip_prefix('.') {
            Some(more) => more,
            None if tail.is_empty() => return Ok(found),
            None => return Err(format!("the path `{text}` needs a dot after a closing quote")),
        };
    }
}

fn quoted_segment<'t>(quoted: &'t str, whole: &str) -> Result<(String, &'t str), String> {
    let mut segment = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((segment, &quoted[at + 1..])),
            '\\' => segment.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => segment.push(c),
        }
    }
    Err(format!("the path `{whole}` has a quote that is not closed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_names_outside_the_body_are_told_from_keys_that_begin_with_an_at_sign() {
        assert_eq!(Path::parse("@key"), Ok(Path::Key));
        assert_eq!(Path::parse("@header.tenant"), Ok(Path::Header("tenant".into())));
        assert_eq!(Path::parse("@timestamp"), Ok(Path::Body(vec!["@timestamp".into()])));
        assert_eq!(Path::parse("@wrapper.a.b"), Ok(Path::Wrapper(vec!["a".into(), "b".into()])));
        for bad in ["", "a..b", ".a", "a.", "\"a", "\"a\"b", "@header", "@ce."] {
            assert!(Path::parse(bad).is_err(), "{bad} is no path");
        }
    }

    proptest! {
        #[test]
        fn a_printed_path_parses_to_itself(parts in prop::collection::vec("[a-z@.\"\\\\ 0]*", 1..4)) {
            let path = Path::Body(parts.clone());
            let clash = parts[0].starts_with('@');
            prop_assume!(!clash);
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }
    }
}
