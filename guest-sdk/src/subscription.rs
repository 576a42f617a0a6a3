//! Event subscriptions.

use std::time::Duration;

use crate::options::{Credentials, header, login_and_trunk, lower_headers, lower_login_and_trunk};
use crate::wit::callbox::flow::subscription as raw;
use crate::words::{millis, seconds};
use crate::{Body, Header, Notification, Result, SubscriptionState};

/// How to subscribe: `Subscribe::to("sip:alice@example.com", "presence")`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Subscribe {
    server: String,
    package: String,
    interval: Option<Duration>,
    refresh: Option<Duration>,
    timeout: Option<Duration>,
    credentials: Option<Credentials>,
    accept: Vec<String>,
    body: Option<Body>,
    headers: Vec<Header>,
    trunk: Option<String>,
}

impl Subscribe {
    /// To this resource, for this event package (`presence`, `dialog`, `message-summary`, …).
    pub fn to(server: impl Into<String>, package: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            package: package.into(),
            interval: None,
            refresh: None,
            timeout: None,
            credentials: None,
            accept: Vec::new(),
            body: None,
            headers: Vec::new(),
            trunk: None,
        }
    }

    /// How long a subscription to ask for, in whole seconds. Default 160 s.
    pub fn interval(mut self, time: Duration) -> Self {
        self.interval = Some(time);
        self
    }

    /// When the host subscribes again, in whole seconds. Default: at 90 % of what was granted.
    pub fn refresh(mut self, time: Duration) -> Self {
        self.refresh = Some(time);
        self
    }

    /// How long to wait for the first NOTIFY. Default 15 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    header!();
    login_and_trunk!();

    /// A MIME type that we understand; may be called many times. Default: those of the package.
    pub fn accept(mut self, content_type: impl Into<String>) -> Self {
        self.accept.push(content_type.into());
        self
    }

    /// A body for the SUBSCRIBE, such as a filter.
    pub fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    /// Subscribes and waits for the first NOTIFY.
    pub fn start(self) -> Result<Subscription> {
        let options = raw::SubscribeOptions::new();
        if let Some(time) = self.interval {
            options.interval(seconds(time));
        }
        if let Some(time) = self.refresh {
            options.refresh(seconds(time));
        }
        if let Some(time) = self.timeout {
            options.timeout(millis(time));
        }
        lower_login_and_trunk!(self, options);
        for content_type in &self.accept {
            options.accept(content_type);
        }
        if let Some(body) = &self.body {
            options.body(body);
        }
        lower_headers!(self, options);
        let raw = raw::Subscription::start(&self.server, &self.package, &options)?;
        Ok(Subscription { raw })
    }
}

/// A subscription that the host refreshes until it is dropped, ended or terminated by the server.
#[derive(Debug)]
pub struct Subscription {
    raw: raw::Subscription,
}

impl Subscription {
    /// Its number in this session; the source of its events.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.raw.id()
    }

    /// What the last NOTIFY said of it.
    #[must_use]
    pub fn state(&self) -> SubscriptionState {
        self.raw.state()
    }

    /// The next NOTIFY; the first one is the first result.
    pub fn wait_for_notify(&self, timeout: Duration) -> Result<Notification> {
        Ok(self.raw.wait_for_notify(millis(timeout))?)
    }

    /// Forgets NOTIFYs that nobody waited for.
    pub fn clean_notify_buffer(&self) {
        self.raw.clean_notify_buffer();
    }

    /// Ends it (SUBSCRIBE with Expires: 0).
    pub fn unsubscribe(&self, timeout: Duration) -> Result {
        Ok(self.raw.unsubscribe(millis(timeout))?)
    }
}
