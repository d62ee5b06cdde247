//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.

#![cfg(test)]

mod bell_model;
mod bell_under_fire;
mod commands;
mod config_show;
mod configuring;
mod constraints;
mod database_faults;
mod deliveries_by_command;
mod delivering;
mod doctoring;
mod doctoring_work;
mod egress;
mod endpoint_put;
mod endpoints_by_command;
mod events_by_command;
mod flooding;
mod leading;
mod plans;
mod put_endpoint;
mod receiving;
mod recording;
mod replaying_by_command;
mod request;
mod retaining;
mod retrying;
mod roles;
mod schema;
mod sharing;
mod sql;
mod stopping;
mod support;
mod surviving;
mod sweeping;
mod terminals;
mod trying_out;
mod waking;
