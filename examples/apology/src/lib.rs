//! Takes calls over whose own flow has failed (`[tenant.flow.NAME.on_trap]`), and leaves in time when the host stops.
//!
//! It cannot know how far the other flow came: the call may ring, or be answered. With `trick = "fall"` it fails as well.

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{Call, CallState, Result, info, sdp, session};

callbox_sdk::flow!(apology);

fn apology(call: Call) -> Result {
    info!("sorry, {}: your call is {:?}", call.ani(), call.state());
    if session::config("trick").is_some_and(|trick| trick == "fall") {
        panic!("sorry is the hardest word");
    }
    if matches!(call.state(), CallState::RingingIn | CallState::Early) {
        let Some(answer) = sdp::answer_to(&call) else {
            return call.reject(488);
        };
        call.answer(answer)?;
    }
    loop {
        match events::next()?.kind {
            EventKind::HungUp(_) => return Ok(()),
            EventKind::Shutdown(within) => {
                info!("the host stops within {within:?}: good-bye");
                return call.hang_up_because("closing time");
            }
            other => info!("{other:?}"),
        }
    }
}
