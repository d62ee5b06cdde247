//! Whole numbers of JSON.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// A whole number of JSON: `35.0` is one, too.
#[derive(Clone, Copy)]
pub(crate) struct Whole(
    /// The number.
    pub i64,
);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        if let Some(whole) = number.as_i64() {
            return Ok(Self(whole));
        }
        let float = number.as_f64().unwrap_or(f64::NAN);
        let whole = Some(float).filter(|float| float.fract() == 0.0);
        let whole = whole.and_then(|float| format!("{float:.0}").parse().ok());
        whole
            .map(Self)
            .ok_or_else(|| D::Error::invalid_type(Unexpected::Float(float), &"a whole number of 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        for (text, whole) in [("35", 35), ("35.0", 35), ("3.5e1", 35), ("-0.0", 0)] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap().0, whole, "{text}");
        }
        for text in ["1.5", "1e300", "9223372036854775808", "\"1\"", "null", "true"] {
            assert!(serde_json::from_str::<Whole>(text).is_err(), "{text}");
        }
    }
}
