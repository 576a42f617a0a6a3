//! `info!` and its like: one line each to the host's log, with the call's id beside it.

use std::fmt;

use crate::wit::callbox::flow::session::{Level, log};

/// What the macros call. A message without arguments is passed on as it is, so a flow that logs only such lines
/// carries no formatting code.
#[doc(hidden)]
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => log(level, text),
        None => log(level, &fmt::format(message)),
    }
}

/// Logs at level `trace`.
#[macro_export]
macro_rules! trace {
    ($($message:tt)+) => { $crate::runtime::log($crate::Level::Trace, ::core::format_args!($($message)+)) };
}

/// Logs at level `debug`.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::runtime::log($crate::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Logs at level `info`, as `println!` would print: `info!("{} pressed {digit}", call.ani())`.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::runtime::log($crate::Level::Info, ::core::format_args!($($message)+)) };
}

/// Logs at level `warn`.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::runtime::log($crate::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Logs at level `error`.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::runtime::log($crate::Level::Error, ::core::format_args!($($message)+)) };
}
