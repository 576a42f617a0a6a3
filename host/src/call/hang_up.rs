//! An operator hangs up one leg of a session, whose flow goes on and hears of it.
//!
//! Entry point: [`SessionAddress::hang_up`]. Invariant: what the operator wrote goes into a Reason header as it stands, because what
//! would need an escape there is refused.

use super::error::{CallError, Party};
use super::facts;
use super::siblings::SessionAddress;
use super::text;

impl SessionAddress {
    /// Ends a leg: a final response with `code` (400 to 699) before the answer, CANCEL or BYE else, each with the Reason. Its flow
    /// hears of an end by the host, with these words. None when the session has no such leg or is over.
    ///
    /// # Errors
    /// `Invalid` for another code, or for words that are not one line or have a quotation mark or a backslash; `WrongState` when
    /// the leg is not up.
    pub fn hang_up(&self, leg: u32, code: u16, reason: &str) -> Option<Result<(), CallError>> {
        let session = self.upgrade()?;
        let leg = session.legs().into_iter().find(|one| one.id == leg)?;
        if !(400..700).contains(&code) {
            return Some(Err(CallError::invalid(format!(
                "{code} is no code that ends a call: 400 to 699"
            ))));
        }
        let reason = match text::reason_text(reason) {
            Ok(text) if !text.contains(['"', '\\']) => text,
            Ok(_) => {
                let why = "the reason has a quotation mark or a backslash".to_owned();
                return Some(Err(CallError::invalid(why)));
            }
            Err(error) => return Some(Err(error)),
        };
        if !leg.is_live() {
            return Some(Err(CallError::WrongState("the leg is not up".to_owned())));
        }
        leg.finish_by(Party::Host, code, Some(facts::reason_with(Some(code), reason)));
        Some(Ok(()))
    }
}
