//! `registration`: not in this version of the host. Options can be made, so that a flow built against the contract
//! runs; `start` answers `unsupported`, so no registration ever exists.

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::registration as wit;
use super::bindings::call_flow::callbox::flow::types::{Error, Header};
use super::types::unsupported;
use crate::plugin::state::CallState;

/// Options that nothing reads yet, so nothing is kept of them.
pub struct RegisterOptions;
/// Never made.
pub enum Registration {}

impl wit::Host for CallState {}

impl wit::HostRegisterOptions for CallState {
    async fn new(&mut self) -> wasmtime::Result<Resource<RegisterOptions>> {
        self.enter(0).await;
        Ok(self.table.push(RegisterOptions)?)
    }
    async fn credentials(
        &mut self,
        _this: Resource<RegisterOptions>,
        username: String,
        password: String,
        _realm: Option<String>,
    ) -> wasmtime::Result<()> {
        self.enter(username.len() + password.len()).await;
        Ok(())
    }
    async fn credential_name(
        &mut self,
        _this: Resource<RegisterOptions>,
        name: String,
    ) -> wasmtime::Result<()> {
        self.enter(name.len()).await;
        Ok(())
    }
    async fn timeout(&mut self, _this: Resource<RegisterOptions>, _value: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        Ok(())
    }
    async fn expires(&mut self, _this: Resource<RegisterOptions>, _seconds: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        Ok(())
    }
    async fn contact(&mut self, _this: Resource<RegisterOptions>, uri: String) -> wasmtime::Result<()> {
        self.enter(uri.len()).await;
        Ok(())
    }
    async fn header(&mut self, _this: Resource<RegisterOptions>, value: Header) -> wasmtime::Result<()> {
        self.enter(value.name.len() + value.value.len()).await;
        Ok(())
    }
    async fn trunk(&mut self, _this: Resource<RegisterOptions>, name: String) -> wasmtime::Result<()> {
        self.enter(name.len()).await;
        Ok(())
    }
    async fn drop(&mut self, this: Resource<RegisterOptions>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::HostRegistration for CallState {
    async fn start(
        &mut self,
        registrar: String,
        _options: Resource<RegisterOptions>,
    ) -> wasmtime::Result<Result<Resource<Registration>, Error>> {
        self.enter(registrar.len()).await;
        Ok(Err(unsupported("registration.start")))
    }
    async fn id(&mut self, this: Resource<Registration>) -> wasmtime::Result<u32> {
        match *self.table.get(&this)? {}
    }
    async fn is_active(&mut self, this: Resource<Registration>) -> wasmtime::Result<bool> {
        match *self.table.get(&this)? {}
    }
    async fn bindings(&mut self, this: Resource<Registration>) -> wasmtime::Result<Vec<wit::Binding>> {
        match *self.table.get(&this)? {}
    }
    async fn unregister(
        &mut self,
        this: Resource<Registration>,
        _timeout: u32,
    ) -> wasmtime::Result<Result<(), Error>> {
        match *self.table.get(&this)? {}
    }
    async fn drop(&mut self, this: Resource<Registration>) -> wasmtime::Result<()> {
        match self.table.delete(this)? {}
    }
}
