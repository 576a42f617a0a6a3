//! Hands the host a string of 50 MB, to be logged.

use callbox_sdk::{Call, Level, wit::callbox::flow::session};

callbox_sdk::flow!(shout);

fn shout(_call: Call) {
    let text = "A".repeat(50 << 20);
    session::log(Level::Info, &text);
}
