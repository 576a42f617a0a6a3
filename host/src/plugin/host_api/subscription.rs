//! `subscription`: translation to and from [`call::Subscription`](crate::call::Subscription).

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::subscription as wit;
use super::bindings::call_flow::callbox::flow::types::{Body, Error, Header};
use super::options::{Choices, login_and_trunk, timeout_and_header};
use super::types::{body, body_from, body_size, duration, error, headers};
use crate::call::{self, Credentials, Login, SubscribeOptions, Subscription};
use crate::plugin::state::{CallState, waited};

pub type SubscribeChoices = Choices<SubscribeOptions>;

impl wit::Host for CallState {}

impl wit::HostSubscribeOptions for CallState {
    timeout_and_header!(SubscribeChoices);
    login_and_trunk!(SubscribeChoices);

    async fn new(&mut self) -> wasmtime::Result<Resource<SubscribeChoices>> {
        self.new_choices().await
    }
    async fn interval(&mut self, this: Resource<SubscribeChoices>, seconds: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.interval = seconds).await
    }
    async fn refresh(&mut self, this: Resource<SubscribeChoices>, seconds: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.refresh = Some(seconds))
            .await
    }
    async fn accept(
        &mut self,
        this: Resource<SubscribeChoices>,
        content_type: String,
    ) -> wasmtime::Result<()> {
        self.add_text(&this, content_type, |options| &mut options.accept)
            .await
    }
    async fn body(&mut self, this: Resource<SubscribeChoices>, value: Body) -> wasmtime::Result<()> {
        let bytes = body_size(Some(&value));
        self.choose_checked(
            &this,
            bytes,
            |session| body_from(session, value),
            |options, body| options.body = Some(body),
        )
        .await
    }
    async fn drop(&mut self, this: Resource<SubscribeChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostSubscription for CallState {
    async fn start(
        &mut self,
        server: String,
        event_package: String,
        options: Resource<SubscribeChoices>,
    ) -> wasmtime::Result<Result<Resource<Subscription>, Error>> {
        self.enter("subscription.start", server.len() + event_package.len())
            .await;
        let Self {
            table,
            meter,
            session,
            ..
        } = self;
        let subscribed = match table.get(&options)?.checked() {
            Ok(options) => waited(meter, session.subscribe(&server, &event_package, options)).await,
            Err(mistake) => Err(session.mistaken("subscription.subscription.start", mistake)),
        };
        match subscribed {
            Ok(subscription) => Ok(Ok(table.push(subscription)?)),
            Err(why) => Ok(Err(error(why))),
        }
    }
    async fn id(&mut self, this: Resource<Subscription>) -> wasmtime::Result<u32> {
        self.enter("subscription.id", 0).await;
        Ok(self.table.get(&this)?.id())
    }
    async fn state(&mut self, this: Resource<Subscription>) -> wasmtime::Result<wit::SubscriptionState> {
        self.enter("subscription.state", 0).await;
        Ok(state(self.table.get(&this)?.state()))
    }
    async fn wait_for_notify(
        &mut self,
        this: Resource<Subscription>,
        timeout: u32,
    ) -> wasmtime::Result<Result<wit::Notification, Error>> {
        self.enter("subscription.wait-for-notify", 0).await;
        let Self { table, meter, .. } = self;
        let subscription = table.get(&this)?;
        Ok(waited(meter, subscription.wait_for_notify(duration(timeout)))
            .await
            .map(notification)
            .map_err(error))
    }
    async fn clean_notify_buffer(&mut self, this: Resource<Subscription>) -> wasmtime::Result<()> {
        self.enter("subscription.clean-notify-buffer", 0).await;
        self.table.get(&this)?.clean_notify_buffer();
        Ok(())
    }
    async fn unsubscribe(
        &mut self,
        this: Resource<Subscription>,
        timeout: u32,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.enter("subscription.unsubscribe", 0).await;
        let Self { table, meter, .. } = self;
        let subscription = table.get(&this)?;
        Ok(waited(meter, subscription.unsubscribe(duration(timeout)))
            .await
            .map_err(error))
    }
    /// The guest let go of it: dropping it unsubscribes.
    async fn drop(&mut self, this: Resource<Subscription>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

fn state(state: call::SubscriptionState) -> wit::SubscriptionState {
    match state {
        call::SubscriptionState::Pending => wit::SubscriptionState::Pending,
        call::SubscriptionState::Active => wit::SubscriptionState::Active,
        call::SubscriptionState::Terminated => wit::SubscriptionState::Terminated,
    }
}

pub(super) fn notification(notification: call::Notification) -> wit::Notification {
    wit::Notification {
        state: state(notification.state),
        reason: notification.reason,
        expires: notification.expires,
        body: notification.body.as_ref().map(body),
        headers: headers(notification.headers),
    }
}
