//! A job that starts itself as often as it can: at once, and for later. Each copy does the same.

use std::time::Duration;

use callbox_sdk::{Body, Result, info, session};

callbox_sdk::job!(bomb);

fn bomb(args: Body) -> Result {
    for (when, after) in [("now", Duration::ZERO), ("later", Duration::from_secs(3_600))] {
        let mut started = 0u32;
        let refused = loop {
            match session::spawn("bomb", &args, after) {
                Ok(_) => started += 1,
                Err(error) => break error,
            }
        };
        info!("{when}: {started} started, refused: {error}", error = refused);
    }
    session::sleep(Duration::from_secs(60));
    Ok(())
}
