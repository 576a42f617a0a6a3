//! What the macros expand to. Not for use by hand.

use std::panic::{PanicHookInfo, set_hook};

use crate::wit::callbox::flow::{session, sipcall};
use crate::{Body, Call, Error};

#[doc(hidden)]
pub use crate::logging::write as log;

/// What an entry function may return.
#[diagnostic::on_unimplemented(
    message = "a flow's entry cannot return `{Self}`",
    note = "return `()`, `callbox_sdk::Result`, `Result<(), String>` or `Result<(), Box<dyn std::error::Error>>`"
)]
pub trait Outcome {
    /// The text for the call record if the flow failed.
    fn verdict(self) -> Result<(), String>;
}

impl Outcome for () {
    fn verdict(self) -> Result<(), String> {
        Ok(())
    }
}

/// A peer that hung up while the flow waited has ended the call, not broken the flow.
impl Outcome for Result<(), Error> {
    fn verdict(self) -> Result<(), String> {
        match self {
            Err(error) if !error.is_hang_up() => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

impl Outcome for Result<(), String> {
    fn verdict(self) -> Result<(), String> {
        self
    }
}

impl Outcome for Result<(), Box<dyn std::error::Error>> {
    fn verdict(self) -> Result<(), String> {
        match self {
            Ok(()) => Ok(()),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(ours) if ours.is_hang_up() => Ok(()),
                _ => Err(error.to_string()),
            },
        }
    }
}

/// Runs an entry function on the call that the host handed over.
pub fn on_call<O: Outcome>(incoming: sipcall::Call, entry: impl FnOnce(Call) -> O) -> Result<(), String> {
    set_hook(Box::new(report_panic));
    entry(Call::from(incoming)).verdict()
}

/// What the entry of a job may return.
#[diagnostic::on_unimplemented(
    message = "a job's entry cannot return `{Self}`",
    note = "return `()`, a `Body` or a `String`, or a `Result` of one of these with `callbox_sdk::Error`, `String` or \
            `Box<dyn std::error::Error>`"
)]
pub trait JobOutcome {
    /// What the job reports, or the text for the log if it failed.
    fn report(self) -> Result<Body, String>;
}

/// What a job has to report.
pub trait Report {
    /// As a body.
    fn body(self) -> Body;
}

impl Report for () {
    fn body(self) -> Body {
        Body::plain("")
    }
}

impl Report for Body {
    fn body(self) -> Body {
        self
    }
}

impl Report for String {
    fn body(self) -> Body {
        Body::plain(self)
    }
}

impl<T: Report> JobOutcome for T {
    fn report(self) -> Result<Body, String> {
        Ok(self.body())
    }
}

/// A job has no call of its own, so a hang-up that it did not expect is a failure.
impl<T: Report, E: std::fmt::Display> JobOutcome for Result<T, E> {
    fn report(self) -> Result<Body, String> {
        self.map(Report::body).map_err(|error| error.to_string())
    }
}

/// Runs an entry function on the arguments that the host handed over.
pub fn run_job<O: JobOutcome>(args: Body, entry: impl FnOnce(Body) -> O) -> Result<Body, String> {
    set_hook(Box::new(report_panic));
    entry(args).report()
}

/// A panic becomes a trap without words; its text goes to the log first. Put together by hand, because `Display`
/// of the hook's argument would pull the whole of `core::fmt` into every flow.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let mut line = String::from("panic");
    if let Some(place) = panic.location() {
        line.push_str(" at ");
        line.push_str(place.file());
        line.push(':');
        push_decimal(&mut line, place.line());
    }
    line.push_str(": ");
    line.push_str(panic.payload_as_str().unwrap_or("(no text)"));
    session::log(session::Level::Error, &line);
}

fn push_decimal(line: &mut String, number: u32) {
    if number >= 10 {
        push_decimal(line, number / 10);
    }
    line.push(char::from_digit(number % 10, 10).unwrap_or('0'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HangupInfo, Party};

    fn gone() -> Error {
        Error::HangUp(HangupInfo {
            by: Party::Remote,
            status: None,
            q850: None,
            text: None,
        })
    }

    #[test]
    fn a_hang_up_is_not_a_failure_of_the_flow() {
        assert_eq!(Err(gone()).verdict(), Ok(()));
        let boxed: Result<(), Box<dyn std::error::Error>> = Err(Box::new(gone()));
        assert_eq!(boxed.verdict(), Ok(()));
    }

    #[test]
    fn other_errors_are() {
        assert_eq!(Err(Error::Timeout).verdict(), Err("no answer in time".into()));
        let boxed: Result<(), Box<dyn std::error::Error>> = Err("broken".into());
        assert_eq!(boxed.verdict(), Err("broken".into()));
    }

    #[test]
    fn decimals() {
        let mut line = String::new();
        for number in [0, 7, 10, 305, u32::MAX] {
            push_decimal(&mut line, number);
            line.push(' ');
        }
        assert_eq!(line, "0 7 10 305 4294967295 ");
    }
}
