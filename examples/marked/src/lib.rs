//! Says which build of it took the call, in the 200 and again in its BYE: what shows that a call ends on the version that it
//! began with. Hangs up at the first digit.
//!
//! Another build of it is the same file with another [`MARK`]: sixteen characters, which a test or `sed` writes over.

use std::hint::black_box;
use std::time::Duration;

use callbox_sdk::{Answer, Call, Error, Result, sdp};

callbox_sdk::flow!(marked);

/// What is written over begins after the colon.
static MARK: [u8; 29] = *b"callbox-mark:0000000000000000";

const LONGEST: Duration = Duration::from_secs(60);

fn marked(call: Call) -> Result {
    // Read from memory when the call runs, so that what is in the file counts and nothing was worked out from it before.
    let mark = black_box(&MARK).rsplit(|byte| *byte == b':').next();
    let mark = String::from_utf8_lossy(mark.unwrap_or_default()).into_owned();
    let Some(session) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.answer(Answer::new(session).header("X-Mark", &mark))?;
    match call.wait_for_dtmf(LONGEST) {
        Ok(_) | Err(Error::Timeout) => {}
        Err(other) => return Err(other),
    }
    // The mark is read again: nothing has put another file's data in its place.
    let again = black_box(&MARK).rsplit(|byte| *byte == b':').next();
    call.hang_up_because(&String::from_utf8_lossy(again.unwrap_or_default()))
}
