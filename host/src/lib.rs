//! callbox.
