//! Whose flow computes next: the flows' threads, shared fairly between tenants.
//!
//! A thousand spinning flows of one tenant in a runtime's queue would each get their slice before a call of another
//! tenant gets its first. So a flow that is woken does not enter that queue: it waits here, one flow of each thread has a
//! *turn* at a time, and a free turn goes to the tenant that has used the least on that thread (start-time fair
//! queueing). A tenant that is alone has all threads; one that was idle saves nothing up. Within a tenant it is first
//! come, first served. Each thread has a queue and a lock of its own: what one of them does holds no other up.
//!
//! A tenant may have so much CPU in the long run and no more (`limits.tenant.cpu_rate`): when that is spent, each of its runs
//! rests after its turn until time has made up for it. A run that rests holds no turn and no thread.
//!
//! Entry type: [`Fair`]; a call takes a [`Share`] and runs in it. Knows nothing of WebAssembly: it schedules futures
//! that give way after a slice. Invariants: at most `at_once` turns are granted; a dropped run gives its turn back.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::threads;
use crate::call::{Counting, TenantBounds, overruns};

/// The turns of all flows.
#[derive(Clone)]
pub(super) struct Fair {
    /// Those of each of the flows' threads, one at a time.
    threads: Arc<[Arc<Shared>]>,
    /// Those of a runtime of another kind, as tests have it.
    elsewhere: Arc<Shared>,
}

struct Shared {
    at_once: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Turns that are granted, begun or not.
    running: usize,
    /// Tenants with somebody waiting, by what they have used.
    order: BTreeSet<(u64, usize)>,
    tenants: Vec<Tenant>,
    /// Bounded by the number of tenants in the configuration.
    names: HashMap<Arc<str>, usize>,
    /// What the tenant whose turn was granted last had used: nobody who comes now has used less.
    floor: u64,
}

#[derive(Default)]
struct Tenant {
    /// Nanoseconds of turns by the clock, raised to the floor when the tenant comes back from idleness.
    used: u64,
    waiting: VecDeque<Arc<Seat>>,
}

/// A call's part in its tenant's turns.
pub(super) struct Share {
    shared: Arc<Shared>,
    tenant: usize,
    bounds: Arc<TenantBounds>,
    /// Whose turns they are, where somebody may ask.
    counting: Option<Counting>,
}

/// One run, and the waker that its future is given: being woken is asking for a turn.
struct Seat {
    shared: Arc<Shared>,
    tenant: usize,
    state: Mutex<State>,
}

/// Touched only under the lock of [`Inner`].
struct State {
    place: Place,
    /// Wakes the task that polls the run.
    task: Waker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing to do until somebody wakes the future.
    Idle,
    Waiting,
    Granted,
    Running {
        /// Woken meanwhile: there is more to do.
        again: bool,
    },
    /// The tenant's CPU is spent: as idle, until the run's own clock says otherwise.
    Resting {
        /// Woken meanwhile.
        again: bool,
    },
    /// The run is over or was dropped.
    Gone,
}

/// When the current turn began; a host function that works for long asks it whether to give way.
#[derive(Clone)]
pub(super) struct Turn {
    epoch: Instant,
    began: Arc<AtomicU64>,
}

/// A turn is over by the clock after so long, whatever the fuel says: host functions take time too.
const TURN_MAX: Duration = Duration::from_micros(200);

/// A thread may be taken off its core in the middle of a turn, for which its tenant shall not pay.
const CHARGED_MAX: Duration = Duration::from_millis(2);

/// A run that rests looks again after so long: the operator may have given its tenant more.
const REST_MAX: Duration = Duration::from_secs(1);

impl Turn {
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            began: Arc::default(),
        }
    }

    fn begin(&self) {
        self.began.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.now().saturating_sub(self.began.load(Ordering::Relaxed)) > nanoseconds(TURN_MAX)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.epoch.elapsed())
    }
}

/// Lets others run. Unlike the runtime's own `yield_now` it asks for its next turn at once: that one would wait until
/// the runtime has nothing else to do.
pub(super) async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Fair {
    /// Turns on so many threads.
    pub(super) fn new(at_once: usize) -> Self {
        let turns = |at_once: usize| {
            Arc::new(Shared {
                at_once: at_once.max(1),
                inner: Mutex::default(),
            })
        };
        Self {
            threads: (0..at_once).map(|_| turns(1)).collect(),
            elsewhere: turns(at_once),
        }
    }

    /// A part for one call of this tenant, which stays on the calling thread if that is one of the flows'.
    pub(super) fn share(&self, tenant: &Arc<str>, bounds: Arc<TenantBounds>) -> Share {
        let shared = threads::number()
            .and_then(|number| self.threads.get(number))
            .unwrap_or(&self.elsewhere);
        let mut inner = shared.lock();
        let next = inner.tenants.len();
        let position = *inner.names.entry(Arc::clone(tenant)).or_insert(next);
        if position == next {
            inner.tenants.push(Tenant::default());
        }
        drop(inner);
        Share {
            shared: Arc::clone(shared),
            tenant: position,
            bounds,
            counting: None,
        }
    }
}

impl Share {
    /// Says how long its turns are.
    pub(super) fn counting(mut self, counting: Counting) -> Self {
        self.counting = Some(counting);
        self
    }

    /// Runs a future in the tenant's turns: it is polled only while it has one.
    pub(super) async fn run<F: Future>(self, turn: Turn, future: F) -> F::Output {
        let mut future = pin!(future);
        let run = Run {
            seat: Arc::new(Seat {
                shared: self.shared,
                tenant: self.tenant,
                state: Mutex::new(State {
                    place: Place::Idle,
                    task: Waker::noop().clone(),
                }),
            }),
        };
        let waker = Waker::from(Arc::clone(&run.seat));
        let mut first = true;
        let (bounds, counting) = (self.bounds, self.counting);
        let mut rest: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(move |context| {
            while let Some(sleep) = &mut rest {
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let debt = bounds.cpu.spend(0);
                rest = (!debt.is_zero()).then(|| pause(debt));
                if rest.is_none() {
                    run.seat.rested();
                }
            }
            if !run.seat.begin(context.waker(), std::mem::take(&mut first)) {
                return Poll::Pending;
            }
            turn.begin();
            threads::computes(true);
            let before = Instant::now();
            let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
            // Asking for the thread's own time would take two system calls a turn, 6 µs a call.
            let used = before.elapsed();
            threads::computes(false);
            if let Some(thread) = threads::number().filter(|_| used >= overruns::LONGEST) {
                bounds.overruns.note(thread);
            }
            let used = used.min(CHARGED_MAX);
            if let Some(counting) = &counting {
                counting.computed(nanoseconds(used));
            }
            let debt = bounds.cpu.spend(microseconds(used));
            let rests = poll.is_pending() && !debt.is_zero();
            run.seat.end(nanoseconds(used), rests);
            if rests {
                bounds.slowed();
                // The task is woken at once, to look at the clock that it now has.
                rest = Some(pause(debt));
                context.waker().wake_by_ref();
            }
            poll
        })
        .await
    }
}

/// Gives back what a dropped run holds.
struct Run {
    seat: Arc<Seat>,
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut inner = self.seat.shared.lock();
        let place = std::mem::replace(&mut self.seat.lock().place, Place::Gone);
        if matches!(place, Place::Granted | Place::Running { .. }) {
            inner.running = inner.running.saturating_sub(1);
            inner.grant(self.seat.shared.at_once);
        }
    }
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut inner = self.shared.lock();
        self.ask(&mut inner);
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to do.
    fn ask(self: &Arc<Self>, inner: &mut Inner) {
        let mut state = self.lock();
        match state.place {
            Place::Idle => {
                state.place = Place::Waiting;
                drop(state);
                inner.queue(self.tenant, Arc::clone(self));
                inner.grant(self.shared.at_once);
            }
            Place::Running { .. } => state.place = Place::Running { again: true },
            Place::Resting { .. } => state.place = Place::Resting { again: true },
            Place::Waiting | Place::Granted | Place::Gone => {}
        }
    }

    /// True when the run has a turn; otherwise the task is woken when it has.
    fn begin(self: &Arc<Self>, task: &Waker, first: bool) -> bool {
        let mut inner = self.shared.lock();
        self.lock().task.clone_from(task);
        if first {
            self.ask(&mut inner);
        }
        let mut state = self.lock();
        let granted = state.place == Place::Granted;
        if granted {
            state.place = Place::Running { again: false };
        }
        granted
    }

    /// A turn is over; a run that rests asks for no other until it has rested.
    fn end(self: &Arc<Self>, used: u64, rests: bool) {
        let mut inner = self.shared.lock();
        let again = {
            let mut state = self.lock();
            let again = state.place == Place::Running { again: true };
            state.place = match rests {
                true => Place::Resting { again },
                false => Place::Idle,
            };
            again && !rests
        };
        inner.running = inner.running.saturating_sub(1);
        inner.charge(self.tenant, used);
        if again {
            self.ask(&mut inner);
        }
        inner.grant(self.shared.at_once);
    }
}

impl Seat {
    /// The rest is over.
    fn rested(self: &Arc<Self>) {
        let mut inner = self.shared.lock();
        let again = {
            let mut state = self.lock();
            let again = state.place == Place::Resting { again: true };
            if matches!(state.place, Place::Resting { .. }) {
                state.place = Place::Idle;
            }
            again
        };
        if again {
            self.ask(&mut inner);
        }
    }
}

fn pause(debt: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(debt.min(REST_MAX)))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each step of what is done under it leaves plain numbers and queues behind.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn queue(&mut self, tenant: usize, seat: Arc<Seat>) {
        let floor = self.floor;
        let Some(it) = self.tenants.get_mut(tenant) else {
            return;
        };
        if it.waiting.is_empty() {
            it.used = it.used.max(floor);
            self.order.insert((it.used, tenant));
        }
        it.waiting.push_back(seat);
    }

    fn charge(&mut self, tenant: usize, used: u64) {
        let Some(it) = self.tenants.get_mut(tenant) else {
            return;
        };
        let before = it.used;
        it.used = before.saturating_add(used);
        if self.order.remove(&(before, tenant)) {
            self.order.insert((it.used, tenant));
        }
    }

    /// Gives free turns to those who wait, the tenant that has used the least first.
    fn grant(&mut self, at_once: usize) {
        while self.running < at_once {
            let Some((used, tenant)) = self.order.pop_first() else {
                return;
            };
            let Some(it) = self.tenants.get_mut(tenant) else {
                continue;
            };
            let next = it.waiting.pop_front();
            if !it.waiting.is_empty() {
                self.order.insert((used, tenant));
            }
            let Some(next) = next else { continue };
            let mut state = next.lock();
            if state.place == Place::Waiting {
                state.place = Place::Granted;
                self.running += 1;
                // Turns are granted in the order of what was used, so this never sinks.
                self.floor = self.floor.max(used);
                state.task.wake_by_ref();
            }
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    nanoseconds(time).div_ceil(1_000)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::limits::TenantLimits;
    use std::sync::atomic::AtomicUsize;

    /// What this thread has computed, in nanoseconds.
    fn cpu_time() -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let part = |number: i64| u64::try_from(number).unwrap_or(0);
        part(time.tv_sec)
            .saturating_mul(1_000_000_000)
            .saturating_add(part(time.tv_nsec))
    }

    fn spin(time: Duration) {
        let until = cpu_time() + nanoseconds(time);
        while cpu_time() < until {}
    }

    async fn slices(count: usize, done: Arc<AtomicUsize>) {
        for _ in 0..count {
            spin(Duration::from_micros(50));
            done.fetch_add(1, Ordering::Relaxed);
            give_way().await;
        }
    }

    #[tokio::test]
    async fn one_call_among_a_hundred_spinning_ones_of_another_tenant_waits_for_one_slice_at_a_time() {
        let fair = Fair::new(1);
        let (loud, quiet): (Arc<str>, Arc<str>) = ("loud".into(), "quiet".into());
        let spun = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (share, spun) = (fair.share(&loud, Arc::default()), Arc::clone(&spun));
            tasks.spawn(async move { share.run(Turn::new(), slices(20, spun)).await });
        }
        // They are all waiting or running.
        while spun.load(Ordering::Relaxed) < 50 {
            tokio::task::yield_now().await;
        }
        let before = spun.load(Ordering::Relaxed);
        let own = Arc::new(AtomicUsize::new(0));
        let share = fair.share(&quiet, Arc::default());
        let done = Arc::clone(&own);
        // A task like the others: the runtime looks at the test itself less often.
        tokio::spawn(async move { share.run(Turn::new(), slices(10, done)).await })
            .await
            .unwrap();
        let meanwhile = spun.load(Ordering::Relaxed) - before;
        assert_eq!(own.load(Ordering::Relaxed), 10);
        // Some more run before this test itself gets its turn.
        assert!(
            meanwhile <= 150,
            "{meanwhile} slices of the others for ten of ours"
        );
        while tasks.join_next().await.is_some() {}
        assert_eq!(spun.load(Ordering::Relaxed), 2_000, "everybody came to an end");
    }

    #[tokio::test]
    async fn a_tenant_alone_has_everything_and_idleness_is_not_saved_up() {
        let fair = Fair::new(1);
        let (old, new): (Arc<str>, Arc<str>) = ("old".into(), "new".into());
        let done = Arc::new(AtomicUsize::new(0));
        fair.share(&old, Arc::default())
            .run(Turn::new(), slices(200, Arc::clone(&done)))
            .await;
        // The newcomer has used nothing, yet the old one gets every second slice.
        let (ours, theirs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let newcomer = fair
            .share(&new, Arc::default())
            .run(Turn::new(), slices(100, Arc::clone(&theirs)));
        let first = fair
            .share(&old, Arc::default())
            .run(Turn::new(), slices(100, Arc::clone(&ours)));
        tokio::pin!(newcomer, first);
        tokio::select! {
            () = &mut newcomer => {}
            () = &mut first => {}
        }
        let (ours, theirs) = (ours.load(Ordering::Relaxed), theirs.load(Ordering::Relaxed));
        // Half and half on a machine that has nothing else to do: being taken off the core costs up to 40 slices. Whose
        // idleness was saved up would have all hundred first.
        assert!(ours.min(theirs) > 5, "{ours} and {theirs}");
    }

    #[tokio::test]
    async fn a_dropped_run_gives_its_turn_back() {
        let fair = Fair::new(1);
        let name: Arc<str> = "a".into();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let share = fair.share(&name, Arc::default());
            let run = share.run(Turn::new(), std::future::pending::<()>());
            assert!(
                tokio::time::timeout(Duration::from_micros(10), run)
                    .await
                    .is_err()
            );
            let (one, two) = (
                fair.share(&name, Arc::default()),
                fair.share(&name, Arc::default()),
            );
            let slow = tokio::spawn(one.run(Turn::new(), slices(5, Arc::clone(&done))));
            let dropped = tokio::spawn(two.run(Turn::new(), slices(5, Arc::clone(&done))));
            tokio::task::yield_now().await;
            dropped.abort();
            slow.await.unwrap();
        }
        fair.share(&name, Arc::default())
            .run(Turn::new(), slices(1, Arc::clone(&done)))
            .await;
        let inner = fair.elsewhere.lock();
        assert_eq!(inner.running, 0);
    }

    #[tokio::test]
    async fn a_tenant_whose_cpu_is_spent_goes_on_at_its_rate_and_no_other_waits_for_it() {
        let fair = Fair::new(1);
        let (poor, rich): (Arc<str>, Arc<str>) = ("poor".into(), "rich".into());
        // A tenth of a core, and nothing saved up.
        let bounds = TenantBounds::new(
            "poor",
            &TenantLimits {
                cpu_rate: 100,
                cpu_burst_ms: 10,
                ..TenantLimits::default()
            },
        );
        let done = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        let begun = Instant::now();
        for _ in 0..4 {
            // 4 x 200 slices of 50 us are 40 ms of CPU, 10 of them at once: 300 ms or more.
            let share = fair.share(&poor, Arc::clone(&bounds));
            let done = Arc::clone(&done);
            tasks.spawn(async move { share.run(Turn::new(), slices(200, done)).await });
        }
        while !bounds.cpu.is_spent() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let own = Arc::new(AtomicUsize::new(0));
        let share = fair.share(&rich, Arc::default());
        let its = Arc::clone(&own);
        tokio::spawn(async move { share.run(Turn::new(), slices(200, its)).await })
            .await
            .unwrap();
        assert!(
            done.load(Ordering::Relaxed) < 800,
            "the rich one has not waited for the poor one to end"
        );
        while tasks.join_next().await.is_some() {}
        assert_eq!(done.load(Ordering::Relaxed), 800, "slowed, not ended");
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(250), "{took:?}");
        assert!(bounds.cpu.refused() > 0, "the operator is told");
    }

    #[tokio::test]
    async fn a_resting_run_that_is_dropped_leaves_nothing_behind() {
        let fair = Fair::new(1);
        let name: Arc<str> = "a".into();
        let bounds = TenantBounds::new(
            "a",
            &TenantLimits {
                cpu_rate: 1,
                cpu_burst_ms: 10,
                ..TenantLimits::default()
            },
        );
        bounds.cpu.spend(1_000_000);
        let done = Arc::new(AtomicUsize::new(0));
        let share = fair.share(&name, bounds);
        let run = tokio::spawn(share.run(Turn::new(), slices(1_000, Arc::clone(&done))));
        while done.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let so_far = done.load(Ordering::Relaxed);
        assert!(so_far < 10, "{so_far} slices without any CPU left");
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        let inner = fair.elsewhere.lock();
        assert_eq!((inner.running, inner.order.len()), (0, 0));
    }
}
