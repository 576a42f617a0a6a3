//! `sipcall`: legs.

use wasmtime::component::Resource;

use super::bindings::call_flow::callbox::flow::sipcall as wit;
use super::bindings::call_flow::callbox::flow::types::{Body, Error, HangupInfo, Header, Status};
use super::options::{BridgeChoices, GatherChoices, MakeCallChoices, ReofferChoices, TransferChoices};
use super::types::{
    body, body_from, body_size, duration, error, hangup_info, headers, headers_from, milliseconds, size,
    status,
};
use crate::call::{self, DigitPattern, Leg, Needs};
use crate::plugin::state::{CallState, waited};

/// What one gathering may cost the host, paid in advance: a regular expression is compiled, a Lua pattern tried anew
/// with each digit.
fn cost(pattern: &DigitPattern) -> usize {
    match pattern {
        DigitPattern::Regex(text) => text.len() + 2_000_000,
        DigitPattern::Lua(text) => text.len() + 200_000,
        DigitPattern::Length(_) | DigitPattern::Terminator(_) => 1_000,
    }
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl wit::HostCall for CallState {
    async fn new(&mut self) -> wasmtime::Result<Resource<Leg>> {
        self.enter("call.new", 0).await;
        Ok(self.table.push(self.session.leg())?)
    }

    async fn id(&mut self, this: Resource<Leg>) -> wasmtime::Result<u32> {
        self.enter("call.id", 0).await;
        Ok(self.leg(&this)?.id())
    }

    async fn state(&mut self, this: Resource<Leg>) -> wasmtime::Result<wit::CallState> {
        self.enter("call.state", 0).await;
        Ok(match self.leg(&this)?.state() {
            call::CallState::Idle => wit::CallState::Idle,
            call::CallState::RingingOut => wit::CallState::RingingOut,
            call::CallState::RingingIn => wit::CallState::RingingIn,
            call::CallState::Early => wit::CallState::Early,
            call::CallState::OfferedByRemote => wit::CallState::OfferedByRemote,
            call::CallState::Connected => wit::CallState::Connected,
            call::CallState::Reoffering => wit::CallState::Reoffering,
            call::CallState::Held => wit::CallState::Held,
            call::CallState::Terminated => wit::CallState::Terminated,
        })
    }

    async fn direction(&mut self, this: Resource<Leg>) -> wasmtime::Result<wit::Direction> {
        self.enter("call.direction", 0).await;
        Ok(match self.leg(&this)?.direction() {
            call::Direction::Inbound => wit::Direction::Inbound,
            call::Direction::Outbound => wit::Direction::Outbound,
        })
    }

    // ---- outbound

    async fn make_call(
        &mut self,
        this: Resource<Leg>,
        dest: String,
        options: Resource<MakeCallChoices>,
    ) -> Answer<wit::AnswerInfo> {
        self.enter("call.make-call", dest.len()).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        let options = match table.get(&options)?.checked() {
            Ok(options) => options,
            Err(mistake) => return Ok(Err(error(leg.mistaken("make-call", Needs::Idle, mistake)))),
        };
        Ok(waited(meter, leg.make_call(&dest, options))
            .await
            .map(answer_info)
            .map_err(error))
    }

    async fn dial(
        &mut self,
        this: Resource<Leg>,
        dest: String,
        options: Resource<MakeCallChoices>,
    ) -> Answer<()> {
        self.enter("call.dial", dest.len()).await;
        let leg = self.leg(&this)?;
        let options = self.table.get(&options)?.checked();
        Ok(options
            .map_err(|mistake| leg.mistaken("dial", Needs::Idle, mistake))
            .and_then(|options| leg.dial(&dest, options))
            .map_err(error))
    }

    async fn cancel(&mut self, this: Resource<Leg>, reason: Option<String>) -> Answer<()> {
        self.enter("call.cancel", reason.as_ref().map_or(0, String::len))
            .await;
        Ok(self.leg(&this)?.cancel(reason.as_deref()).map_err(error))
    }

    // ---- inbound

    async fn accept(&mut self, this: Resource<Leg>, service: String, timeout: u32) -> Answer<()> {
        self.enter("call.accept", service.len()).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(waited(meter, leg.accept(&service, duration(timeout)))
            .await
            .map_err(error))
    }

    async fn ring(&mut self, this: Resource<Leg>, headers: Vec<Header>) -> Answer<()> {
        self.enter("call.ring", size(&headers)).await;
        let leg = self.leg(&this)?;
        Ok(headers_from(&self.session, &headers)
            .map_err(|mistake| leg.mistaken("ring", Needs::Unanswered, mistake))
            .and_then(|headers| leg.ring(headers))
            .map_err(error))
    }

    async fn progress(
        &mut self,
        this: Resource<Leg>,
        code: u16,
        body: Option<Body>,
        headers: Vec<Header>,
    ) -> Answer<()> {
        self.enter("call.progress", size(&headers) + body_size(body.as_ref()))
            .await;
        let leg = self.leg(&this)?;
        let parsed = || {
            let body = body.map(|body| body_from(&self.session, body)).transpose()?;
            Ok((body, headers_from(&self.session, &headers)?))
        };
        Ok(parsed()
            .map_err(|mistake| leg.mistaken("progress", Needs::Unanswered, mistake))
            .and_then(|(body, headers)| leg.progress(code, body, headers))
            .map_err(error))
    }

    async fn answer(
        &mut self,
        this: Resource<Leg>,
        body: Body,
        headers: Vec<Header>,
        timeout: u32,
    ) -> Answer<()> {
        self.enter("call.answer", size(&headers) + body_size(Some(&body)))
            .await;
        let Self {
            table,
            meter,
            session,
            ..
        } = self;
        let leg = table.get(&this)?;
        let parsed = body_from(session, body).and_then(|body| Ok((body, headers_from(session, &headers)?)));
        match parsed {
            Ok((body, headers)) => Ok(waited(meter, leg.answer(body, headers, duration(timeout)))
                .await
                .map_err(error)),
            Err(mistake) => Ok(Err(error(leg.mistaken("answer", Needs::Answerable, mistake)))),
        }
    }

    async fn reject(
        &mut self,
        this: Resource<Leg>,
        code: u16,
        reason: Option<String>,
        headers: Vec<Header>,
    ) -> Answer<()> {
        self.enter(
            "call.reject",
            size(&headers) + reason.as_ref().map_or(0, String::len),
        )
        .await;
        let leg = self.leg(&this)?;
        let headers = headers_from(&self.session, &headers);
        Ok(headers
            .map_err(|mistake| leg.mistaken("reject", Needs::Unanswered, mistake))
            .and_then(|headers| leg.reject(code, reason.as_deref(), headers))
            .map_err(error))
    }

    async fn redirect(&mut self, this: Resource<Leg>, contacts: Vec<String>) -> Answer<()> {
        self.enter("call.redirect", contacts.iter().map(String::len).sum())
            .await;
        Ok(self.leg(&this)?.redirect(&contacts).map_err(error))
    }

    // ---- facts

    async fn remote_offer(&mut self, this: Resource<Leg>) -> wasmtime::Result<Option<Body>> {
        self.enter("call.remote-offer", 0).await;
        let given = self.leg(&this)?.remote_offer().as_ref().map(body);
        Ok(self.pay(given))
    }

    async fn local_offer(&mut self, this: Resource<Leg>) -> wasmtime::Result<Option<Body>> {
        self.enter("call.local-offer", 0).await;
        let given = self.leg(&this)?.local_offer().as_ref().map(body);
        Ok(self.pay(given))
    }

    async fn ani(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.ani", 0).await;
        let given = self.leg(&this)?.ani();
        Ok(self.pay(given))
    }

    async fn dnis(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.dnis", 0).await;
        let given = self.leg(&this)?.dnis();
        Ok(self.pay(given))
    }

    async fn request_uri(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.request-uri", 0).await;
        let given = self.leg(&this)?.request_uri();
        Ok(self.pay(given))
    }

    async fn from_uri(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.from-uri", 0).await;
        let given = self.leg(&this)?.from_uri();
        Ok(self.pay(given))
    }

    async fn to_uri(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.to-uri", 0).await;
        let given = self.leg(&this)?.to_uri();
        Ok(self.pay(given))
    }

    async fn sip_call_id(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.sip-call-id", 0).await;
        let given = self.leg(&this)?.sip_call_id();
        Ok(self.pay(given))
    }

    async fn header(&mut self, this: Resource<Leg>, name: String) -> wasmtime::Result<Vec<String>> {
        self.enter("call.header", name.len()).await;
        let given = self.leg(&this)?.header(&name);
        Ok(self.pay(given))
    }

    // ---- DTMF

    async fn wait_for_dtmf(&mut self, this: Resource<Leg>, timeout: u32) -> Answer<wit::Dtmf> {
        self.enter("call.wait-for-dtmf", 0).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(waited(meter, leg.wait_for_dtmf(duration(timeout)))
            .await
            .map(dtmf)
            .map_err(error))
    }

    async fn gather_digits(
        &mut self,
        this: Resource<Leg>,
        pattern: wit::DigitPattern,
        options: Resource<GatherChoices>,
    ) -> Answer<wit::Gathered> {
        let pattern = match pattern {
            wit::DigitPattern::Lua(text) => DigitPattern::Lua(text),
            wit::DigitPattern::Regex(text) => DigitPattern::Regex(text),
            wit::DigitPattern::Length(digits) => DigitPattern::Length(digits),
            wit::DigitPattern::Terminator(keys) => DigitPattern::Terminator(keys),
        };
        self.enter("call.gather-digits", cost(&pattern)).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        let options = match table.get(&options)?.checked() {
            Ok(options) => options,
            Err(mistake) => return Ok(Err(error(mistake))),
        };
        Ok(waited(meter, leg.gather_digits(&pattern, options))
            .await
            .map(gathered)
            .map_err(error))
    }

    async fn dtmf_buffer(&mut self, this: Resource<Leg>) -> wasmtime::Result<String> {
        self.enter("call.dtmf-buffer", 0).await;
        let given = self.leg(&this)?.dtmf_buffer();
        Ok(self.pay(given))
    }

    async fn clean_dtmf_buffer(&mut self, this: Resource<Leg>) -> wasmtime::Result<()> {
        self.enter("call.clean-dtmf-buffer", 0).await;
        self.leg(&this)?.clean_dtmf_buffer();
        Ok(())
    }

    async fn send_dtmf(&mut self, this: Resource<Leg>, digits: String, length: u32, gap: u32) -> Answer<()> {
        self.enter("call.send-dtmf", digits.len()).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(
            waited(meter, leg.send_dtmf(&digits, duration(length), duration(gap)))
                .await
                .map_err(error),
        )
    }

    // ---- in the dialog

    async fn send_info(
        &mut self,
        this: Resource<Leg>,
        content: Body,
        headers: Vec<Header>,
        wait: Option<u32>,
    ) -> Answer<Option<wit::InfoResponse>> {
        self.enter("call.send-info", size(&headers) + body_size(Some(&content)))
            .await;
        let Self {
            table,
            meter,
            session,
            ..
        } = self;
        let leg = table.get(&this)?;
        let parsed =
            body_from(session, content).and_then(|content| Ok((content, headers_from(session, &headers)?)));
        let (content, headers) = match parsed {
            Ok(parsed) => parsed,
            Err(mistake) => return Ok(Err(error(leg.mistaken("send-info", Needs::Established, mistake)))),
        };
        let response = waited(meter, leg.send_info(content, headers, wait.map(duration))).await;
        let translated = |response: call::InfoResponse| wit::InfoResponse {
            status: status(response.status),
            body: response.body.as_ref().map(body),
        };
        Ok(response.map(|response| response.map(translated)).map_err(error))
    }

    async fn wait_for_info(&mut self, this: Resource<Leg>, timeout: u32) -> Answer<wit::InfoRequest> {
        self.enter("call.wait-for-info", 0).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(waited(meter, leg.wait_for_info(duration(timeout)))
            .await
            .map(info_request)
            .map_err(error))
    }

    async fn clean_info_buffer(&mut self, this: Resource<Leg>) -> wasmtime::Result<()> {
        self.enter("call.clean-info-buffer", 0).await;
        self.leg(&this)?.clean_info_buffer();
        Ok(())
    }

    async fn send_message(&mut self, this: Resource<Leg>, content: Body, timeout: u32) -> Answer<Status> {
        self.enter("call.send-message", body_size(Some(&content))).await;
        let Self {
            table,
            meter,
            session,
            ..
        } = self;
        let leg = table.get(&this)?;
        match body_from(session, content) {
            Ok(content) => Ok(waited(meter, leg.send_message(content, duration(timeout)))
                .await
                .map(status)
                .map_err(error)),
            Err(mistake) => Ok(Err(error(leg.mistaken(
                "send-message",
                Needs::Established,
                mistake,
            )))),
        }
    }

    async fn reoffer(
        &mut self,
        this: Resource<Leg>,
        options: Resource<ReofferChoices>,
    ) -> Answer<wit::AnswerInfo> {
        self.enter("call.reoffer", 0).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        match table.get(&options)?.checked() {
            Ok(options) => Ok(waited(meter, leg.reoffer(options))
                .await
                .map(answer_info)
                .map_err(error)),
            Err(mistake) => Ok(Err(error(leg.mistaken("reoffer", Needs::Settled, mistake)))),
        }
    }

    async fn hold(&mut self, this: Resource<Leg>) -> Answer<()> {
        self.enter("call.hold", 0).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(waited(meter, leg.hold()).await.map_err(error))
    }

    async fn resume(&mut self, this: Resource<Leg>) -> Answer<()> {
        self.enter("call.resume", 0).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(waited(meter, leg.resume()).await.map_err(error))
    }

    // ---- transfer

    async fn blind_transfer(
        &mut self,
        this: Resource<Leg>,
        dest: String,
        options: Resource<TransferChoices>,
    ) -> Answer<wit::TransferResult> {
        self.enter("call.blind-transfer", dest.len()).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        match table.get(&options)?.checked() {
            Ok(options) => Ok(waited(meter, leg.blind_transfer(&dest, options))
                .await
                .map(transferred)
                .map_err(error)),
            Err(mistake) => Ok(Err(error(leg.mistaken(
                "blind-transfer",
                Needs::Settled,
                mistake,
            )))),
        }
    }

    async fn attended_transfer(
        &mut self,
        this: Resource<Leg>,
        other: Resource<Leg>,
        options: Resource<TransferChoices>,
    ) -> Answer<wit::TransferResult> {
        self.enter("call.attended-transfer", 0).await;
        let Self { table, meter, .. } = self;
        let (leg, other) = (table.get(&this)?, table.get(&other)?);
        match table.get(&options)?.checked() {
            Ok(options) => Ok(waited(meter, leg.attended_transfer(other, options))
                .await
                .map(transferred)
                .map_err(error)),
            Err(mistake) => Ok(Err(error(leg.mistaken(
                "attended-transfer",
                Needs::Settled,
                mistake,
            )))),
        }
    }

    // ---- end

    async fn hangup(&mut self, this: Resource<Leg>, reason: Option<String>) -> Answer<()> {
        self.enter("call.hangup", reason.as_ref().map_or(0, String::len))
            .await;
        Ok(self.leg(&this)?.hangup(reason.as_deref()).map_err(error))
    }

    async fn wait_for_hangup(&mut self, this: Resource<Leg>, timeout: Option<u32>) -> Answer<HangupInfo> {
        self.enter("call.wait-for-hangup", 0).await;
        let Self { table, meter, .. } = self;
        let leg = table.get(&this)?;
        Ok(waited(meter, leg.wait_for_hangup(timeout.map(duration)))
            .await
            .map(hangup_info)
            .map_err(error))
    }

    /// The guest let go of the leg: dropping it hangs up.
    async fn drop(&mut self, this: Resource<Leg>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl wit::Host for CallState {
    async fn bridge(
        &mut self,
        a: Resource<Leg>,
        b: Resource<Leg>,
        options: Resource<BridgeChoices>,
    ) -> Answer<()> {
        self.enter("sipcall.bridge", 0).await;
        let Self {
            table,
            meter,
            session,
            ..
        } = self;
        let (a, b) = (table.get(&a)?, table.get(&b)?);
        match table.get(&options)?.checked() {
            Ok(options) => Ok(waited(meter, session.bridge(a, b, options)).await.map_err(error)),
            Err(mistake) => Ok(Err(error(session.mistaken("sipcall.bridge", mistake)))),
        }
    }

    async fn unbridge(&mut self, a: Resource<Leg>) -> Answer<()> {
        self.enter("sipcall.unbridge", 0).await;
        let leg = self.table.get(&a)?;
        Ok(self.session.unbridge(leg).map_err(error))
    }
}

pub(super) fn answer_info(info: call::AnswerInfo) -> wit::AnswerInfo {
    wit::AnswerInfo {
        status: status(info.status),
        body: info.body.as_ref().map(body),
        headers: headers(info.headers),
    }
}

pub(super) fn dtmf(dtmf: call::Dtmf) -> wit::Dtmf {
    wit::Dtmf {
        digit: dtmf.digit,
        duration: dtmf.duration.map(milliseconds),
        source: match dtmf.source {
            call::DtmfSource::InfoDtmfRelay => wit::DtmfSource::InfoDtmfRelay,
            call::DtmfSource::InfoDtmf => wit::DtmfSource::InfoDtmf,
        },
    }
}

pub(super) fn info_request(info: call::InfoRequest) -> wit::InfoRequest {
    wit::InfoRequest {
        body: info.body.as_ref().map(body),
        headers: headers(info.headers),
    }
}

fn gathered(gathered: call::Gathered) -> wit::Gathered {
    wit::Gathered {
        outcome: match gathered.outcome {
            call::GatherOutcome::Matched => wit::GatherOutcome::Matched,
            call::GatherOutcome::TimedOut => wit::GatherOutcome::TimedOut,
            call::GatherOutcome::HungUp => wit::GatherOutcome::HungUp,
            call::GatherOutcome::TooManyDigits => wit::GatherOutcome::TooManyDigits,
        },
        digits: gathered.digits,
    }
}

fn transferred(result: call::TransferResult) -> wit::TransferResult {
    wit::TransferResult {
        accepted: status(result.accepted),
        outcome: result.outcome.map(status),
    }
}
