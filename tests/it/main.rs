//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.

#![cfg(test)]

mod delivering;
mod support;
