//! What becomes of a SUBSCRIBE of ours: its answers, renewal, another try, the end (RFC 6665 §4.1.2).
//!
//! Entries: [`Endpoint::subscribe_response`], [`Endpoint::subscription_timer`]. Invariants: what was granted holds until it
//! runs out, whatever a renewal meets; a subscription is made anew after a 481 once.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::renewal::{is_passing, retry_within};
use super::subscribe::SubscriptionTimer;
use crate::endpoint::{
    Endpoint, Event, SubscriptionEnd, SubscriptionEvent, SubscriptionFailure, SubscriptionId,
    TransportFailure,
};
use crate::message::Message;

impl Endpoint {
    /// The final response to a SUBSCRIBE.
    pub(crate) fn subscribe_response(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        sent: &Bytes,
        response: Message,
    ) {
        let tries_max = self.config.limits.auth_tries_max;
        let code = response.code().unwrap_or(0);
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.pending = None;
        if subscription.unwanted && !subscription.leaving {
            return if code == 481 {
                self.subscription_ends(id, SubscriptionEnd::Unsubscribed(Ok(())))
            } else {
                self.leave_subscription(now, id)
            };
        }
        let again = match code {
            401 | 407 if subscription.tries < tries_max => {
                subscription.tries += 1;
                subscription
                    .login
                    .as_mut()
                    .is_some_and(|login| login.challenged(sent, &response))
            }
            423 if !subscription.leaving && !subscription.raised => {
                subscription.raised = true;
                let least = response.min_expires().ok().flatten().unwrap_or(0);
                let more = least > subscription.expires;
                subscription.expires = subscription.expires.max(least);
                more
            }
            _ => false,
        };
        match code {
            // Made; what is left of it ends with the NOTIFY or timer N.
            200..=299 if subscription.leaving => {
                let event = SubscriptionEvent::Released;
                self.emit(Event::Subscription {
                    subscription: id,
                    event,
                });
            }
            200..=299 => self.subscribed(now, id, &response),
            _ if again => self.send_subscribe(now, id),
            481 if subscription.leaving => {
                self.subscription_ends(id, SubscriptionEnd::Unsubscribed(Ok(())));
            }
            481 if subscription.dialog.is_some() && !subscription.remade => self.remake(now, id),
            _ => self.subscribe_failed(now, id, SubscriptionFailure::Rejected(Box::new(response))),
        }
    }

    /// A SUBSCRIBE got no response.
    pub(crate) fn subscribe_unanswered(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        why: Option<TransportFailure>,
    ) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.pending = None;
            if subscription.unwanted && !subscription.leaving {
                return self.leave_subscription(now, id);
            }
            let failure = why.map_or(SubscriptionFailure::Timeout, SubscriptionFailure::Transport);
            self.subscribe_failed(now, id, failure);
        }
    }

    fn subscribed(&mut self, now: Instant, id: SubscriptionId, response: &Message) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        (subscription.tries, subscription.raised, subscription.failures) = (0, false, 0);
        // The dialog counts on from the number that made it.
        if response
            .cseq()
            .is_ok_and(|cseq| cseq.seq > subscription.seq.last())
        {
            subscription.remade = false;
        }
        let granted = response.expires().ok().flatten().unwrap_or(subscription.expires);
        let fetches = subscription.expires == 0;
        self.schedule(now, id, granted);
        if response.code() == Some(204) && !fetches {
            // RFC 5839 §4.1: nothing has changed, so no NOTIFY follows.
            self.stop_subscription_timer(id, SubscriptionTimer::Notify);
        }
    }

    /// So many seconds are granted from now. None for a single fetch: its NOTIFY ends it.
    pub(super) fn schedule(&mut self, now: Instant, id: SubscriptionId, granted: u32) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if granted == 0 || subscription.unwanted {
            return;
        }
        let after = subscription.renew_after(granted);
        subscription.renew_at = now.checked_add(after);
        let end = Duration::from_secs(granted.into());
        subscription.ends_at = now.checked_add(end);
        self.set_subscription_timer(now, id, SubscriptionTimer::Renew, after);
        self.set_subscription_timer(now, id, SubscriptionTimer::Expiry, end);
    }

    /// The notifier says that so many seconds are left: an earlier end moves the renewal forward.
    pub(super) fn shorten(&mut self, now: Instant, id: SubscriptionId, left: u32) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        if left == 0 || subscription.unwanted {
            return;
        }
        let after = subscription.renew_after(left);
        let end = Duration::from_secs(left.into());
        subscription.ends_at = now.checked_add(end);
        if subscription.pending.is_none() && subscription.renew_at.is_none_or(|at| now + after < at) {
            subscription.renew_at = Some(now + after);
            self.set_subscription_timer(now, id, SubscriptionTimer::Renew, after);
        }
        self.set_subscription_timer(now, id, SubscriptionTimer::Expiry, end);
    }

    pub(super) fn subscribe_failed(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        failure: SubscriptionFailure,
    ) {
        let dice = self.random.next_u64();
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        (subscription.tries, subscription.raised) = (0, false);
        if subscription.leaving {
            return self.subscription_ends(id, SubscriptionEnd::Unsubscribed(Err(failure)));
        }
        let (passing, asked) = match &failure {
            SubscriptionFailure::Rejected(response) => (
                is_passing(response.code().unwrap_or(0)),
                response.retry_after().ok().flatten(),
            ),
            SubscriptionFailure::Timeout | SubscriptionFailure::Transport(_) => (true, None),
            _ => (false, None),
        };
        if subscription.dialog.is_none() || !passing {
            return self.subscription_ends(id, SubscriptionEnd::Failed(failure));
        }
        // What was granted still holds (RFC 6665 §4.1.2.2): try again until it runs out.
        subscription.failures = subscription.failures.saturating_add(1);
        let left = subscription.ends_at.map(|end| end.saturating_duration_since(now));
        let pause = retry_within(left, subscription.failures, asked, dice);
        subscription.renew_at = now.checked_add(pause);
        self.stop_subscription_timer(id, SubscriptionTimer::Notify);
        self.set_subscription_timer(now, id, SubscriptionTimer::Renew, pause);
    }

    /// The notifier has lost the dialog: a new one, once.
    fn remake(&mut self, now: Instant, id: SubscriptionId) {
        self.stop_subscription_timer(id, SubscriptionTimer::Expiry);
        let Some(mut subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        self.subscription_index.remove(&subscription.key);
        subscription.dialog = None;
        subscription.ends_at = None;
        subscription.remade = true;
        subscription.tries = 0;
        // Cannot fail: From was written with the same values before.
        let identified = self.identify(&mut subscription).is_ok();
        self.subscription_index.insert(subscription.key, id);
        self.subscriptions.insert(id, subscription);
        if identified {
            self.send_subscribe(now, id);
        } else {
            self.stats.invariant_breaks += 1;
            self.subscription_ends(id, SubscriptionEnd::Failed(SubscriptionFailure::Expired));
        }
    }

    pub(crate) fn subscription_timer(&mut self, now: Instant, id: SubscriptionId, timer: SubscriptionTimer) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        subscription.timers.take(timer);
        let pending = subscription.pending.is_some();
        let failed = match timer {
            SubscriptionTimer::Renew => {
                subscription.renew_at = None;
                if !pending {
                    self.send_subscribe(now, id);
                }
                return;
            }
            // Without a response timer F speaks, at this same time.
            SubscriptionTimer::Notify if pending => return,
            SubscriptionTimer::Notify if subscription.unwanted => {
                return self.subscription_ends(id, SubscriptionEnd::Unsubscribed(Ok(())));
            }
            SubscriptionTimer::Notify => SubscriptionFailure::NoNotify,
            SubscriptionTimer::Deadline => SubscriptionFailure::Timeout,
            SubscriptionTimer::Expiry => SubscriptionFailure::Expired,
        };
        self.subscription_ends(id, SubscriptionEnd::Failed(failed));
    }
}
