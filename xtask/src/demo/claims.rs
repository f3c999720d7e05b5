//! How the tour speaks: one line for each claim, with its number.

use std::time::Duration;

use crate::failure::{Failure, Result};

/// Prints what was seen; ends the tour if that is not what was promised.
pub(super) fn claim(holds: bool, seen: &str) -> Result<()> {
    if holds {
        println!("✓ {seen}");
        return Ok(());
    }
    println!("✗ {seen}");
    Err(Failure::new(format!("a claim of the tour does not hold: {seen}")))
}

/// Prints a line below a claim.
pub(super) fn note(line: &str) {
    println!("    {line}");
}

/// Writes a time the way people say it.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_claim_says_what_was_seen() {
        assert_eq!(claim(true, "3 rows"), Ok(()));
        let failure = claim(false, "2 rows").unwrap_err();
        assert!(failure.to_string().ends_with("2 rows"), "{failure}");
    }
}
