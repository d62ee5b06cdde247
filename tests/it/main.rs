//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.

#![cfg(test)]

mod bell_model;
mod bell_under_fire;
mod cancelling;
mod commands;
mod configuring;
mod constraints;
mod database_faults;
mod deleting;
mod delivering;
mod egress;
mod endpoint_put;
mod flooding;
mod history;
mod leading;
mod matching;
mod mixing;
mod plans;
mod put_endpoint;
mod receiving;
mod recording;
mod redoing;
mod replaying;
mod request;
mod retaining;
mod retrying;
mod roles;
mod rotating;
mod schema;
mod sharing;
mod sql;
mod stopping;
mod support;
mod surviving;
mod sweeping;
mod tallying;
mod trying_out;
mod waking;
