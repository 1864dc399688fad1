//! A key of an object, to be told from others at once.
//!
//! In: a key. Out: a [`Key`], compared by numbers rather than byte by byte.
//!
//! # Invariants
//! - Equal where the texts are equal, and only there.
//!
//! Deliberately unknown here: objects, paths.

/// Up to this length the two ends hold all of a key's bytes.
const ENDS: usize = 16;

/// A key with its length and both its ends as numbers.
#[derive(Debug, Clone, Copy)]
pub struct Key<T> {
    /// The key itself.
    pub text: T,
    first: u64,
    last: u64,
}

impl<T: AsRef<str>> Key<T> {
    /// Take a key's ends.
    pub fn new(text: T) -> Key<T> {
        let bytes = text.as_ref().as_bytes();
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            return Key {
                first: u64::from_le_bytes(*first),
                last: u64::from_le_bytes(*last),
                text,
            };
        }
        let first = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
            }
            _ => bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        Key { text, first, last: 0 }
    }

    /// A number that two keys seldom share.
    pub fn hash(&self) -> u64 {
        let length = self.text.as_ref().len() as u64;
        // Odd constants of random bits; a product's best bits are its highest.
        let mixed = self.first.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (self.last ^ length).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        mixed >> 32
    }

    /// Whether both are one key.
    pub fn is(&self, other: &Key<impl AsRef<str>>) -> bool {
        let (one, two) = (self.text.as_ref(), other.text.as_ref());
        let same_ends = (self.first, self.last) == (other.first, other.last);
        same_ends && one.len() == two.len() && (one.len() <= ENDS || one == two)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_one_where_their_texts_are(one in "[ab\\x00]{0,20}", other in "[ab\\x00]{0,20}") {
            let same = Key::new(&one).is(&Key::new(&other));
            prop_assert_eq!(same, one == other);
            prop_assert!(Key::new(&one).is(&Key::new(one.clone())));
        }

        #[test]
        fn a_key_that_differs_in_one_place_is_another(key in "[a-z]{1,40}", at in any::<prop::sample::Index>()) {
            let at = at.index(key.len());
            let mut other = key.clone();
            other.replace_range(at..=at, "Z");
            prop_assert!(!Key::new(&key).is(&Key::new(&other)), "{} {}", key, other);
        }
    }
}
