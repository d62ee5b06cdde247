//! Times as people want them: how long ago, or how soon, by the database's clock.

use std::time::{Duration, SystemTime};

use crate::store::{Store, StoreError};

/// The present of the database.
pub(super) struct Now(Option<SystemTime>);

impl Now {
    /// Asks the database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(parse(&store.read_time(Duration::ZERO).await?)))
    }

    /// How long ago a time of the database was, as `8 min`. `None` if it is not in the past, or not known.
    pub(super) fn age(&self, time: Option<&String>) -> Option<String> {
        let age = self.0?.duration_since(parse(time?)?).ok()?;
        Some(span(age))
    }

    /// A time of the database, as `8 min ago` or `in 47 s`; a dash for `None`.
    pub(super) fn relative(&self, time: Option<&String>) -> String {
        let Some(text) = time else { return "-".to_owned() };
        let (Some(now), Some(time)) = (self.0, parse(text)) else { return super::output::time(text) };
        match now.duration_since(time) {
            Ok(age) if age < Duration::from_secs(1) => "now".to_owned(),
            Ok(age) => format!("{} ago", span(age)),
            Err(ahead) => format!("in {}", span(ahead.duration())),
        }
    }
}

/// A length of time by its largest unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    let (size, unit) = [(86_400, "d"), (3_600, "h"), (60, "min")]
        .into_iter()
        .find(|(size, _)| seconds >= *size)
        .unwrap_or((1, "s"));
    format!("{} {unit}", seconds / size)
}

/// Reads a time that PostgreSQL wrote in UTC.
fn parse(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(&text.replace("+00:00", "Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_by_its_largest_unit() {
        let now = Now(parse("2026-01-31T12:00:00.5+00:00"));

        for (time, told) in [
            ("2026-01-31T12:00:00.123456+00:00", "now"),
            ("2026-01-31T11:51:50+00:00", "8 min ago"),
            ("2026-01-29T12:00:00+00:00", "2 d ago"),
            ("2026-01-31T12:00:48+00:00", "in 47 s"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(now.relative(Some(&time.to_owned())), told, "{time}");
        }
        assert_eq!(now.relative(None), "-");
    }
}
