//! What a flow writes into the record of its call.
//!
//! Bounded in number and size. Entry points: [`Session::set_record_field`], [`Session::record_fields`].

use super::error::CallError;
use super::session::Session;
use super::text;

/// The longest name of a field, which stands in logs and later in tables.
const KEY_MAX: usize = 64;

impl Session {
    /// Sets a field of the call's record; the last value counts.
    ///
    /// # Errors
    /// `Invalid` for a key that is not 1 to 64 of `A–Z a–z 0–9 _ - .`, `Denied(Limit)` for too many fields or too long a value.
    pub fn set_record_field(&self, key: &str, value: &str) -> Result<(), CallError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(plain) {
            return Err(CallError::invalid(format!(
                "field {} must be 1 to {KEY_MAX} of A-Z, a-z, 0-9, _, - and .",
                text::quoted(key)
            )));
        }
        let limits = &self.shared.context.limits;
        if value.len() > limits.record_value_max_bytes {
            return Err(CallError::limit("limits.call.record_value_max_bytes"));
        }
        let mut inner = self.shared.lock();
        let full = inner.record.len() >= limits.record_fields_max;
        match inner.record.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => value.clone_into(old),
            None if full => return Err(CallError::limit("limits.call.record_fields_max")),
            None => inner.record.push((key.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// The fields set so far, in the order in which they were first set.
    #[must_use]
    pub fn record_fields(&self) -> Vec<(String, String)> {
        self.shared.lock().record.clone()
    }
}
