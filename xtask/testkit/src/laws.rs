//! The six laws of machines, checked on random steps.
//!
//! ```
//! use std::time::Duration;
//!
//! use macula_testkit::laws::{self, Subject};
//! use macula_wire::{Instant, Machine};
//!
//! /// Repeats what it was told, a second later.
//! #[derive(Default)]
//! struct Echo {
//!     now: Instant,
//!     waiting: Vec<(Instant, u8)>,
//!     out: std::collections::VecDeque<u8>,
//! }
//!
//! impl Echo {
//!     fn advance(&mut self, now: Instant) {
//!         self.now = self.now.max(now);
//!         let due = self.waiting.iter().take_while(|(at, _)| *at <= self.now).count();
//!         self.out.extend(self.waiting.drain(..due).map(|(_, word)| word));
//!     }
//! }
//!
//! impl Machine for Echo {
//!     type Input = u8;
//!     type Output = u8;
//!
//!     fn handle_input(&mut self, now: Instant, word: u8) {
//!         self.advance(now);
//!         self.waiting.push((self.now + Duration::from_secs(1), word));
//!     }
//!     fn handle_timeout(&mut self, now: Instant) {
//!         self.advance(now);
//!     }
//!     fn poll_output(&mut self) -> Option<u8> {
//!         self.out.pop_front()
//!     }
//!     fn poll_timeout(&self) -> Option<Instant> {
//!         if self.out.is_empty() { self.waiting.first().map(|(at, _)| *at) } else { Some(self.now) }
//!     }
//! }
//!
//! struct Echoes;
//!
//! impl Subject for Echoes {
//!     type Machine = Echo;
//!     type Step = u8;
//!
//!     fn create(&self, _seed: u64, now: Instant) -> Echo {
//!         Echo { now, ..Echo::default() }
//!     }
//!     fn apply(&self, machine: &mut Echo, now: Instant, step: &u8) {
//!         machine.handle_input(now, *step);
//!     }
//!     fn max_outputs(&self) -> usize {
//!         100
//!     }
//!     fn observe(&self, machine: &Echo) -> String {
//!         format!("{:?}", machine.waiting)
//!     }
//! }
//!
//! laws::check(&Echoes, 0_u8..);
//! ```

mod play;

use std::fmt::Debug;
use std::time::Duration;

use macula_wire::{Instant, Machine};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{
    Config as RunnerConfig, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};

use crate::each_seed;
use play::{Played, Player};

/// A machine whose laws are checked, and how to drive it.
pub trait Subject {
    /// The machine.
    type Machine: Machine<Output: Debug>;
    /// An input of the machine, or a command.
    type Step: Clone + Debug;

    /// A new machine with the randomness of `seed`, at `now`.
    fn create(&self, seed: u64, now: Instant) -> Self::Machine;

    /// Gives `step` to the machine; a command may fail, as long as it always fails alike.
    fn apply(&self, machine: &mut Self::Machine, now: Instant, step: &Self::Step);

    /// The most outputs that one step or one time-out may cause (law 4).
    fn max_outputs(&self) -> usize;

    /// What the machine's questions answer, as a text, so that laws 2 and 6 can compare it.
    fn observe(&self, machine: &Self::Machine) -> String;
}

/// The most steps of one sequence.
const MAX_STEPS: usize = 48;
/// How many sequences are tried for each simulation seed.
const CASES: u32 = 4;

/// A step, and the time before it.
#[derive(Clone, Debug)]
struct Timed<S> {
    after: Duration,
    step: S,
}

/// Checks the six laws of [`Machine`] on random sequences of steps, for each seed of [`seeds`](crate::seeds).
///
/// # Panics
///
/// If a law is broken: with the law, the shortest sequence found that breaks it, and the command that replays the seed.
pub fn check<S: Subject>(subject: &S, step: impl Strategy<Value = S::Step> + Clone) {
    each_seed(|seed| {
        if let Err(broken) = check_seed(subject, step.clone(), seed) {
            fail(&broken);
        }
    });
}

#[expect(clippy::panic, reason = "a failing test has to panic")]
fn fail(broken: &str) {
    panic!("{broken}");
}

/// Checks the six laws for one seed.
///
/// # Errors
///
/// A text that names the law and the shortest sequence found that breaks it.
pub fn check_seed<S: Subject>(
    subject: &S,
    step: impl Strategy<Value = S::Step>,
    seed: u64,
) -> Result<(), String> {
    let mut bytes = [0; 32];
    macula_wire::Random::new(seed).fill(&mut bytes);
    let config = RunnerConfig {
        cases: CASES,
        failure_persistence: None,
        ..RunnerConfig::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    // Short pauses meet protocols in the middle of things, long ones let every timer run out.
    let pause = proptest::prop_oneof![
        4 => 0_u64..50,
        4 => 0_u64..2_000,
        1 => 0_u64..60_000,
    ];
    let timed = (pause, step).prop_map(|(millis, step)| Timed {
        after: Duration::from_millis(millis),
        step,
    });
    let sequences = proptest::collection::vec(timed, 1..MAX_STEPS);
    let outcome = runner.run(&sequences, |steps| {
        all_laws(subject, seed, &steps).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, steps)) => Err(format!("{reason}\nsteps: {steps:#?}")),
        Err(TestError::Abort(reason)) => Err(format!("no sequence could be made: {reason}")),
    }
}

fn all_laws<S: Subject>(subject: &S, seed: u64, steps: &[Timed<S::Step>]) -> Result<(), String> {
    // Laws 1 and 4 are checked by the player at every point of every run.
    let plain = Player::new(subject, seed).run(steps)?;
    let again = Player::new(subject, seed).run(steps)?;
    same(
        "6: equal seeds and equal events cause equal output",
        &plain,
        &again,
    )?;
    let early = Player::new(subject, seed)
        .with_early_timeouts()
        .run(steps)?;
    same(
        "2: a time-out before its time changes nothing",
        &plain,
        &early,
    )?;
    let backwards = Player::new(subject, seed)
        .with_time_going_back()
        .run(steps)?;
    same(
        "3: an earlier time counts as the latest one",
        &plain,
        &backwards,
    )?;
    let late = Player::new(subject, seed)
        .draining_late(&plain.timeouts)
        .run(steps)?;
    same("5: draining late neither loses nor reorders", &plain, &late)
}

fn same(law: &str, expected: &Played, found: &Played) -> Result<(), String> {
    same_lines(law, &expected.lines, &found.lines)?;
    let lines = |played: &Played| -> Vec<String> {
        let text = |at: &Instant| format!("a time-out at {at}");
        played.timeouts.iter().map(text).collect()
    };
    same_lines(law, &lines(expected), &lines(found))
}

fn same_lines(law: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    let differ = expected
        .iter()
        .zip(found)
        .position(|(expected, found)| expected != found);
    let at = match differ {
        None if expected.len() == found.len() => return Ok(()),
        None => expected.len().min(found.len()),
        Some(at) => at,
    };
    Err(format!(
        "law {law}; line {at} is\n  {}\ninstead of\n  {}",
        found.get(at).map_or("missing", String::as_str),
        expected.get(at).map_or("nothing", String::as_str),
    ))
}

/// One value of a strategy, for tests that need a sample rather than a property.
///
/// # Errors
///
/// The strategy's own reason if it cannot make one.
pub fn sample<T: Debug>(strategy: &impl Strategy<Value = T>, seed: u64) -> Result<T, String> {
    let mut bytes = [0; 32];
    macula_wire::Random::new(seed).fill(&mut bytes);
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(RunnerConfig::default(), random);
    let tree = strategy.new_tree(&mut runner);
    tree.map(|tree| tree.current())
        .map_err(|reason| reason.to_string())
}
