//! What a flow may be granted: *the* table of capabilities, with the functions of the contract that each covers.
//!
//! A capability is a name in `grants = […]` and stands for functions of `wit/` that reach beyond the call that came in:
//! what an incoming call itself needs (ring, progress, answer, reject, hang up, digits, facts, events, the log) is
//! nobody's to withhold. A function is named `interface.function` here, as in `sipcall.call.make-call`. Knows nothing of
//! who grants what. Entry types: [`Capability`], [`Capabilities`]. Invariant: no function is covered twice.

use std::fmt;
use std::str::FromStr;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $Name:ident $name:literal covers [$($function:literal),*])*) => {
        /// Something that a flow may be granted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Capability {
            $($(#[$doc])* $Name,)*
        }

        impl Capability {
            /// All there are, in the order of the table.
            pub const ALL: [Self; [$(stringify!($Name)),*].len()] = [$(Self::$Name),*];

            /// Its name in the configuration.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$Name => $name,)*
                }
            }

            /// The functions of the contract that need it.
            #[must_use]
            pub fn functions(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Name => &[$($function),*],)*
                }
            }
        }
    };
}

capabilities! {
    /// Calls out, redirections followed included.
    Dial "dial" covers ["sipcall.call.make-call", "sipcall.call.dial"]
    /// Taking calls of a service or of a registration.
    Accept "accept" covers ["sipcall.call.accept"]
    /// Sending the caller elsewhere.
    Redirect "redirect" covers ["sipcall.call.redirect"]
    /// Asking the peer to call somebody, and doing so when the peer asks.
    Transfer "transfer" covers ["sipcall.call.blind-transfer", "sipcall.call.attended-transfer", "events.referral.accept"]
    /// Joining two legs in the host.
    Bridge "bridge" covers ["sipcall.bridge"]
    /// Offers within a call.
    Reoffer "reoffer" covers ["sipcall.call.reoffer", "sipcall.call.hold", "sipcall.call.resume"]
    /// INFO within a call, digits included.
    Info "info" covers ["sipcall.call.send-info", "sipcall.call.send-dtmf"]
    /// MESSAGE within a call.
    Message "message" covers ["sipcall.call.send-message"]
    /// Registrations.
    Registration "registration" covers ["registration.registration.start"]
    /// Event subscriptions.
    Subscription "subscription" covers ["subscription.subscription.start"]
    /// Starting other flows of the tenant.
    Spawn "spawn" covers ["session.spawn"]
    /// Writing to other sessions of the tenant.
    Send "send" covers ["session.send"]
    /// Being run without a call: it covers what the flow exports, `job.run`.
    Job "job" covers []
}

impl Capability {
    /// What a function of the contract needs, `interface.function`; none for what every flow may do.
    #[must_use]
    pub fn of(function: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|capability| capability.functions().contains(&function))
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|capability| capability.name() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name);
                match super::error::did_you_mean(text, known) {
                    Some(meant) => format!("is nothing that can be granted; did you mean {meant}?"),
                    None => format!("is nothing that can be granted; there are: {}", known.join(", ")),
                }
            })
    }
}

/// A set of capabilities: one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything that there is.
    pub const ALL: Self = Self((1 << Capability::ALL.len()) - 1);

    /// Whether it is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// With one more.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// Without one.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !capability.bit())
    }

    /// What is in both.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in the set, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL
            .into_iter()
            .filter(move |capability| self.has(*capability))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<T: IntoIterator<Item = Capability>>(capabilities: T) -> Self {
        capabilities.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_capability_is_found_by_its_name_and_every_function_covered_once() {
        let mut functions = Vec::new();
        for capability in Capability::ALL {
            assert_eq!(capability.name().parse(), Ok(capability));
            for function in capability.functions() {
                assert_eq!(Capability::of(function), Some(capability));
                assert!(!functions.contains(function), "{function} is covered twice");
                functions.push(function);
            }
        }
        assert_eq!(Capability::of("sipcall.call.answer"), None);
        let error = "registrations".parse::<Capability>().unwrap_err();
        assert!(error.contains("did you mean registration?"), "{error}");
        let error = "everything".parse::<Capability>().unwrap_err();
        assert!(error.contains("there are: dial, accept"), "{error}");
    }

    #[test]
    fn the_documentation_has_the_table() {
        let document = include_str!("../../../docs/grants.md");
        let rows = document.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), Capability::ALL.len());
        for capability in Capability::ALL {
            let functions: Vec<String> = match capability {
                Capability::Job => vec!["exported: `job.run`".to_owned()],
                other => other.functions().iter().map(|name| format!("`{name}`")).collect(),
            };
            let row = format!("| `{capability}` | {} | ", functions.join(", "));
            assert!(
                document.contains(&row),
                "docs/grants.md has no row that begins with {row}"
            );
        }
    }

    #[test]
    fn a_set_is_a_set() {
        let some: Capabilities = [Capability::Job, Capability::Dial].into_iter().collect();
        assert!(some.has(Capability::Dial) && some.has(Capability::Job) && !some.has(Capability::Spawn));
        assert_eq!(some.both(Capabilities::ALL), some);
        assert_eq!(
            some.without(Capability::Dial).without(Capability::Job),
            Capabilities::NONE
        );
        assert_eq!(
            some.iter().map(Capability::name).collect::<Vec<_>>(),
            ["dial", "job"]
        );
        assert_eq!(Capabilities::ALL.iter().count(), Capability::ALL.len());
    }
}
