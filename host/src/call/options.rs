//! What a flow may ask of an operation: one plain struct per `…-options` resource of the contract.
//!
//! The defaults are the contract's defaults (`wit/sipcall.wit`). Whoever uses the options checks them.

use std::time::Duration;

use super::error::CallError;
use super::text::{self, Body, Header};

/// How to place a call. Seed: the named parameters of `makecall`.
#[derive(Debug, Clone)]
pub struct MakeCallOptions {
    /// Until the final answer; then CANCEL. Default 15 s.
    pub timeout: Duration,
    /// The offer; none sends an INVITE without one and the 2xx brings the peer's.
    pub offer: Option<Body>,
    /// Extra headers, order kept (seed `H_XXX`).
    pub headers: Vec<Header>,
    /// Who to authenticate as.
    pub credentials: Credentials,
    /// From user and display name.
    pub caller_id: Option<(String, Option<String>)>,
    /// A trunk of the tenant's configuration.
    pub trunk: Option<String>,
    /// Identity and credentials of a registration of this session.
    pub registration: Option<u32>,
    /// Hang up by itself this long after the answer.
    pub max_duration: Option<Duration>,
    /// Follow 300, 301 and 302 within the dial rules.
    pub follow_redirects: bool,
}

impl Default for MakeCallOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            offer: None,
            headers: Vec::new(),
            credentials: Credentials::None,
            caller_id: None,
            trunk: None,
            registration: None,
            max_duration: None,
            follow_redirects: false,
        }
    }
}

/// Who to authenticate as (RFC 7616): what the flow said last.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nobody: a challenge is a refusal.
    #[default]
    None,
    /// A login that the flow knows.
    Given(Login),
    /// A login that the operator configured under this name.
    Named(String),
}

impl Credentials {
    /// Refuses what could not stand in a header.
    pub(super) fn check(&self) -> Result<(), CallError> {
        let Self::Given(login) = self else { return Ok(()) };
        text::short(&login.username, "user name")?;
        text::short(&login.password, "password")?;
        login
            .realm
            .as_deref()
            .map_or(Ok(()), |realm| text::short(realm, "realm"))
    }

    /// The operator's name for it, if that was given.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::None | Self::Given(_) => None,
        }
    }

    /// What may be used at a host that a redirection leads to: the flow's own login, where it names its realm. The
    /// operator's are for the hosts that the tenant's policy granted them for.
    pub(super) fn portable(&self) -> Option<Login> {
        match self {
            Self::Given(login) if login.realm.is_some() => Some(login.clone()),
            _ => None,
        }
    }

    /// The login of the flow's own, then what the tenant's policy granted.
    pub(super) fn with(&self, granted: Vec<Login>) -> Vec<Login> {
        match self {
            Self::Given(login) => std::iter::once(login.clone()).chain(granted).collect(),
            Self::None | Self::Named(_) => granted,
        }
    }
}

/// User name and password for digest authentication (RFC 7616).
#[derive(Clone)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password; never logged.
    pub password: String,
    /// Realm it answers; none answers any.
    pub realm: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// When a gathering of digits is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigitPattern {
    /// A Lua 5.1 pattern searched for in all digits, as the seed does.
    Lua(String),
    /// A regular expression (linear time) searched for in all digits.
    Regex(String),
    /// Exactly so many digits.
    Length(u32),
    /// Any of these keys ends the input and is not part of it.
    Terminator(String),
}

/// How long and how much to gather. Seed: `gatherdigits`.
#[derive(Debug, Clone)]
pub struct GatherOptions {
    /// The longest wait between two digits. Default 3 s.
    pub inter_digit: Duration,
    /// The longest wait for the first digit; none: as `inter_digit`.
    pub first_digit: Option<Duration>,
    /// The longest time for all of it; none: no bound of its own.
    pub total: Option<Duration>,
    /// Default 64; at most [`GATHER_DIGITS_MAX`](super::GATHER_DIGITS_MAX).
    pub max_digits: u32,
    /// Forget digits typed before.
    pub clear_first: bool,
}

impl Default for GatherOptions {
    fn default() -> Self {
        Self {
            inter_digit: Duration::from_secs(3),
            first_digit: None,
            total: None,
            max_digits: 64,
            clear_first: false,
        }
    }
}

/// A new offer within a call. Seed: `reoffer`.
#[derive(Debug, Clone)]
pub struct ReofferOptions {
    /// The offer; none sends a re-INVITE without one.
    pub offer: Option<Body>,
    /// Default 15 s.
    pub timeout: Duration,
    /// Extra headers.
    pub headers: Vec<Header>,
    /// UPDATE (RFC 3311) instead of re-INVITE.
    pub use_update: bool,
}

impl Default for ReofferOptions {
    fn default() -> Self {
        Self {
            offer: None,
            timeout: Duration::from_secs(15),
            headers: Vec::new(),
            use_update: false,
        }
    }
}

/// A transfer. Seed: `blindxfer`.
#[derive(Debug, Clone)]
pub struct TransferOptions {
    /// Default 60 s.
    pub timeout: Duration,
    /// Extra headers.
    pub headers: Vec<Header>,
    /// Wait for the final NOTIFY instead of the 202.
    pub wait_for_outcome: bool,
    /// Keep the leg afterwards.
    pub keep_leg: bool,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            headers: Vec::new(),
            wait_for_outcome: false,
            keep_leg: false,
        }
    }
}

/// What a bridge relays.
#[derive(Debug, Clone)]
pub struct BridgeOptions {
    /// re-INVITE, UPDATE and hold.
    pub relay_offers: bool,
    /// INFO, DTMF included, and MESSAGE.
    pub relay_info: bool,
    /// Hang up the other leg when one ends.
    pub hangup_other: bool,
    /// Feature codes that become events instead of being relayed.
    pub watch_digits: Vec<String>,
    /// How long a peer may think about a relayed offer; then it is cancelled, and 504 for the peer that made it. Default
    /// 28 s, below the time after which the endpoint refuses an undecided offer by itself (30 s), so that the refusal
    /// can say why. Not a flow's to choose.
    pub offer_timeout: Duration,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            relay_offers: true,
            relay_info: true,
            hangup_other: true,
            watch_digits: Vec::new(),
            offer_timeout: Duration::from_secs(28),
        }
    }
}
