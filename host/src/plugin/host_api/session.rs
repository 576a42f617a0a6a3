//! `session`: what a flow knows of itself, its log, its clock and its budgets.

use tokio::time::Instant;

use super::bindings::call_flow::callbox::flow::session as wit;
use super::bindings::call_flow::callbox::flow::types::{Body, Error};
use super::types::{body_from, body_size, duration, error, milliseconds};
use crate::plugin::flow_log::Level;
use crate::plugin::state::{CallState, waited};

impl wit::Host for CallState {
    async fn id(&mut self) -> wasmtime::Result<String> {
        self.enter("session.id", 0).await;
        Ok(self.session.id().to_owned())
    }

    async fn tenant(&mut self) -> wasmtime::Result<String> {
        self.enter("session.tenant", 0).await;
        Ok(self.session.context().tenant.to_string())
    }

    async fn flow_version(&mut self) -> wasmtime::Result<String> {
        self.enter("session.flow-version", 0).await;
        Ok(self.session.context().version.to_string())
    }

    async fn config(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.enter("session.config", key.len()).await;
        let given = self.session.context().config.get(&key).cloned();
        Ok(self.pay(given))
    }

    async fn log(&mut self, level: wit::Level, message: String) -> wasmtime::Result<()> {
        self.enter("session.log", message.len()).await;
        let level = match level {
            wit::Level::Trace => Level::Trace,
            wit::Level::Debug => Level::Debug,
            wit::Level::Info => Level::Info,
            wit::Level::Warn => Level::Warn,
            wit::Level::Error => Level::Error,
        };
        self.log.line(level, &message);
        Ok(())
    }

    async fn sleep(&mut self, time: u32) -> wasmtime::Result<()> {
        self.enter("session.sleep", 0).await;
        let Self { session, meter, .. } = self;
        waited(meter, session.sleep(duration(time))).await;
        Ok(())
    }

    async fn remaining(&mut self) -> wasmtime::Result<wit::Budget> {
        self.enter("session.remaining", 0).await;
        Ok(wit::Budget {
            fuel: self.meter.total_left(),
            time: milliseconds(self.ends().saturating_duration_since(Instant::now())),
            memory_bytes: self.holdings.memory_left() as u64,
        })
    }

    async fn set_cdr_field(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), Error>> {
        self.enter("session.set-cdr-field", key.len() + value.len()).await;
        Ok(self.session.set_record_field(&key, &value).map_err(error))
    }

    async fn spawn(
        &mut self,
        flow: String,
        args: Body,
        after: u32,
    ) -> wasmtime::Result<Result<String, Error>> {
        self.enter("session.spawn", flow.len() + body_size(Some(&args)))
            .await;
        let args = body_from(&self.session, args);
        Ok(args
            .map_err(|mistake| self.session.mistaken("session.spawn", mistake))
            .and_then(|args| self.session.spawn(&flow, args, duration(after)))
            .map_err(error))
    }

    async fn send(&mut self, session: String, payload: Body) -> wasmtime::Result<Result<(), Error>> {
        self.enter("session.send", session.len() + body_size(Some(&payload)))
            .await;
        let payload = body_from(&self.session, payload);
        Ok(payload
            .map_err(|mistake| self.session.mistaken("session.send", mistake))
            .and_then(|payload| self.session.send(&session, payload))
            .map_err(error))
    }
}
