//! Guesses the name that was meant by a misspelt one.

/// Returns the nearest known name, if at most a quarter of the given letters are wrong.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong_max = (given.chars().count() / 4).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(wrong, _)| *wrong <= wrong_max)
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found_and_what_is_not_is_not() {
        let known = ["lease", "poll_interval", "max_in_flight", "wake"];

        for (given, meant) in [
            ("leese", Some("lease")),
            ("laese", Some("lease")),
            ("leases", Some("lease")),
            ("pol_interval", Some("poll_interval")),
            ("poll_intervall", Some("poll_interval")),
            ("max_inflight", Some("max_in_flight")),
            ("maxinflight", Some("max_in_flight")),
            ("wakke", Some("wake")),
            ("timeout", None),
            ("release", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
    }
}
