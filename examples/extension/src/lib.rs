//! What a telephone on a desk does in the background: keeps a registration, and a subscription if it is told to, and says what
//! becomes of them, until the call that started it is given up.
//!
//! Configuration: `registrar`, `username`, `password`, `expires` (seconds); `server`, `package`, `accept` for the subscription.

use std::time::Duration;

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{Call, Error, Register, Registration, Result, Subscribe, info, session};

callbox_sdk::flow!(extension);

const SOON: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(200);

fn extension(caller: Call) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();
    let credentials = (conf("username"), conf("password"));
    let expires = Duration::from_secs(conf("expires").parse().unwrap_or(300));
    let registration = Register::at(conf("registrar"))
        .credentials(&credentials.0, &credentials.1)
        .expires(expires)
        .timeout(SOON)
        .start();
    let registration = match registration {
        Ok(it) => it,
        Err(error) => {
            info!("not registered: {error}");
            return caller.reject(480);
        }
    };
    for binding in registration.bindings() {
        info!("bound {} for {} s", binding.contact, binding.expires);
    }

    let subscription = match session::config("server") {
        None => None,
        Some(server) => {
            let subscribe = Subscribe::to(server, conf("package"))
                .accept(conf("accept"))
                .credentials(&credentials.0, &credentials.1)
                .timeout(SOON);
            match subscribe.start() {
                Ok(it) => Some(it),
                Err(error) => {
                    info!("not subscribed: {error}");
                    None
                }
            }
        }
    };

    watch(&registration)?;
    if let Some(subscription) = subscription {
        info!("unsubscribed: {:?}", subscription.unsubscribe(SOON));
    }
    info!("unregistered: {:?}", registration.unregister(SOON));
    Ok(())
}

/// Logs what happens until the caller is gone.
fn watch(registration: &Registration) -> Result {
    let mut was_active = true;
    loop {
        let active = registration.is_active();
        if active != was_active {
            info!("registered: {active}");
            was_active = active;
        }
        match events::next_within(GLANCE) {
            Ok(event) => match event.kind {
                EventKind::Notify(notification) => {
                    let text = notification.body.map(|body| body.text()).unwrap_or_default();
                    info!(
                        "notify {:?}: {}",
                        notification.state,
                        text.replace(['\r', '\n'], " ")
                    );
                    if let Some(reason) = notification.reason {
                        info!("the subscription is over: {reason}");
                    }
                }
                EventKind::RegistrationLost(error) => info!("registration lost: {error}"),
                EventKind::HungUp(_) => return Ok(()),
                other => info!("event: {other:?}"),
            },
            Err(Error::Timeout) => {}
            Err(other) => return Err(other),
        }
    }
}
