//! Integration tests: SQL in, HTTP out, status views. Real PostgreSQL, real dispatchers, real HTTP peers.

#![cfg(test)]

mod api_connections;
mod api_dashboard;
mod api_deliveries;
mod api_endpoints;
mod api_events;
mod api_guard;
mod api_openapi;
mod bell_model;
mod bell_under_fire;
mod commands;
mod configuring;
mod connecting;
mod constraints;
mod database_faults;
mod delivering;
mod egress;
mod encrypting;
mod endpoint_put;
mod flooding;
mod leading;
mod plans;
mod put_endpoint;
mod reaching;
mod receiving;
mod recording;
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
mod trying_out;
mod waking;
