//! The name of the installation that a dispatcher works for.

use super::Settings;
use crate::model::installation::InstallationName;

impl Settings {
    /// Reads the name. `None` if there is none, or if it is wrong, which is a problem then.
    pub fn installation(&mut self, typed: Option<String>) -> Option<InstallationName> {
        let text = self.text("installation", typed, None)?;
        let name = InstallationName::parse(&text);
        if name.is_none() {
            let expected = "needs a name of 1 to 64 of [A-Za-z0-9_.-] that begins with a letter or a digit, as production";
            self.problems.add("installation", expected, Some(&text));
        }
        name
    }
}
