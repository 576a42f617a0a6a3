//! What a request's destination must pass once it is an address.
//!
//! Knows no rules: whoever dials brings the judge. Entry type: [`AddressFilter`]. Invariant: a dialog that a filtered
//! request makes is under the same filter, so that a peer's Contact or Record-Route leads nowhere else.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

/// A judge of addresses. Copies are equal; two that were made are not.
#[derive(Clone)]
pub struct AddressFilter(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl AddressFilter {
    /// Lets those addresses pass for which `admits` is true.
    #[must_use]
    pub fn new(admits: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }

    /// Whether something may be sent there.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        (self.0)(address)
    }

    fn place(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl fmt::Debug for AddressFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressFilter")
    }
}

impl PartialEq for AddressFilter {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.place(), other.place())
    }
}

impl Eq for AddressFilter {}

impl Hash for AddressFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}
