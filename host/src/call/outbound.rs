//! What a flow does to place a call: make-call, dial, cancel.
//!
//! An attempt that fails leaves the leg idle, so that the same leg may hunt through several destinations. News of an
//! attempt that was given up never reaches the next one: each carries its number.

use callbox_sip::endpoint::InviteRequest;

use super::command::Command;
use super::ending;
use super::error::CallError;
use super::events::EventKind;
use super::facts::{self, Facts};
use super::leg::{AnswerInfo, Direction, Leg, Phase};
use super::meter::Meter;
use super::options::MakeCallOptions;
use super::policy::DialRequest;
use super::redirect::{Fixed, Redirections};
use super::summary::Moments;
use super::target::DialTarget;
use super::text;
use crate::config::Capability;

impl Leg {
    /// Places the call and waits for its final answer. Seed `makecall`.
    ///
    /// # Errors
    /// `Rejected` with the status, `Timeout` (the INVITE is cancelled), `Denied`, `Invalid`, `WrongState`.
    pub async fn make_call(&self, dest: &str, options: &MakeCallOptions) -> Result<AnswerInfo, CallError> {
        self.start(dest, options, true)?;
        let answer = self
            .wait(Some(self.shared.session.deadline(options.timeout)), |inner| {
                inner.outcome.take()
            })
            .await;
        let mut inner = self.shared.lock();
        inner.awaited = false;
        if answer == Err(CallError::Timeout) && matches!(inner.phase, Phase::RingingOut | Phase::EarlyOut) {
            self.shared.abandon(&mut inner, &ending::no_answer(), None);
        }
        answer
    }

    /// The same without waiting: progress, answer and failure come as events.
    ///
    /// # Errors
    /// Those of [`Leg::make_call`] that need no answer of the peer's.
    pub fn dial(&self, dest: &str, options: &MakeCallOptions) -> Result<(), CallError> {
        self.start(dest, options, false)
    }

    /// Gives up a call that has not been answered; it fails with `Cancelled` and the leg is idle again.
    ///
    /// # Errors
    /// `WrongState` unless a call of ours waits for its answer; `Invalid` for a reason that is not one line.
    pub fn cancel(&self, reason: Option<&str>) -> Result<(), CallError> {
        let mut inner = self.shared.lock();
        if !matches!(inner.phase, Phase::RingingOut | Phase::EarlyOut) {
            return Err(inner.wrong_state("cancel"));
        }
        let reason = reason.map(text::reason_text).transpose()?.map(facts::reason);
        if inner.awaited {
            inner.outcome = Some(Err(CallError::Cancelled));
        }
        let awaited = inner.awaited;
        let info = ending::given_up(reason.as_ref());
        self.shared.abandon(&mut inner, &info, reason);
        drop(inner);
        if awaited {
            self.shared.session.changed.notify_waiters();
        } else {
            self.shared
                .session
                .post(self.shared.id, EventKind::Failed(CallError::Cancelled));
        }
        Ok(())
    }

    fn start(&self, dest: &str, options: &MakeCallOptions, awaited: bool) -> Result<(), CallError> {
        self.shared.session.require(Capability::Dial)?;
        {
            let inner = self.shared.lock();
            if inner.phase != Phase::Idle {
                return Err(inner.wrong_state("make-call"));
            }
        }
        let target = DialTarget::parse(dest)?;
        let session = &self.shared.session;
        text::check_headers(&options.headers, &session.context.limits)?;
        options.credentials.check()?;
        if let Some((user, name)) = &options.caller_id {
            facts::check_caller_id(user, name.as_deref())?;
        }
        let registration = match options.registration {
            None => None,
            Some(id) => Some(session.registration(id).ok_or_else(|| {
                CallError::UnknownDestination(format!("no registration {id} in this session"))
            })?),
        };
        let grant = session.context.policy.grant(&DialRequest {
            target: &target,
            caller_user: options.caller_id.as_ref().map(|(user, _)| user.as_str()),
            caller_name: options.caller_id.as_ref().and_then(|(_, name)| name.as_deref()),
            trunk: options.trunk.as_deref(),
            credential: options.credentials.name(),
        })?;
        let mut logins = options.credentials.with(grant.logins);
        let mut from = facts::from_of(&grant.from_user, grant.from_name, grant.from_host);
        let mut from_user = grant.from_user;
        if let Some(registration) = &registration {
            let identity = &registration.identity;
            logins.extend(identity.logins.iter().cloned());
            // A caller id that the flow set, and the policy granted, goes before.
            if options.caller_id.is_none() {
                from_user.clone_from(&identity.user);
                from = facts::from_of(
                    &identity.user,
                    from.display.take().map(Into::into),
                    Some(identity.host.clone()),
                );
            }
        }
        let invite = InviteRequest {
            uri: grant.uri.unwrap_or_else(|| target.as_str().to_owned()),
            from,
            to: None,
            next_hop: grant.next_hop,
            headers: options.headers.iter().map(facts::to_sip_header).collect(),
            body: options.offer.as_ref().map(facts::to_sip_body),
            credentials: logins.iter().map(facts::to_sip_credentials).collect(),
            contact_user: None,
            timeout: options.timeout,
        };
        let uri = invite.uri.clone();
        let redirections = options.follow_redirects.then(|| {
            Redirections::new(
                &invite,
                options,
                Fixed {
                    identity: registration.is_some(),
                    through_trunk: grant.through_trunk,
                },
                session.deadline(options.timeout),
            )
        });
        let mut inner = self.shared.lock();
        if inner.phase != Phase::Idle {
            return Err(inner.wrong_state("make-call"));
        }
        session
            .context
            .bounds
            .take(|bounds| &bounds.dials, "limits.tenant.dials_rate")?;
        session.context.policy.dial()?;
        let attempt = inner.attempt;
        self.shared.command(
            &mut inner,
            Command::Invite {
                attempt,
                request: Box::new(invite),
            },
        )?;
        inner.direction = Direction::Outbound;
        inner.phase = Phase::RingingOut;
        inner.awaited = awaited;
        inner.outcome = None;
        inner.local_body.clone_from(&options.offer);
        inner.remote_body = None;
        inner.redirections = redirections;
        inner.facts = Facts::dialled(from_user, uri);
        inner.moments = Moments::begin();
        inner.meter = Meter::new(&session.context.policy, options.max_duration).map(Box::new);
        Ok(())
    }
}
