//! tallying
