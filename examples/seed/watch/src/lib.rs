//! A registration and a subscription seen through their events, beyond the page: what a long-lived flow would do.
//!
//! Configuration: `registrar`, `server`, `username` and `password` or the operator's name for them, `credential`, and a `trunk`. It logs each event until the notifier or the registrar
//! has ended something, then takes its leave with `unsubscribe` and `unregister`.

use std::time::Duration;

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{Call, Error, Register, Result, Subscribe, SubscriptionState, info, session};

callbox_sdk::flow!(watch);

const SOON: Duration = Duration::from_secs(5);

fn watch(_caller: Call) -> Result {
    let conf = |key: &str| session::config(key).unwrap_or_default();
    let mut register = Register::at(conf("registrar")).expires(Duration::from_secs(2));
    let mut subscribe = Subscribe::to(conf("server"), "message-summary")
        .accept("application/simple-message-summary")
        .timeout(SOON);
    match session::config("credential") {
        Some(name) => {
            register = register.credential_name(&name);
            subscribe = subscribe.credential_name(name);
        }
        None => register = register.credentials(conf("username"), conf("password")),
    }
    if let Some(name) = session::config("trunk") {
        register = register.trunk(&name);
        subscribe = subscribe.trunk(name);
    }
    let registration = register.start()?;
    for binding in registration.bindings() {
        info!("bound {} for {} s", binding.contact, binding.expires);
    }
    let subscription = subscribe.start()?;
    // What this wait takes is no event any more.
    let first = subscription.wait_for_notify(SOON)?;
    info!("first notify: {:?}", first.state);
    match subscription.wait_for_notify(Duration::ZERO) {
        Err(Error::Timeout) => info!("no second notify yet"),
        other => info!("unexpected: {other:?}"),
    }

    loop {
        let event = events::next_from_sources(&[registration.id(), subscription.id()], 4 * SOON)?;
        match event.kind {
            EventKind::Notify(notification) => {
                let text = notification.body.map(|body| body.text()).unwrap_or_default();
                info!("notify {:?}: {text}", notification.state);
                if notification.state == SubscriptionState::Terminated {
                    break;
                }
            }
            EventKind::RegistrationLost(why) => {
                info!("registration lost: {why}; active: {}", registration.is_active());
                break;
            }
            _ => {}
        }
    }
    // What the mailbox gave is no longer in the queue either.
    match subscription.wait_for_notify(Duration::ZERO) {
        Err(Error::Timeout | Error::WrongState(_)) => info!("every notify was taken"),
        other => info!("unexpected: {other:?}"),
    }
    info!("unsubscribe: {:?}", subscription.unsubscribe(SOON));
    info!("unsubscribe again: {:?}", subscription.unsubscribe(SOON));
    info!("unregister: {:?}", registration.unregister(SOON));
    info!("unregister again: {:?}", registration.unregister(SOON));
    info!("active: {}", registration.is_active());
    Ok(())
}
