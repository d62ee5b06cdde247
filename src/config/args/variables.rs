//! Variables of the environment that some command reads.

use clap::CommandFactory;

use super::Cli;

/// Returns their names.
pub fn variables() -> Vec<String> {
    fn collect(command: &clap::Command, into: &mut Vec<String>) {
        let names = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
        into.extend(names.map(str::to_owned));
        for child in command.get_subcommands() {
            collect(child, into);
        }
    }
    let mut names = Vec::new();
    collect(&Cli::command(), &mut names);
    names
}
