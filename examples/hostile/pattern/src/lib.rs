//! Gathers digits with patterns that a naive matcher never finishes, or never finishes compiling.

use std::time::Duration;

use callbox_sdk::{Call, Gather, Result, info, sdp, session};

callbox_sdk::flow!(gather);

fn gather(call: Call) -> Result {
    let pattern = match session::config("trick").as_deref() {
        // Each `-` tries every length; the last character never comes.
        Some("lua") => Gather::lua(&(".-".repeat(60) + "X")),
        Some("lua-deep") => Gather::lua(&"(".repeat(120)),
        Some("lua-huge") => Gather::lua(&"%d*".repeat(350_000)),
        Some("regex") => Gather::regex("(x+x+)+y|(([0-9]*)*)*X"),
        Some("regex-size") => Gather::regex("((((((.{99}){99}){99}){99}){99}){99}){99}"),
        Some("regex-again") => {
            // Compiled anew each time, and never waited for.
            loop {
                let costly = Gather::regex(r"(\w{20}|\pL{20}|\d{9}){3}").first_digit(Duration::ZERO);
                let _ = call.gather(costly);
            }
        }
        other => panic!("no trick {other:?}"),
    };
    if let Some(answer) = sdp::answer_to(&call) {
        call.answer(answer)?;
    }
    match call.gather(
        pattern
            .first_digit(Duration::from_secs(5))
            .total(Duration::from_secs(5)),
    ) {
        Ok(gathered) => info!("pattern: {gathered:?}"),
        Err(error) => info!("pattern: {error}"),
    }
    call.hang_up()
}
