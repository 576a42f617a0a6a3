//! Conversions between this crate and `rsip`.
