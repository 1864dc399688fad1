//! Records that cannot become events, each broken in another way.
//!
//! In: a number. Out: bytes that end in quarantine, whichever topic they are written to.
//!
//! # Invariants
//! - The number chooses the fault in turn, and is in the bytes wherever the fault leaves room.
//!
//! Deliberately unknown here: the reason codes.

/// A record broken in one of ten ways, in turn.
pub fn broken(n: u64) -> Vec<u8> {
    match n % 10 {
        // Not JSON.
        0 => format!("<event id=\"{n}\" action=\"login\"/>").into_bytes(),
        // Truncated: the producer died while writing.
        1 => format!(r#"{{"service":"pay","actionName":"list_transactions","resource":{{"id":"{n}"#)
            .into_bytes(),
        // One key twice: parsers differ on which counts.
        2 => format!(
            r#"{{"service":"pay","actionName":"view_card","actionName":"delete_card","n":{n}}}"#
        )
        .into_bytes(),
        // Nested too deep.
        3 => {
            const LEVELS: usize = 5_000;
            let mut text = r#"{"actionData":"#.repeat(LEVELS);
            text.push_str(&n.to_string());
            text.push_str(&"}".repeat(LEVELS));
            text.into_bytes()
        }
        // Not UTF-8.
        4 => {
            let mut bytes =
                format!(r#"{{"service":"pay","actionName":"view_card","n":{n},"name":""#)
                    .into_bytes();
            bytes.extend_from_slice(b"Zo\xeb\"}");
            bytes
        }
        // JSON that nobody's events look like.
        5 => format!(r#"{{"level":"info","msg":"consumer started","pid":{n}}}"#).into_bytes(),
        // CloudTrail's without the id that every CloudTrail event has.
        6 => format!(
            r#"{{"eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1","eventTime":"2025-07-08T09:10:11Z","requestID":"{n}"}}"#
        )
        .into_bytes(),
        // Nothing.
        7 => b" \n".to_vec(),
        // JSON, but neither an object nor an array of objects.
        8 => n.to_string().into_bytes(),
        // Two records that ran together.
        _ => format!(r#"{{"n":{n}}}{{"n":{n}}}"#).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_a_row_are_broken_in_ten_ways_and_so_are_the_next() {
        for n in 0..20 {
            assert_eq!(broken(n), broken(n));
        }
        let mut kinds: Vec<Vec<u8>> = (0..10).map(broken).collect();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds.len(), 10);
        for n in [0, 1, 4, 7, 9] {
            let parsed = serde_json::from_slice::<serde_json::Value>(&broken(n));
            assert!(parsed.is_err(), "{n} is not JSON");
        }
    }
}
