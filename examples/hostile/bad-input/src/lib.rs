//! Hands every method that takes a string what it must not take, and says how each of them refused.

mod judge;
mod rows;

use callbox_sdk::{Call, Error, Result, info, sdp, session};

use judge::Judge;

callbox_sdk::flow!(bad_input);

fn bad_input(call: Call) -> Result {
    let peer = session::config("peer").ok_or_else(|| Error::from("no peer in the configuration"))?;
    let answer = sdp::answer_to(&call).ok_or_else(|| Error::from("no offer to answer"))?;
    let mut judge = Judge::default();

    rows::ringing(&mut judge, &call, &peer);
    call.answer(answer)?;
    rows::connected(&mut judge, &call, &peer);
    let idle = Call::new();
    rows::state_first(&mut judge, &call, &idle);
    rows::outbound(&mut judge, &idle, &peer);
    rows::registration(&mut judge, &peer);
    rows::subscription(&mut judge, &peer);
    rows::session(&mut judge);

    info!("{judge}");
    call.hang_up()
}
