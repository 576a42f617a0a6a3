//! 180 Ringing, and then nothing: the caller has to give up.

use callbox_sdk::{Call, Result, info};

callbox_sdk::flow!(ring);

fn ring(call: Call) -> Result {
    call.ring()?;
    let end = call.wait_for_hang_up()?;
    info!("{end}");
    Ok(())
}
