//! Plays a sequence of steps to a machine, in one of the ways that the laws compare.

use std::collections::VecDeque;
use std::time::Duration;

use macula_wire::{Instant, Machine, Random};

use super::{Subject, Timed};

/// One machine, and what it has put out.
pub(super) struct Player<'a, S: Subject> {
    subject: &'a S,
    machine: S::Machine,
    now: Instant,
    early: Option<Random>,
    back: Option<Random>,
    /// The time-outs to call instead of those that the machine asks for, because it is drained late.
    schedule: Option<VecDeque<Instant>>,
    played: Played,
}

/// What came of a sequence.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// Every output in order, the ends of steps, and what could be observed at the end.
    pub(super) lines: Vec<String>,
    /// When time-outs fell.
    pub(super) timeouts: Vec<Instant>,
}

/// How many time-outs may fall in one pause before something is counted as running in circles.
const MAX_TIMEOUTS: usize = 10_000;
/// How long the machine runs on after the last step.
const EPILOGUE: Duration = Duration::from_secs(120);

impl<'a, S: Subject> Player<'a, S> {
    pub(super) fn new(subject: &'a S, seed: u64) -> Self {
        let now = Instant::from_millis(10_000);
        Self {
            subject,
            machine: subject.create(seed, now),
            now,
            early: None,
            back: None,
            schedule: None,
            played: Played::default(),
        }
    }

    /// Calls `handle_timeout` at random moments at which nothing is due.
    pub(super) fn with_early_timeouts(mut self) -> Self {
        self.early = Some(Random::new(1));
        self
    }

    /// Gives steps a time before that of the step before.
    pub(super) fn with_time_going_back(mut self) -> Self {
        self.back = Some(Random::new(2));
        self
    }

    /// Drains only behind each step, and calls the time-outs of another run: a machine that is not drained asks for
    /// nothing but that.
    pub(super) fn draining_late(mut self, timeouts: &[Instant]) -> Self {
        self.schedule = Some(timeouts.iter().copied().collect());
        self
    }

    /// Plays `steps` and lets time run on; answers with all outputs, and what could be observed at the end.
    pub(super) fn run(mut self, steps: &[Timed<S::Step>]) -> Result<Played, String> {
        self.drain_now()?;
        for timed in steps {
            self.pass(timed.after)?;
            let at = self.step_time();
            self.subject.apply(&mut self.machine, at, &timed.step);
            self.drain_now()?;
            self.played.lines.push("end of a step".into());
        }
        self.pass(EPILOGUE)?;
        self.drain_now()?;
        self.played.lines.push(self.subject.observe(&self.machine));
        Ok(self.played)
    }

    /// Lets time pass, with every time-out that falls in it.
    fn pass(&mut self, pause: Duration) -> Result<(), String> {
        let end = self.now + pause;
        for _ in 0..MAX_TIMEOUTS {
            let Some(due) = self.next_timeout(end) else {
                self.timeout_early(end);
                self.now = end;
                return self.drain();
            };
            self.timeout_early(due);
            self.now = self.now.max(due);
            self.played.timeouts.push(self.now);
            self.machine.handle_timeout(self.now);
            self.drain()?;
        }
        Err(format!(
            "law 1: more than {MAX_TIMEOUTS} time-outs within {pause:?}: the time asked for does not move on"
        ))
    }

    fn next_timeout(&mut self, end: Instant) -> Option<Instant> {
        match &mut self.schedule {
            None => self.machine.poll_timeout().filter(|due| *due <= end),
            Some(schedule) => match schedule.front() {
                Some(due) if *due <= end => schedule.pop_front(),
                _ => None,
            },
        }
    }

    /// Calls `handle_timeout` somewhere before `due`, if this player does so.
    fn timeout_early(&mut self, due: Instant) {
        let Some(random) = &mut self.early else {
            return;
        };
        let room = due.saturating_since(self.now).as_nanos();
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        if room > 0 && random.below(2) == 0 {
            let at = self.now + Duration::from_nanos(random.below(room));
            self.machine.handle_timeout(at);
        }
    }

    fn step_time(&mut self) -> Instant {
        match &mut self.back {
            // The machine has seen `now` only if something happened then, so it is shown first.
            Some(random) => {
                let mut earlier = || self.now - Duration::from_millis(random.below(5_000));
                self.machine.handle_timeout(self.now);
                self.machine.handle_timeout(earlier());
                earlier()
            }
            None => self.now,
        }
    }

    /// Takes what waits, unless that is done late.
    fn drain(&mut self) -> Result<(), String> {
        if self.schedule.is_some() {
            return Ok(());
        }
        self.drain_now()
    }

    /// Takes what waits, and checks laws 1 and 4.
    fn drain_now(&mut self) -> Result<(), String> {
        let mut count = 0_usize;
        loop {
            let asked = self.machine.poll_timeout();
            let Some(output) = self.machine.poll_output() else {
                break;
            };
            if asked.is_none_or(|at| at > self.now) {
                return Err(format!(
                    "law 1: output waits at {} and the time-out asked for is {asked:?}",
                    self.now
                ));
            }
            count = count.saturating_add(1);
            let max = self.subject.max_outputs();
            if count > max && self.schedule.is_none() {
                return Err(format!("law 4: one event caused more than {max} outputs"));
            }
            self.played.lines.push(format!("{output:?}"));
        }
        match self.machine.poll_timeout() {
            Some(at) if at <= self.now => Err(format!(
                "law 1: drained at {}, the time-out asked for is {at}",
                self.now
            )),
            _ => Ok(()),
        }
    }
}
