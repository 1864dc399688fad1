//! Reading parts, words and addresses out of a text, fitting it to a pattern, making one text of some.
//!
//! In: a text as a source wrote it. Out: its parts or words, or the address in it.
//!
//! # Invariants
//! - Parts and words are slices of the text, in its order; what stands between them belongs to none.
//!
//! Deliberately unknown here: rules, fields.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use memchr::memmem::Finder;

/// Texts one behind the other.
pub fn joined<'a, const N: usize>(parts: [&str; N], arena: &'a Bump) -> &'a str {
    let bytes = parts.iter().map(|part| part.len()).sum();
    let mut text = BumpString::with_capacity_in(bytes, arena);
    parts.iter().for_each(|part| text.push_str(part));
    text.into_bump_str()
}

/// The parts of a text between separators, which are not empty: what `split` gives, but a finder
/// that was made once is much faster on texts as short as these.
pub fn parts<'t>(text: &'t str, separator: &Finder<'_>) -> impl Iterator<Item = &'t str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = separator.find(text.as_bytes()) else { return rest.take() };
        rest = Some(&text[at + separator.needle().len()..]);
        Some(&text[..at])
    })
}

/// `CreateOrder`, `create_order`, `create-order`, `create.order`, `create order`: two words each.
/// A run of capitals is one word (`createSSOProvider`: create, SSO, Provider).
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        if rest.is_empty() {
            return None;
        }
        let (word, tail) = rest.split_at(end_of_word(rest));
        rest = tail;
        Some(word)
    })
}

/// Where the word ends that a text begins with.
fn end_of_word(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let mut in_capitals = false;
    while let Some((at, c)) = chars.next() {
        let small_follows = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
        let begins = c.is_uppercase() && (!in_capitals || small_follows);
        if !c.is_alphanumeric() || (begins && at > 0) {
            return at;
        }
        in_capitals = c.is_uppercase();
    }
    text.len()
}

/// The first address of a list, or one with a port.
pub fn first_address(text: &str) -> Option<IpAddr> {
    let first = text.split(',').next().unwrap_or_default().trim();
    let bracketed = first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    first
        .parse::<IpAddr>()
        .or_else(|_| first.parse::<SocketAddr>().map(|address| address.ip()))
        .or_else(|_| bracketed.unwrap_or_default().parse())
        .ok()
}

/// An IPv4 address stands in IPv6 as `::ffff:a.b.c.d`.
pub fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_those_of_a_split(text in "[ab:é]{0,20}", separator in "[ab:é]{1,3}") {
            let found: Vec<_> = parts(&text, &Finder::new(&separator)).collect();
            prop_assert_eq!(found, text.split(&separator).collect::<Vec<_>>());
        }
    }

    #[test]
    fn words_end_where_a_reader_would_end_them() {
        let table: [(&str, &[&str]); 9] = [
            ("CreateOrder", &["Create", "Order"]),
            ("create_order", &["create", "order"]),
            ("create-order.now", &["create", "order", "now"]),
            ("createSSOProvider", &["create", "SSO", "Provider"]),
            ("SSO", &["SSO"]),
            ("login", &["login"]),
            ("v2Update", &["v2", "Update"]),
            ("ÄndereAuftrag", &["Ändere", "Auftrag"]),
            ("", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn an_address_is_found_with_a_port_in_brackets_or_first_in_a_list() {
        for text in ["1.2.3.4", "1.2.3.4:80", "1.2.3.4, 5.6.7.8", " 1.2.3.4 "] {
            assert_eq!(first_address(text), Some("1.2.3.4".parse().unwrap()), "{text}");
        }
        for text in ["2001:db8::1", "[2001:db8::1]:443", "[2001:db8::1]"] {
            assert_eq!(first_address(text), Some("2001:db8::1".parse().unwrap()), "{text}");
        }
        for text in ["", "AWS Internal", "s3.amazonaws.com", "1.2.3", "[::1", "host:80"] {
            assert_eq!(first_address(text), None, "{text}");
        }
    }
    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let table = [
            ("audit.pace", "audit.pace", true),
            ("audit.pace", "audit.pace.eu", false),
            ("audit.*", "audit.pace", true),
            ("audit.*", "audit", false),
            ("*.pace", "audit.pace", true),
            ("*.pace", "audit.pace.eu", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
