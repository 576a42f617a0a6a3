//! Registrations with a registrar.

use std::time::Duration;

use crate::options::{Credentials, header, login_and_trunk, lower_headers, lower_login_and_trunk};
use crate::wit::callbox::flow::registration as raw;
use crate::words::{millis, seconds};
use crate::{Binding, Header, Result};

/// How to register: `Register::at("sip:alice@example.com").credentials("alice", "secret")`.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Register {
    registrar: String,
    credentials: Option<Credentials>,
    timeout: Option<Duration>,
    expires: Option<Duration>,
    contacts: Vec<String>,
    headers: Vec<Header>,
    trunk: Option<String>,
}

impl Register {
    /// The address of record; its host is the registrar.
    pub fn at(registrar: impl Into<String>) -> Self {
        Self {
            registrar: registrar.into(),
            credentials: None,
            timeout: None,
            expires: None,
            contacts: Vec::new(),
            headers: Vec::new(),
            trunk: None,
        }
    }

    header!();
    login_and_trunk!();

    /// How long to wait for the first 2xx. Default 15 s.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// How long a binding to ask for, in whole seconds. Default 300 s; the host refreshes it.
    pub fn expires(mut self, time: Duration) -> Self {
        self.expires = Some(time);
        self
    }

    /// A contact other than the host's own; may be called many times.
    pub fn contact(mut self, uri: impl Into<String>) -> Self {
        self.contacts.push(uri.into());
        self
    }

    /// Registers and waits for the first 2xx.
    pub fn start(self) -> Result<Registration> {
        let options = raw::RegisterOptions::new();
        lower_login_and_trunk!(self, options);
        if let Some(time) = self.timeout {
            options.timeout(millis(time));
        }
        if let Some(time) = self.expires {
            options.expires(seconds(time));
        }
        for uri in &self.contacts {
            options.contact(uri);
        }
        lower_headers!(self, options);
        let raw = raw::Registration::start(&self.registrar, &options)?;
        Ok(Registration { raw })
    }
}

/// A registration that the host refreshes until it is dropped or unregistered.
#[derive(Debug)]
pub struct Registration {
    raw: raw::Registration,
}

impl Registration {
    /// Its number in this session; the source of its events.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.raw.id()
    }

    /// Is the binding in force?
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.raw.is_active()
    }

    /// What the registrar has on record.
    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        self.raw.bindings()
    }

    /// Removes our own binding.
    pub fn unregister(&self, timeout: Duration) -> Result {
        Ok(self.raw.unregister(millis(timeout))?)
    }
}
