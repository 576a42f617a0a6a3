//! `subscription`: not in this version of the host. Options can be made, so that a flow built against the contract
//! runs; `start` answers `unsupported`, so no subscription ever exists.

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::subscription as wit;
use super::bindings::call_flow::callbox::flow::types::{Body, Error, Header};
use super::types::{body_size, unsupported};
use crate::plugin::state::CallState;

/// Options that nothing reads yet, so nothing is kept of them.
pub struct SubscribeOptions;
/// Never made.
pub enum Subscription {}

impl wit::Host for CallState {}

impl wit::HostSubscribeOptions for CallState {
    async fn new(&mut self) -> wasmtime::Result<Resource<SubscribeOptions>> {
        self.enter(0).await;
        Ok(self.table.push(SubscribeOptions)?)
    }
    async fn interval(&mut self, _this: Resource<SubscribeOptions>, _seconds: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        Ok(())
    }
    async fn refresh(&mut self, _this: Resource<SubscribeOptions>, _seconds: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        Ok(())
    }
    async fn timeout(&mut self, _this: Resource<SubscribeOptions>, _value: u32) -> wasmtime::Result<()> {
        self.enter(0).await;
        Ok(())
    }
    async fn credentials(
        &mut self,
        _this: Resource<SubscribeOptions>,
        username: String,
        password: String,
        _realm: Option<String>,
    ) -> wasmtime::Result<()> {
        self.enter(username.len() + password.len()).await;
        Ok(())
    }
    async fn credential_name(
        &mut self,
        _this: Resource<SubscribeOptions>,
        name: String,
    ) -> wasmtime::Result<()> {
        self.enter(name.len()).await;
        Ok(())
    }
    async fn accept(
        &mut self,
        _this: Resource<SubscribeOptions>,
        content_type: String,
    ) -> wasmtime::Result<()> {
        self.enter(content_type.len()).await;
        Ok(())
    }
    async fn body(&mut self, _this: Resource<SubscribeOptions>, value: Body) -> wasmtime::Result<()> {
        self.enter(body_size(Some(&value))).await;
        Ok(())
    }
    async fn header(&mut self, _this: Resource<SubscribeOptions>, value: Header) -> wasmtime::Result<()> {
        self.enter(value.name.len() + value.value.len()).await;
        Ok(())
    }
    async fn trunk(&mut self, _this: Resource<SubscribeOptions>, name: String) -> wasmtime::Result<()> {
        self.enter(name.len()).await;
        Ok(())
    }
    async fn drop(&mut self, this: Resource<SubscribeOptions>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::HostSubscription for CallState {
    async fn start(
        &mut self,
        server: String,
        event_package: String,
        _options: Resource<SubscribeOptions>,
    ) -> wasmtime::Result<Result<Resource<Subscription>, Error>> {
        self.enter(server.len() + event_package.len()).await;
        Ok(Err(unsupported("subscription.start")))
    }
    async fn id(&mut self, this: Resource<Subscription>) -> wasmtime::Result<u32> {
        match *self.table.get(&this)? {}
    }
    async fn state(&mut self, this: Resource<Subscription>) -> wasmtime::Result<wit::SubscriptionState> {
        match *self.table.get(&this)? {}
    }
    async fn wait_for_notify(
        &mut self,
        this: Resource<Subscription>,
        _timeout: u32,
    ) -> wasmtime::Result<Result<wit::Notification, Error>> {
        match *self.table.get(&this)? {}
    }
    async fn clean_notify_buffer(&mut self, this: Resource<Subscription>) -> wasmtime::Result<()> {
        match *self.table.get(&this)? {}
    }
    async fn unsubscribe(
        &mut self,
        this: Resource<Subscription>,
        _timeout: u32,
    ) -> wasmtime::Result<Result<(), Error>> {
        match *self.table.get(&this)? {}
    }
    async fn drop(&mut self, this: Resource<Subscription>) -> wasmtime::Result<()> {
        match self.table.delete(this)? {}
    }
}
