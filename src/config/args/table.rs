//! `postrider table …` as typed.

use clap::{Args, Subcommand};

use crate::operations::table_spec::TableSpec;

/// `postrider table …`
#[derive(Debug, Subcommand)]
pub enum TableArgs {
    /// Attach a table of your own: changes of its rows become events, and their status is written back
    #[command(
        after_help = "Needs a role that is a member of the table's owner and of postrider_dispatcher. The triggers run in the transactions \
        that change rows: docs/how-to/attach-a-table.md.\n\n\
        Example: postrider table attach configuration_update --topic configuration.updated --payload content --key destination \
        --destination 'devices/{destination}' --status status --when \"new.status = 'pending'\"\n\
        Example: postrider table attach orders --topic 'order.{op}' --payload change --on insert,update"
    )]
    Attach(Box<TableAttach>),
    /// List attached tables
    #[command(after_help = "Example: postrider table list")]
    List(TableList),
    /// Show an attached table with its settings
    #[command(after_help = "Example: postrider table show configuration_update --json")]
    Show(TableName),
    /// Pause a table: its changes are not heard until it is resumed; events that exist are delivered
    #[command(after_help = "Example: postrider table pause configuration_update")]
    Pause(TablePause),
    /// Resume a paused table: its changes are heard again; those made during the pause are not sent
    #[command(after_help = "Example: postrider table resume configuration_update --backfill")]
    Resume(TableResume),
    /// Detach a table: its triggers go, and statuses are not written any more
    #[command(after_help = "Example: postrider table detach configuration_update --yes")]
    Detach(TableDetach),
}

/// `postrider table attach`
#[derive(Args, Debug)]
pub struct TableAttach {
    /// The table, with or without its schema
    #[arg(value_name = "TABLE")]
    pub relation: String,
    /// The settings that are typed as they are.
    #[command(flatten)]
    pub spec: TableSpec,
    /// Words that the status column has in place of Postrider's, as `{"complete": "done", "failed": "error"}`
    #[arg(long, value_name = "JSON")]
    pub status_map: Option<String>,
    /// Do not ask on a terminal whether to send the rows that are there, and do not send them
    #[arg(long, conflicts_with = "backfill")]
    pub no_backfill: bool,
    /// Print the statements that it would run, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider table list`
#[derive(Args, Debug)]
pub struct TableList {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An attached table.
#[derive(Args, Debug)]
pub struct TableName {
    /// The table, with or without its schema
    #[arg(value_name = "TABLE")]
    pub relation: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider table pause`
#[derive(Args, Debug)]
pub struct TablePause {
    /// The table.
    #[command(flatten)]
    pub table: TableName,
    /// Shown in `postrider.attached_table`
    #[arg(long)]
    pub reason: Option<String>,
}

/// `postrider table resume`
#[derive(Args, Debug)]
pub struct TableResume {
    /// The table.
    #[command(flatten)]
    pub table: TableName,
    /// Send the rows that are there, too; dispatchers do it in the background
    #[arg(long)]
    pub backfill: bool,
}

/// `postrider table detach`
#[derive(Args, Debug)]
pub struct TableDetach {
    /// The table.
    #[command(flatten)]
    pub table: TableName,
    /// Do not ask; needed where stdin is no terminal
    #[arg(long)]
    pub yes: bool,
}
