//! A time as people type it: an age (`1h` = one hour ago) or an RFC 3339 timestamp. The database computes ages: its clock
//! is the only one.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Problems;

/// A hundred years: there are no older events, and PostgreSQL's timestamps end somewhere.
const AGO_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// A time that somebody typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeArgument {
    /// An age, by the database's clock.
    Ago(Duration),
    /// An RFC 3339 timestamp, kept as it was typed.
    At(String),
}

impl TimeArgument {
    /// Parses a text; `None` and a problem if it is neither.
    pub(crate) fn parse(name: &str, text: &str, problems: &mut Problems) -> Option<Self> {
        let text = text.trim();
        // A bare 0 is a duration for humantime, and has no unit.
        let ago = humantime::parse_duration(text).ok().filter(|ago| *ago <= AGO_MAX && text != "0");
        let at = || OffsetDateTime::parse(text, &Rfc3339).ok().map(|_| Self::At(text.to_owned()));
        let parsed = ago.map(Self::Ago).or_else(at);
        if parsed.is_none() {
            problems.add(
                name,
                "needs an age with a unit, as 1h or 7d, or an RFC 3339 time, as 2026-01-31T12:00:00Z",
                Some(text),
            );
        }
        parsed
    }

    /// Whether it is later than another of the same form. Only the database can compare an age with a timestamp: `false`.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ago(this), Self::Ago(other)) => this < other,
            (Self::At(this), Self::At(other)) => instant(this) > instant(other),
            (Self::Ago(_), Self::At(_)) | (Self::At(_), Self::Ago(_)) => false,
        }
    }
}

fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_long_ago_needs_a_unit() {
        assert_eq!(parse("90m"), Some(TimeArgument::Ago(Duration::from_mins(90))));
        assert_eq!(parse("1h 30m"), Some(TimeArgument::Ago(Duration::from_mins(90))));
        for wrong in ["", "0", "5", "-1h", "1 fortnight", "101years"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_is_kept_as_it_was_given() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456+05:30", "1999-12-31T23:59:59-00:00"]
        {
            assert_eq!(parse(text), Some(TimeArgument::At(text.to_owned())));
        }
    }

    #[test]
    fn a_time_that_is_none_or_has_no_zone_is_refused() {
        for wrong in [
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-02-30T12:00:00Z",
            "12:00",
            "yesterday",
            "now",
            "infinity",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_compared_whatever_their_zones() {
        let later = TimeArgument::At("2026-01-31T12:00:00Z".to_owned());
        let earlier = TimeArgument::At("2026-01-31T12:30:00+01:00".to_owned());

        assert!(later.is_after(&earlier));
        assert!(!earlier.is_after(&later));
        assert!(TimeArgument::Ago(Duration::ZERO).is_after(&TimeArgument::Ago(Duration::from_secs(1))));
    }

    fn parse(text: &str) -> Option<TimeArgument> {
        let mut problems = Problems::default();
        let parsed = TimeArgument::parse("since", text, &mut problems);
        assert_eq!(parsed.is_none(), !problems.is_empty());
        parsed
    }
}
