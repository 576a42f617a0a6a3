//! CSeq numbers of a dialog (RFC 3261 §12.2).
//!
//! Entry types: [`LocalSequence`], [`RemoteSequence`].

/// Our numbers: they rise by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalSequence(u32);

impl LocalSequence {
    /// `last` is the number used last.
    pub(crate) fn after(last: u32) -> Self {
        Self(last)
    }

    /// The number of the next request. None when they are used up (2³¹ requests).
    pub(crate) fn next(&mut self) -> Option<u32> {
        let next = self.0.checked_add(1).filter(|n| *n < 1 << 31)?;
        self.0 = next;
        Some(next)
    }

    /// The number of the last request.
    pub(crate) fn last(self) -> u32 {
        self.0
    }
}

/// The peer's numbers: they rise, gaps are fine (another request may have been refused on the way).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemoteSequence(Option<u32>);

impl RemoteSequence {
    /// None: the peer has sent nothing yet.
    pub(crate) fn new(first: Option<u32>) -> Self {
        Self(first)
    }

    /// Whether a new request is in order; if so its number is remembered. `repeatable`: the same number once more is
    /// let through, for a BYE must end the call even when the peer counts badly.
    pub(crate) fn accept(&mut self, seq: u32, repeatable: bool) -> bool {
        let in_order = match self.0 {
            None => true,
            Some(last) => seq > last || (repeatable && seq == last),
        };
        if in_order {
            self.0 = Some(seq);
        }
        in_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_rise_by_one_and_end_before_2_to_the_31() {
        let mut seq = LocalSequence::after(7);
        assert_eq!((seq.next(), seq.next()), (Some(8), Some(9)));
        assert_eq!(seq.last(), 9);
        let mut seq = LocalSequence::after((1 << 31) - 2);
        assert_eq!((seq.next(), seq.next()), (Some((1 << 31) - 1), None));
    }

    #[test]
    fn theirs_may_have_gaps_but_never_fall() {
        let mut seq = RemoteSequence::new(None);
        let script = [
            (5, false, true),
            (5, false, false),
            (4, false, false),
            (5, true, true),
            (900, false, true),
            (899, true, false),
        ];
        for (number, repeatable, accepted) in script {
            assert_eq!(seq.accept(number, repeatable), accepted, "{number}");
        }
    }
}
