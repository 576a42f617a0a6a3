//! Answers and panics. The caller gets a BYE, the log gets the text.

use callbox_sdk::{Call, sdp};

callbox_sdk::flow!(fall);

fn fall(call: Call) {
    let answer = sdp::answer_to(&call).unwrap_or_else(sdp::offer);
    call.answer(answer).ok();
    panic!("a flow of {} fell over", call.dnis());
}
