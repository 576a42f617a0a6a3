//! Configuration: a TOML file read into checked types, and the one table of limits.
//!
//! Knows nothing of sockets or WebAssembly. A leaf that every layer may use.

pub mod limits;
