//! The `…-options` resources of `sipcall`: setters that remember, and the first mistake among them.
//!
//! A setter returns nothing in the contract, so what does not parse is told by the method that uses the options.

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::{
    sipcall as wit,
    types::{self, Header},
};
use super::types::{body_from, body_size, duration};
use crate::call::{
    self, BridgeOptions, CallError, Credentials, Denial, GatherOptions, Login, MakeCallOptions,
    ReofferOptions, Session, TransferOptions,
};
use crate::plugin::state::CallState;

/// Options as a guest sets them.
#[derive(Debug, Clone, Default)]
pub struct Choices<T> {
    value: T,
    mistake: Option<CallError>,
}

pub type MakeCallChoices = Choices<MakeCallOptions>;
pub type GatherChoices = Choices<GatherOptions>;
pub type ReofferChoices = Choices<ReofferOptions>;
pub type TransferChoices = Choices<TransferOptions>;
pub type BridgeChoices = Choices<BridgeOptions>;

impl<T> Choices<T> {
    /// The options, if every one of them parsed.
    pub(super) fn checked(&self) -> Result<&T, CallError> {
        match &self.mistake {
            None => Ok(&self.value),
            Some(mistake) => Err(mistake.clone()),
        }
    }

    /// Takes a value, or keeps the first mistake.
    fn take<V>(&mut self, value: Result<V, CallError>, set: impl FnOnce(&mut T, V)) {
        match value {
            Ok(value) => set(&mut self.value, value),
            Err(mistake) => {
                self.mistake.get_or_insert(mistake);
            }
        }
    }
}

impl CallState {
    /// A setter of a plain value.
    pub(super) async fn choose<T: Send + 'static>(
        &mut self,
        choices: &Resource<Choices<T>>,
        bytes: usize,
        set: impl FnOnce(&mut T) + Send,
    ) -> wasmtime::Result<()> {
        self.enter("options.set", bytes).await;
        set(&mut self.table.get_mut(choices)?.value);
        Ok(())
    }

    /// A setter of a value that may not parse.
    pub(super) async fn choose_checked<T: Send + 'static, V>(
        &mut self,
        choices: &Resource<Choices<T>>,
        bytes: usize,
        parse: impl FnOnce(&Session) -> Result<V, CallError> + Send,
        set: impl FnOnce(&mut T, V) + Send,
    ) -> wasmtime::Result<()> {
        self.enter("options.set", bytes).await;
        let value = parse(&self.session);
        self.table.get_mut(choices)?.take(value, set);
        Ok(())
    }

    pub(super) async fn new_choices<T: Default + Send + 'static>(
        &mut self,
    ) -> wasmtime::Result<Resource<Choices<T>>> {
        self.enter("options.new", 0).await;
        Ok(self.table.push(Choices {
            value: T::default(),
            mistake: None,
        })?)
    }

    pub(super) fn forget<T: Send + 'static>(&mut self, object: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(object)?;
        Ok(())
    }

    /// A setter that adds one text to a list; the list takes as many as a message takes headers.
    pub(super) async fn add_text<T: Send + 'static>(
        &mut self,
        choices: &Resource<Choices<T>>,
        text: String,
        list: impl Fn(&mut T) -> &mut Vec<String> + Send,
    ) -> wasmtime::Result<()> {
        self.enter("options.set", text.len()).await;
        let limit = self.session.context().limits.headers_max;
        let choices = self.table.get_mut(choices)?;
        let room = if list(&mut choices.value).len() >= limit {
            Err(CallError::Denied(Denial::Limit("limits.call.headers_max")))
        } else {
            Ok(text)
        };
        choices.take(room, |options, text| list(options).push(text));
        Ok(())
    }

    /// A setter that adds one header.
    pub(super) async fn add_header<T: Send + 'static>(
        &mut self,
        choices: &Resource<Choices<T>>,
        header: Header,
        list: impl Fn(&mut T) -> &mut Vec<call::Header> + Send,
    ) -> wasmtime::Result<()> {
        self.enter("options.set", header.name.len() + header.value.len())
            .await;
        let limit = self.session.context().limits.headers_max;
        let parsed = self.session.header(&header.name, &header.value);
        let choices = self.table.get_mut(choices)?;
        let full = list(&mut choices.value).len() >= limit;
        let parsed = if full {
            Err(CallError::Denied(Denial::Limit("limits.call.headers_max")))
        } else {
            parsed
        };
        choices.take(parsed, |options, header| list(options).push(header));
        Ok(())
    }
}

/// The setters that most options have: `timeout` and `header`.
macro_rules! timeout_and_header {
    ($Choices:ty) => {
        async fn timeout(&mut self, this: Resource<$Choices>, value: u32) -> wasmtime::Result<()> {
            self.choose(&this, 0, |options| options.timeout = duration(value))
                .await
        }
        async fn header(&mut self, this: Resource<$Choices>, value: Header) -> wasmtime::Result<()> {
            self.add_header(&this, value, |options| &mut options.headers)
                .await
        }
    };
}

/// The setters of what goes out of the host anew: who to be, and which way.
macro_rules! login_and_trunk {
    ($Choices:ty) => {
        async fn credentials(
            &mut self,
            this: Resource<$Choices>,
            username: String,
            password: String,
            realm: Option<String>,
        ) -> wasmtime::Result<()> {
            let bytes = username.len() + password.len() + realm.as_ref().map_or(0, String::len);
            let login = Login {
                username,
                password,
                realm,
            };
            self.choose(&this, bytes, |options| {
                options.credentials = Credentials::Given(login)
            })
            .await
        }
        async fn credential_name(&mut self, this: Resource<$Choices>, name: String) -> wasmtime::Result<()> {
            self.choose(&this, name.len(), |options| {
                options.credentials = Credentials::Named(name)
            })
            .await
        }
        async fn trunk(&mut self, this: Resource<$Choices>, name: String) -> wasmtime::Result<()> {
            self.choose(&this, name.len(), |options| options.trunk = Some(name))
                .await
        }
    };
}

pub(super) use {login_and_trunk, timeout_and_header};

impl wit::HostMakeCallOptions for CallState {
    timeout_and_header!(MakeCallChoices);
    login_and_trunk!(MakeCallChoices);
    async fn new(&mut self) -> wasmtime::Result<Resource<MakeCallChoices>> {
        self.new_choices().await
    }
    async fn offer(&mut self, this: Resource<MakeCallChoices>, value: types::Body) -> wasmtime::Result<()> {
        let bytes = body_size(Some(&value));
        self.choose_checked(
            &this,
            bytes,
            |session| body_from(session, value),
            |options, body| options.offer = Some(body),
        )
        .await
    }
    async fn caller_id(
        &mut self,
        this: Resource<MakeCallChoices>,
        user: String,
        display_name: Option<String>,
    ) -> wasmtime::Result<()> {
        let bytes = user.len() + display_name.as_ref().map_or(0, String::len);
        self.choose(&this, bytes, |options| {
            options.caller_id = Some((user, display_name))
        })
        .await
    }
    async fn registration(&mut self, this: Resource<MakeCallChoices>, id: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.registration = Some(id))
            .await
    }
    async fn max_duration(&mut self, this: Resource<MakeCallChoices>, value: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.max_duration = Some(duration(value)))
            .await
    }
    async fn follow_redirects(
        &mut self,
        this: Resource<MakeCallChoices>,
        value: bool,
    ) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.follow_redirects = value)
            .await
    }
    async fn drop(&mut self, this: Resource<MakeCallChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostGatherOptions for CallState {
    async fn new(&mut self) -> wasmtime::Result<Resource<GatherChoices>> {
        self.new_choices().await
    }
    async fn inter_digit(&mut self, this: Resource<GatherChoices>, value: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.inter_digit = duration(value))
            .await
    }
    async fn first_digit(&mut self, this: Resource<GatherChoices>, value: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.first_digit = Some(duration(value)))
            .await
    }
    async fn total(&mut self, this: Resource<GatherChoices>, value: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.total = Some(duration(value)))
            .await
    }
    async fn max_digits(&mut self, this: Resource<GatherChoices>, value: u32) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.max_digits = value).await
    }
    async fn clear_first(&mut self, this: Resource<GatherChoices>, value: bool) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.clear_first = value).await
    }
    async fn drop(&mut self, this: Resource<GatherChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostReofferOptions for CallState {
    timeout_and_header!(ReofferChoices);

    async fn new(&mut self) -> wasmtime::Result<Resource<ReofferChoices>> {
        self.new_choices().await
    }
    async fn offer(&mut self, this: Resource<ReofferChoices>, value: types::Body) -> wasmtime::Result<()> {
        let bytes = body_size(Some(&value));
        self.choose_checked(
            &this,
            bytes,
            |session| body_from(session, value),
            |options, body| options.offer = Some(body),
        )
        .await
    }
    async fn use_update(&mut self, this: Resource<ReofferChoices>, value: bool) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.use_update = value).await
    }
    async fn drop(&mut self, this: Resource<ReofferChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostTransferOptions for CallState {
    timeout_and_header!(TransferChoices);

    async fn new(&mut self) -> wasmtime::Result<Resource<TransferChoices>> {
        self.new_choices().await
    }
    async fn wait_for_outcome(
        &mut self,
        this: Resource<TransferChoices>,
        value: bool,
    ) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.wait_for_outcome = value)
            .await
    }
    async fn keep_leg(&mut self, this: Resource<TransferChoices>, value: bool) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.keep_leg = value).await
    }
    async fn drop(&mut self, this: Resource<TransferChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}

impl wit::HostBridgeOptions for CallState {
    async fn new(&mut self) -> wasmtime::Result<Resource<BridgeChoices>> {
        self.new_choices().await
    }
    async fn relay_offers(&mut self, this: Resource<BridgeChoices>, value: bool) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.relay_offers = value)
            .await
    }
    async fn relay_info(&mut self, this: Resource<BridgeChoices>, value: bool) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.relay_info = value).await
    }
    async fn hangup_other(&mut self, this: Resource<BridgeChoices>, value: bool) -> wasmtime::Result<()> {
        self.choose(&this, 0, |options| options.hangup_other = value)
            .await
    }
    async fn watch_digits(&mut self, this: Resource<BridgeChoices>, value: String) -> wasmtime::Result<()> {
        self.add_text(&this, value, |options| &mut options.watch_digits)
            .await
    }
    async fn drop(&mut self, this: Resource<BridgeChoices>) -> wasmtime::Result<()> {
        self.forget(this)
    }
}
