//! What applications say of kept events and nobody has heard yet.
//!
//! Most applications say that they have an event by taking it, millions of times a second. So they leave a number where it can
//! be read, and only the end of a run of events is said aloud; in between the number is looked at from time to time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_pubsub::{Destination, Outcome, ReplayInput};
use macula_wire::{DeliveryId, Instant};
use tokio::sync::Notify;

/// After which time it is looked how far an application has come in a run.
const LOOK_AFTER: Duration = Duration::from_millis(1);
/// How often that is done without progress until the run is forgotten, and its application says when it goes on.
const MAX_IDLE: u32 = 3;

/// What was said and not heard yet. Whoever says something does not wait: it may be the application's own thread.
///
/// It is bounded by what is on its way to applications: each event is settled once, and put off by the application. Of each
/// subscription there is one run at a time.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    pub(super) filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    said: Vec<ReplayInput>,
    running: Vec<Running>,
}

/// A run of events that an application is taking.
#[derive(Debug)]
struct Running {
    progress: Arc<Progress>,
    /// Of how many of the events it was heard that the application has them.
    heard: u64,
    /// When it is looked at; `None` until it was seen.
    due: Option<Instant>,
    /// How often it was looked at without progress.
    idle: u32,
}

/// How far an application has come in a run of events.
#[derive(Debug)]
pub(super) struct Progress {
    to: Destination,
    first: u64,
    count: u64,
    handed: AtomicU64,
    /// Whether the run has ended, be it before its last event.
    is_over: AtomicBool,
    /// Whether nobody looks any more, so that the next step has to be said.
    is_unwatched: AtomicBool,
}

impl Progress {
    pub(super) const fn new(to: Destination, first: u64, count: u64) -> Self {
        Self {
            to,
            first,
            count,
            handed: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            is_unwatched: AtomicBool::new(false),
        }
    }

    /// The id of the first event.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what becomes of events.
    pub(super) fn say(&self, input: ReplayInput) {
        let mut state = self.lock();
        let said = &mut state.said;
        // Whoever hears what is said takes all of it, and was told of what is there already.
        let is_first = said.is_empty();
        match (said.last_mut(), input) {
            // Events that are handed over one after the other are said together.
            (
                Some(ReplayInput::Settled {
                    to, last, outcome, ..
                }),
                ReplayInput::Settled {
                    to: next_to,
                    first: next_first,
                    last: next_last,
                    outcome: next_outcome,
                },
            ) if *to == next_to
                && *outcome == next_outcome
                && last.get().checked_add(1) == Some(next_first.get()) =>
            {
                *last = next_last;
            }
            (_, input) => said.push(input),
        }
        drop(state);
        if is_first {
            self.filled.notify_one();
        }
    }

    /// An application begins with a run of events.
    pub(super) fn begin(&self, progress: &Arc<Progress>) {
        progress.is_unwatched.store(false, Ordering::Release);
        let running = Running {
            progress: Arc::clone(progress),
            heard: 0,
            due: None,
            idle: 0,
        };
        self.lock().running.push(running);
        self.filled.notify_one();
    }

    /// The application has `handed` events of a run. With the last one the run is over.
    #[inline]
    pub(super) fn step(&self, progress: &Arc<Progress>, handed: u64) {
        progress.handed.store(handed, Ordering::Release);
        if progress.is_unwatched.load(Ordering::Acquire) {
            self.begin(progress);
        }
        if handed >= progress.count {
            self.end(progress);
        }
    }

    /// Nothing more is handed over of a run.
    pub(super) fn end(&self, progress: &Progress) {
        progress.is_over.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// What was said so far, and how far applications have come in runs that are over or have to be looked at. Also when there
    /// is something to look at again.
    pub(super) fn hear(&self, now: Instant) -> (Vec<ReplayInput>, Option<Instant>) {
        let mut state = self.lock();
        let mut heard = std::mem::take(&mut state.said);
        let mut next: Option<Instant> = None;
        state.running.retain_mut(|running| {
            let goes_on = running.look(now, &mut heard);
            if let (true, Some(due)) = (goes_on, running.due) {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            goes_on
        });
        (heard, next)
    }

    /// The same, with all that applications have by now.
    pub(super) fn hear_all(&self) -> Vec<ReplayInput> {
        let mut state = self.lock();
        let mut heard = std::mem::take(&mut state.said);
        for running in &mut state.running {
            running.count(&mut heard);
        }
        heard
    }
}

impl Running {
    /// Looks at the run if it is over or its time has come. Whether it has to be looked at again.
    fn look(&mut self, now: Instant, heard: &mut Vec<ReplayInput>) -> bool {
        // Before the number: what is counted then is all of it.
        let is_over = self.progress.is_over.load(Ordering::Acquire);
        let due = *self.due.get_or_insert(now + LOOK_AFTER);
        if !is_over && due > now {
            return true;
        }
        self.due = Some(now + LOOK_AFTER);
        if self.count(heard) {
            self.idle = 0;
            self.progress.is_unwatched.store(false, Ordering::Release);
        } else {
            self.idle = self.idle.saturating_add(1);
        }
        // A step that this comes too late for is seen when it is looked at once more.
        if self.idle.saturating_add(1) == MAX_IDLE {
            self.progress.is_unwatched.store(true, Ordering::Release);
        }
        !is_over && self.idle < MAX_IDLE
    }

    /// Adds what the application has and was not heard. Whether there was anything.
    fn count(&mut self, heard: &mut Vec<ReplayInput>) -> bool {
        let Progress {
            to, first, handed, ..
        } = &*self.progress;
        let handed = handed.load(Ordering::Acquire);
        if handed <= self.heard {
            return false;
        }
        heard.push(ReplayInput::Settled {
            to: *to,
            first: DeliveryId::new(first.saturating_add(self.heard)),
            last: DeliveryId::new(first.saturating_add(handed).saturating_sub(1)),
            outcome: Outcome::Acked,
        });
        self.heard = handed;
        true
    }
}

#[cfg(test)]
mod tests {
    use macula_pubsub::LocalId;

    use super::*;

    const TO: Destination = Destination::Local(LocalId::new(3));

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn acked(first: u64, last: u64) -> ReplayInput {
        ReplayInput::Settled {
            to: TO,
            first: DeliveryId::new(first),
            last: DeliveryId::new(last),
            outcome: Outcome::Acked,
        }
    }

    #[track_caller]
    fn hears(inbox: &Inbox, now: u64, what: &[ReplayInput], next: Option<u64>) {
        assert_eq!(inbox.hear(at(now)), (what.to_vec(), next.map(at)));
    }

    #[test]
    fn a_run_is_heard_when_it_is_over_and_in_between_from_time_to_time() {
        let inbox = Inbox::default();
        let progress = Arc::new(Progress::new(TO, 10, 5));
        inbox.begin(&progress);
        inbox.step(&progress, 1);
        hears(&inbox, 0, &[], Some(1));
        inbox.step(&progress, 2);
        hears(&inbox, 1, &[acked(10, 11)], Some(2));
        inbox.step(&progress, 5);
        hears(&inbox, 1, &[acked(12, 14)], None);
        hears(&inbox, 9, &[], None);
    }

    #[test]
    fn an_application_that_stops_is_left_alone_until_it_goes_on() {
        let inbox = Inbox::default();
        let progress = Arc::new(Progress::new(TO, 10, 5));
        inbox.begin(&progress);
        inbox.step(&progress, 1);
        hears(&inbox, 0, &[], Some(1));
        hears(&inbox, 1, &[acked(10, 10)], Some(2));
        hears(&inbox, 2, &[], Some(3));
        hears(&inbox, 3, &[], Some(4));
        // This step came while nobody was going to look once more.
        progress.handed.store(2, Ordering::Release);
        hears(&inbox, 4, &[acked(11, 11)], Some(5));
        for now in 5..8 {
            hears(&inbox, now, &[], (now < 7).then_some(now + 1));
        }
        assert!(inbox.lock().running.is_empty());
        // It is heard of anew; what was settled before is so still.
        inbox.step(&progress, 3);
        hears(&inbox, 90, &[], Some(91));
        hears(&inbox, 91, &[acked(10, 12)], Some(92));
        inbox.step(&progress, 5);
        hears(&inbox, 91, &[acked(13, 14)], None);
    }

    #[test]
    fn a_run_that_ends_early_is_forgotten() {
        let inbox = Inbox::default();
        let progress = Arc::new(Progress::new(TO, 10, 5));
        inbox.begin(&progress);
        inbox.step(&progress, 2);
        assert_eq!(inbox.hear_all(), [acked(10, 11)]);
        inbox.step(&progress, 3);
        inbox.end(&progress);
        hears(&inbox, 0, &[acked(12, 12)], None);
        assert!(inbox.lock().running.is_empty());
    }
}
