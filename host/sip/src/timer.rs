//! The timers of an endpoint: one queue for all of them, cheap to set and to stop.
//!
//! Does not know what a timer means; the owner gives a small key back. Nearly all SIP timers have one of a dozen fixed
//! durations, and time never runs backwards, so timers of equal duration are already in order: each duration gets a lane
//! (a queue), and the next to fire is the least of the lanes' heads. Odd durations share a heap. Stopping marks the timer;
//! its place in the queue is dropped when it comes to the head.
//!
//! Entry type: [`Timers`]. Invariants: timers fire in order of deadline, those of the same deadline in the order in which
//! they were set; `live` counts exactly those that are set and neither fired nor stopped.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use slab::Slab;

/// Deadlines of coarse timers are multiples of this, counted from the endpoint's start. A host with 1 000 calls a second
/// lets 2 000 transactions a second go; to wake for each of them would cost a fifth of the call.
const GRAIN: Duration = Duration::from_millis(100);

/// Durations beyond this many share the heap.
const LANES_MAX: usize = 24;

/// A running timer. Stopping one that has fired or was stopped does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    slot: u32,
    /// The low half of the entry's serial number: enough to tell apart the users of one slot.
    serial: u32,
}

#[derive(Debug)]
struct Entry<K> {
    serial: u64,
    /// None once stopped.
    key: Option<K>,
}

/// Ordered by deadline, then by the order of setting.
type Place = (Instant, u64, u32);

#[derive(Debug)]
struct Lane {
    after: Duration,
    coarse: bool,
    queue: VecDeque<Place>,
}

/// All timers of an endpoint.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    lanes: Vec<Lane>,
    heap: BinaryHeap<Reverse<Place>>,
    entries: Slab<Entry<K>>,
    serial: u64,
    live: usize,
    start: Instant,
    /// The latest time seen: deadlines are computed from it, so that a lane stays ordered.
    now: Instant,
}

impl<K: Copy> Timers<K> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            lanes: Vec::new(),
            heap: BinaryHeap::new(),
            entries: Slab::new(),
            serial: 0,
            live: 0,
            start: now,
            now,
        }
    }

    /// How many are running.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Fires `key` at `now + after`.
    pub(crate) fn set(&mut self, now: Instant, after: Duration, key: K) -> TimerId {
        let (place, id) = self.enter(now, after, false, key);
        self.queue(after, false, place);
        id
    }

    /// Fires `key` up to [`GRAIN`] later than `now + after`, together with others. Without a delay it is exact.
    pub(crate) fn set_coarse(&mut self, now: Instant, after: Duration, key: K) -> TimerId {
        let coarse = !after.is_zero();
        let (place, id) = self.enter(now, after, coarse, key);
        self.queue(after, coarse, place);
        id
    }

    /// As [`Self::set`], for a duration drawn at random or granted by a peer: it would keep a lane that nothing else ever uses.
    pub(crate) fn set_random(&mut self, now: Instant, after: Duration, key: K) -> TimerId {
        let (place, id) = self.enter(now, after, false, key);
        self.heap.push(Reverse(place));
        id
    }

    fn queue(&mut self, after: Duration, coarse: bool, place: Place) {
        let room = self.lanes.len() < LANES_MAX;
        match self
            .lanes
            .iter_mut()
            .find(|lane| lane.after == after && lane.coarse == coarse)
        {
            Some(lane) => lane.queue.push_back(place),
            None if room => self.lanes.push(Lane {
                after,
                coarse,
                queue: VecDeque::from([place]),
            }),
            None => self.heap.push(Reverse(place)),
        }
    }

    fn enter(&mut self, now: Instant, after: Duration, coarse: bool, key: K) -> (Place, TimerId) {
        self.now = self.now.max(now);
        // A duration that overflows the clock is as good as never; a century is representable everywhere.
        let at = self
            .now
            .checked_add(after)
            .unwrap_or_else(|| self.now + Duration::from_secs(3_000_000_000));
        let at = if coarse { self.rounded_up(at) } else { at };
        self.serial += 1;
        let slot = self.entries.insert(Entry {
            serial: self.serial,
            key: Some(key),
        }) as u32;
        self.live += 1;
        let id = TimerId {
            slot,
            serial: self.serial as u32,
        };
        ((at, self.serial, slot), id)
    }

    fn rounded_up(&self, at: Instant) -> Instant {
        let grain = GRAIN.as_nanos() as u64;
        let since = u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let missing = (grain - since % grain) % grain;
        at.checked_add(Duration::from_nanos(missing)).unwrap_or(at)
    }

    /// Stops a timer.
    pub(crate) fn stop(&mut self, id: TimerId) {
        if let Some(entry) = self.entries.get_mut(id.slot as usize)
            && entry.serial as u32 == id.serial
            && entry.key.take().is_some()
        {
            self.live -= 1;
        }
    }

    /// When the next one fires.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        self.head().map(|(place, _)| place.0)
    }

    /// Takes the next one that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        self.now = self.now.max(now);
        let (place, lane) = self.head()?;
        if place.0 > now {
            return None;
        }
        match lane.and_then(|index| self.lanes.get_mut(index)) {
            Some(lane) => lane.queue.pop_front().is_some(),
            None => self.heap.pop().is_some(),
        };
        self.live -= 1;
        self.entries.try_remove(place.2 as usize)?.key
    }

    /// The next place that holds a running timer, and its lane (none: the heap). Drops stopped ones on the way.
    fn head(&mut self) -> Option<(Place, Option<usize>)> {
        let mut best: Option<(Place, Option<usize>)> = None;
        let entries = &mut self.entries;
        let mut stopped = |place: &Place| {
            let dead = entries
                .get(place.2 as usize)
                .is_none_or(|entry| entry.key.is_none());
            if dead {
                entries.try_remove(place.2 as usize);
            }
            dead
        };
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            while lane.queue.front().is_some_and(&mut stopped) {
                lane.queue.pop_front();
            }
            if let Some(place) = lane.queue.front()
                && best.is_none_or(|(least, _)| *place < least)
            {
                best = Some((*place, Some(index)));
            }
        }
        while self.heap.peek().is_some_and(|Reverse(place)| stopped(place)) {
            self.heap.pop();
        }
        if let Some(Reverse(place)) = self.heap.peek()
            && best.is_none_or(|(least, _)| *place < least)
        {
            best = Some((*place, None));
        }
        best
    }
}

/// The running timers of one owner: at most `N`, named by a kind.
#[derive(Debug)]
pub(crate) struct Running<T, const N: usize = 4>([Option<(T, TimerId)>; N]);

impl<T: Copy + PartialEq, const N: usize> Running<T, N> {
    pub(crate) fn new() -> Self {
        Self([None; N])
    }

    /// Remembers a timer; gives back the one it replaces, to be stopped. When `N` others run, an invariant broke, and the
    /// timer given is given back.
    pub(crate) fn put(&mut self, kind: T, id: TimerId) -> Option<TimerId> {
        let same = self
            .0
            .iter()
            .position(|slot| slot.is_some_and(|(k, _)| k == kind));
        let free = same.or_else(|| self.0.iter().position(Option::is_none));
        match free.and_then(|index| self.0.get_mut(index)) {
            Some(slot) => slot.replace((kind, id)).map(|(_, old)| old),
            None => Some(id),
        }
    }

    /// Forgets a timer of that kind.
    pub(crate) fn take(&mut self, kind: T) -> Option<TimerId> {
        let slot = self
            .0
            .iter_mut()
            .find(|slot| slot.is_some_and(|(k, _)| k == kind))?;
        slot.take().map(|(_, id)| id)
    }

    /// Whether a timer of that kind runs.
    pub(crate) fn runs(&self, kind: T) -> bool {
        self.0.iter().flatten().any(|(k, _)| *k == kind)
    }

    /// Forgets all.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = TimerId> + '_ {
        self.0.iter_mut().filter_map(|slot| slot.take().map(|(_, id)| id))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // A starting point for virtual time.
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn fires_in_order_of_deadline_then_of_setting() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.set(start, ms(500), 'b');
        timers.set(start, ms(100), 'a');
        timers.set(start + ms(400), ms(100), 'c');
        assert_eq!(timers.next(), Some(start + ms(100)));
        assert_eq!(timers.pop_due(start + ms(99)), None);
        let all: Vec<_> = std::iter::from_fn(|| timers.pop_due(start + ms(500))).collect();
        assert_eq!(all, ['a', 'b', 'c']);
        assert_eq!((timers.live(), timers.next()), (0, None));
    }

    #[test]
    fn a_stopped_timer_never_fires_and_its_id_stays_dead() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let first = timers.set(start, ms(1), 1);
        timers.stop(first);
        timers.stop(first);
        assert_eq!(timers.live(), 0);
        assert_eq!(timers.next(), None);
        let second = timers.set(start, ms(1), 2);
        timers.stop(first);
        assert_eq!(timers.live(), 1, "the slot is used again, the id is not");
        assert_eq!(timers.pop_due(start + ms(1)), Some(2));
        timers.stop(second);
        assert_eq!(timers.live(), 0);
    }

    #[test]
    fn more_durations_than_lanes_still_fire_in_order() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        // 7919 is prime to 1000, so this visits every millisecond below 1000 once, in no order.
        for n in 0..1_000_u64 {
            timers.set(start, ms(n * 7_919 % 1_000), n * 7_919 % 1_000);
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(start + ms(1_000))).collect();
        assert_eq!(fired, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn time_that_runs_backwards_keeps_the_order() {
        let start = Instant::now();
        let mut timers = Timers::new(start + ms(50));
        timers.set(start + ms(50), ms(10), 1);
        timers.set(start, ms(10), 2);
        assert_eq!(timers.pop_due(start + ms(60)), Some(1));
        assert_eq!(timers.pop_due(start + ms(60)), Some(2));
    }

    #[test]
    fn coarse_timers_fire_together_and_never_early() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for n in 1..=99 {
            timers.set_coarse(start + ms(n), ms(500), n);
        }
        timers.set(start + ms(99), ms(500), 0);
        assert_eq!(timers.next(), Some(start + ms(599)), "an exact one is not moved");
        assert_eq!(timers.pop_due(start + ms(599)), Some(0));
        assert_eq!(timers.pop_due(start + ms(599)), None);
        assert_eq!(timers.next(), Some(start + ms(600)));
        for n in 1..=99 {
            assert_eq!(timers.pop_due(start + ms(600)), Some(n));
        }
        timers.set_coarse(start + ms(600), Duration::ZERO, 1);
        assert_eq!(timers.next(), Some(start + ms(600)), "at once is at once");
        assert_eq!(timers.pop_due(start + ms(600)), Some(1));
        assert_eq!(timers.next(), None);
    }
}
