//! The laws accept a sound machine and find each fault.

use std::collections::VecDeque;
use std::time::Duration;

use macula_testkit::laws::{Subject, check, check_seed};
use macula_wire::{Instant, Machine, Random};

/// Which law a [`Bell`] breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    /// Law 1: what is due stays due.
    StaysDue,
    /// Law 1: waiting output is not announced.
    Silent,
    /// Law 1: the last waiting output is not announced.
    HalfSilent,
    /// Law 2: counts time-outs.
    CountsTimeouts,
    /// Law 2: a time-out before its time puts off what is due.
    PutsOff,
    /// Law 3: believes time that goes back.
    TimeTraveller,
    /// Law 3: believes a time-out whose time goes back.
    TimeoutTraveller,
    /// Law 4: rings more each time.
    Growing,
    /// Law 5: forgets what was not drained.
    Forgetful,
    /// Law 5: puts the newest first.
    Impatient,
    /// Law 6: has randomness of its own.
    Moody,
}

/// Rings a random number of milliseconds after each time that it is set.
struct Bell {
    fault: Fault,
    random: Random,
    now: Instant,
    due: Vec<Instant>,
    out: VecDeque<String>,
    timeouts: u64,
    rung: usize,
}

impl Bell {
    fn advance(&mut self, now: Instant) {
        self.now = if self.fault == Fault::TimeTraveller {
            now
        } else {
            self.now.max(now)
        };
        let ripe = self.due.iter().filter(|at| **at <= self.now).count();
        if self.fault != Fault::StaysDue {
            let now = self.now;
            self.due.retain(|at| *at > now);
        }
        for _ in 0..ripe {
            self.rung += 1;
            let times = if self.fault == Fault::Growing {
                self.rung
            } else {
                1
            };
            for _ in 0..times {
                self.out
                    .push_back(format!("ring {} at {}", self.timeouts, self.now));
            }
        }
    }
}

impl Machine for Bell {
    type Input = u64;
    type Output = String;

    fn handle_input(&mut self, now: Instant, millis: u64) {
        self.advance(now);
        if self.fault == Fault::Forgetful {
            self.out.clear();
        }
        let after = Duration::from_millis(millis + self.random.below(100));
        self.due.push(self.now + after + Duration::from_millis(1));
        let said = format!("set to {after:?}");
        if self.fault == Fault::Impatient {
            self.out.push_front(said);
        } else {
            self.out.push_back(said);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.fault == Fault::CountsTimeouts {
            self.timeouts += 1;
        } else if self.fault == Fault::TimeoutTraveller {
            self.now = now;
        } else if self.fault == Fault::PutsOff {
            for due in self.due.iter_mut().filter(|due| **due > now) {
                *due = *due + Duration::from_nanos(1);
            }
        }
        self.advance(now);
    }

    fn poll_output(&mut self) -> Option<String> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let half_silent = self.fault == Fault::HalfSilent && self.out.len() == 1 && self.rung > 1;
        if self.out.is_empty() || self.fault == Fault::Silent || half_silent {
            self.due.iter().min().copied()
        } else {
            Some(self.now)
        }
    }
}

struct Bells(Fault);

/// A source of true difference between two runs with one seed.
static MOOD: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

impl Subject for Bells {
    type Machine = Bell;
    type Step = u64;

    fn create(&self, seed: u64, now: Instant) -> Bell {
        let mood = MOOD.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let seed = if self.0 == Fault::Moody { mood } else { seed };
        Bell {
            fault: self.0,
            random: Random::new(seed),
            now,
            due: Vec::new(),
            out: VecDeque::new(),
            timeouts: 0,
            rung: 0,
        }
    }

    fn apply(&self, machine: &mut Bell, now: Instant, step: &u64) {
        machine.handle_input(now, *step);
    }

    fn max_outputs(&self) -> usize {
        30
    }

    fn observe(&self, machine: &Bell) -> String {
        format!("{:?} {}", machine.due, machine.rung)
    }
}

/// Whether some of the first seeds shows a fault that a text names.
#[track_caller]
fn finds(fault: Fault, law: &str) {
    let found = (1..=20)
        .filter_map(|seed| check_seed(&Bells(fault), 0_u64..5_000, seed).err())
        .collect::<Vec<_>>();
    assert!(
        found.iter().any(|text| text.contains(law)),
        "{fault:?}: {found:?}"
    );
}

#[test]
fn a_sound_machine_keeps_every_law() {
    check(&Bells(Fault::None), 0_u64..5_000);
}

#[test]
fn each_broken_law_is_found() {
    finds(Fault::StaysDue, "law 1");
    finds(Fault::Silent, "law 1");
    finds(Fault::HalfSilent, "law 1");
    finds(Fault::CountsTimeouts, "law 2");
    finds(Fault::PutsOff, "law 2");
    finds(Fault::TimeTraveller, "law 3");
    finds(Fault::TimeoutTraveller, "law 3");
    finds(Fault::Growing, "law 4");
    finds(Fault::Forgetful, "law 5");
    finds(Fault::Impatient, "law 5");
    finds(Fault::Moody, "law 6");
}
