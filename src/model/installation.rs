//! The name of an installation, which dispatchers are told and which stands in the database. A physical copy carries it along, but a
//! dispatcher of the copy is told another one.

/// 1 to 64 of `[A-Za-z0-9_.-]`, beginning with a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationName(String);

impl InstallationName {
    /// Reads a name. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        (begins_well && text.len() <= 64 && text.chars().all(is_allowed)).then(|| Self(text.to_owned()))
    }

    /// The name as the operator gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_no_quotes_anywhere() {
        for name in ["production", "eu-1.shop_A", "7", &"a".repeat(64)] {
            assert_eq!(InstallationName::parse(name).as_ref().map(InstallationName::as_str), Some(name));
        }
        for no_name in ["", " ", "-a", ".a", "a b", "a'b", "a\\b", "ä", "a\n", &"a".repeat(65)] {
            assert_eq!(InstallationName::parse(no_name), None, "{no_name:?}");
        }
    }
}
