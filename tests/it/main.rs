//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.

#![cfg(test)]

mod bell_model;
mod constraints;
mod delivering;
mod plans;
mod recording;
mod request;
mod retaining;
mod retrying;
mod roles;
mod schema;
mod sql;
mod support;
mod waking;
