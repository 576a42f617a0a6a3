//! Registrations with a registrar.

use std::time::Duration;

use crate::options::Credentials;
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

    /// Credentials for any realm.
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::Given {
            username: username.into(),
            password: password.into(),
            realm: None,
        });
        self
    }

    /// Credentials for one realm.
    pub fn credentials_for(
        mut self,
        realm: impl Into<String>,
        username: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.credentials = Some(Credentials::Given {
            username: username.into(),
            password: password.into(),
            realm: Some(realm.into()),
        });
        self
    }

    /// Credentials that the operator configured under this name; the secret never enters the flow.
    pub fn credential_name(mut self, name: impl Into<String>) -> Self {
        self.credentials = Some(Credentials::Named(name.into()));
        self
    }

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

    /// Adds a header field; may be called many times.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// Through this trunk of the tenant's configuration.
    pub fn trunk(mut self, name: impl Into<String>) -> Self {
        self.trunk = Some(name.into());
        self
    }

    /// Registers and waits for the first 2xx.
    pub fn start(self) -> Result<Registration> {
        let options = raw::RegisterOptions::new();
        match &self.credentials {
            Some(Credentials::Given {
                username,
                password,
                realm,
            }) => options.credentials(username, password, realm.as_deref()),
            Some(Credentials::Named(name)) => options.credential_name(name),
            None => {}
        }
        if let Some(time) = self.timeout {
            options.timeout(millis(time));
        }
        if let Some(time) = self.expires {
            options.expires(seconds(time));
        }
        for uri in &self.contacts {
            options.contact(uri);
        }
        for header in &self.headers {
            options.header(header);
        }
        if let Some(name) = &self.trunk {
            options.trunk(name);
        }
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
