//! Remembers which arguments were typed as flags: clap merges flags and environment.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// Arguments, and which of them were flags.
#[derive(Debug)]
pub struct Sourced<T> {
    /// The arguments.
    pub typed: T,
    /// Names of the arguments that came by flag, in `snake_case`.
    pub flags: BTreeSet<String>,
}

impl<T: FromArgMatches> FromArgMatches for Sourced<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        // Before the values are taken out.
        let flags = flags(matches);
        Ok(Self { typed: T::from_arg_matches_mut(matches)?, flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.flags.extend(flags(matches));
        self.typed.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Sourced<T> {
    fn augment_args(command: Command) -> Command {
        T::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

fn flags(matches: &ArgMatches) -> BTreeSet<String> {
    let is_flag = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    matches.ids().map(clap::Id::as_str).filter(is_flag).map(str::to_owned).collect()
}
