//! `registration`: translation to and from [`call::Registration`](crate::call::Registration).

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::registration as wit;
use super::bindings::call_flow::callbox::flow::types::{Error, Header};
use super::options::{Choices, login_and_trunk, timeout_and_header};
use super::types::{duration, error};
use crate::call::{Credentials, Login, RegisterOptions, Registration};
use crate::plugin::state::{CallState, waited};

pub type RegisterChoices = Choices<RegisterOptions>;

impl wit::Host for CallState {}

impl wit::HostRegisterOptions for CallState {
    timeout_and_header!(RegisterChoices);
    login_and_trunk!(RegisterChoices);

    async fn new(&mut self) -> wasmtime::Result<Resource<RegisterChoices>> {
        self.new_choices().await
    }
    async fn expires(&mut self, this: Resource<RegisterChoices>, seconds: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.expires = seconds).await
    }
    async fn contact(&mut self, this: Resource<RegisterChoices>, uri: String) -> wasmtime::Result<()> {
        self.add_text(&this, uri, |options| &mut options.contacts).await
    }
    async fn drop(&mut self, this: Resource<RegisterChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostRegistration for CallState {
    async fn start(
        &mut self,
        registrar: String,
        options: Resource<RegisterChoices>,
    ) -> wasmtime::Result<Result<Resource<Registration>, Error>> {
        self.enter("registration.start", registrar.len()).await;
        let Self {
            table,
            meter,
            session,
            ..
        } = self;
        let registered = match table.get(&options)?.checked() {
            Ok(options) => waited(meter, session.register(&registrar, options)).await,
            Err(mistake) => Err(session.mistaken("registration.registration.start", mistake)),
        };
        match registered {
            Ok(registration) => Ok(Ok(table.push(registration)?)),
            Err(why) => Ok(Err(error(why))),
        }
    }
    async fn id(&mut self, this: Resource<Registration>) -> wasmtime::Result<u32> {
        self.enter("registration.id", 0).await;
        Ok(self.table.get(&this)?.id())
    }
    async fn is_active(&mut self, this: Resource<Registration>) -> wasmtime::Result<bool> {
        self.enter("registration.is-active", 0).await;
        Ok(self.table.get(&this)?.is_active())
    }
    async fn bindings(&mut self, this: Resource<Registration>) -> wasmtime::Result<Vec<wit::Binding>> {
        self.enter("registration.bindings", 0).await;
        let bindings = self.table.get(&this)?.bindings().into_iter();
        Ok(bindings
            .map(|binding| wit::Binding {
                contact: binding.contact,
                expires: binding.expires,
            })
            .collect())
    }
    async fn unregister(
        &mut self,
        this: Resource<Registration>,
        timeout: u32,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter("registration.unregister", 0).await;
        let Self { table, meter, .. } = self;
        let registration = table.get(&this)?;
        Ok(waited(meter, registration.unregister(duration(timeout)))
            .await
            .map_err(error))
    }
    /// The guest let go of it: dropping it unregisters.
    async fn drop(&mut self, this: Resource<Registration>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}
