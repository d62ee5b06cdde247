//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.

#![cfg(test)]

mod bell_model;
mod delivering;
mod plans;
mod recording;
mod request;
mod retrying;
mod sql;
mod retaining;
mod support;
