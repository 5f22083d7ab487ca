//! The six laws of machines (`macula_wire::Machine`), held on one sequence of steps.

use std::fmt::{self, Debug, Write};
use std::time::Duration;

use macula_wire::{Instant, Machine, Random};

/// When every machine starts.
pub const START: Instant = Instant::from_millis(10_000);
/// The most steps of one sequence.
pub const MAX_STEPS: usize = 32;
/// How many time-outs may fall in one pause before the machine is said to run in circles.
const MAX_TIMEOUTS: usize = 2_000;
/// How long a machine runs on after the last step.
const EPILOGUE: Duration = Duration::from_secs(20);

/// A machine, and how to drive it.
pub trait Subject {
    /// The machine.
    type Machine: Machine<Output: Debug>;
    /// An input, or a command.
    type Step;

    /// A new machine at [`START`], always the same.
    fn create(&self) -> Self::Machine;

    /// Gives `step` to the machine.
    fn apply(&self, machine: &mut Self::Machine, now: Instant, step: &Self::Step);

    /// The most outputs of one step or one time-out.
    fn max_outputs(&self) -> usize;

    /// Writes what the machine put out: something else for each output. What text says is said faster by fewer bytes.
    fn write(&self, output: &<Self::Machine as Machine>::Output, out: &mut Digest) -> fmt::Result {
        write!(out, "{output:?};")
    }

    /// Writes what can be asked of the machine.
    fn observe(&self, machine: &Self::Machine, out: &mut Digest) -> fmt::Result;

    /// Panics if the machine is in a state that it must not be in.
    fn inspect(&self, machine: &Self::Machine);
}

/// A step, and the pause before it.
#[derive(Debug)]
pub struct Timed<S> {
    pub after: Duration,
    pub step: S,
}

/// The pause that a byte stands for: up to half a second in small steps, or up to 6.4 s.
pub fn pause(byte: u8) -> Duration {
    let byte = u64::from(byte);
    Duration::from_millis(if byte < 128 {
        byte * 4
    } else {
        (byte - 127) * 50
    })
}

/// Panics if the machine breaks a law on `steps`.
pub fn hold<S: Subject>(subject: &S, steps: &[Timed<S::Step>]) {
    // Laws 1 and 4 are checked on every run.
    let plain = Player::new(subject, Way::Plain).run(steps);
    let play = |way| Player::new(subject, way).run(steps).lines;
    assert_eq!(plain.lines, play(Way::Plain), "law 6, by steps");
    let early = play(Way::Early(Random::new(1)));
    assert_eq!(plain.lines, early, "law 2, by steps");
    let back = play(Way::Back(Random::new(2)));
    assert_eq!(plain.lines, back, "law 3, by steps");
    let late = play(Way::Late(plain.timeouts.into_iter().rev().collect()));
    assert_eq!(plain.lines, late, "law 5, by steps");
}

/// In what way a sequence is played.
enum Way {
    Plain,
    /// With time-outs at moments at which nothing is due.
    Early(Random),
    /// With steps at times before that of the step before.
    Back(Random),
    /// Drained behind each step only, with the time-outs of another run; the last of them first.
    Late(Vec<Instant>),
}

/// What came of a sequence: for each step the digest of all output up to its end, and of what could be observed then.
#[derive(Default)]
struct Played {
    lines: Vec<u64>,
    timeouts: Vec<Instant>,
}

struct Player<'a, S: Subject> {
    subject: &'a S,
    machine: S::Machine,
    now: Instant,
    way: Way,
    digest: Digest,
    played: Played,
}

impl<'a, S: Subject> Player<'a, S> {
    fn new(subject: &'a S, way: Way) -> Self {
        Self {
            subject,
            machine: subject.create(),
            now: START,
            way,
            digest: Digest::default(),
            played: Played::default(),
        }
    }

    fn run(mut self, steps: &[Timed<S::Step>]) -> Played {
        for timed in steps {
            self.pass(timed.after);
            let at = self.step_time();
            self.subject.apply(&mut self.machine, at, &timed.step);
            self.end_step();
        }
        self.pass(EPILOGUE);
        self.end_step();
        let observed = self.subject.observe(&self.machine, &mut self.digest);
        observed.expect("a digest takes everything");
        self.played.lines.push(self.digest.0);
        self.played
    }

    fn end_step(&mut self) {
        self.drain();
        self.subject.inspect(&self.machine);
        self.played.lines.push(self.digest.0);
    }

    /// Lets time pass, with every time-out that falls in it.
    fn pass(&mut self, pause: Duration) {
        let end = self.now + pause;
        for _ in 0..MAX_TIMEOUTS {
            let Some(due) = self.next_timeout(end) else {
                self.time_out_early(end);
                self.now = end;
                return;
            };
            self.time_out_early(due);
            self.now = self.now.max(due);
            self.played.timeouts.push(self.now);
            self.machine.handle_timeout(self.now);
            if !matches!(self.way, Way::Late(_)) {
                self.drain();
            }
        }
        panic!("law 1: more than {MAX_TIMEOUTS} time-outs within {pause:?}");
    }

    fn next_timeout(&mut self, end: Instant) -> Option<Instant> {
        match &mut self.way {
            Way::Late(schedule) => schedule.pop_if(|due| *due <= end),
            Way::Plain | Way::Early(_) | Way::Back(_) => {
                self.machine.poll_timeout().filter(|due| *due <= end)
            }
        }
    }

    fn time_out_early(&mut self, due: Instant) {
        let Way::Early(random) = &mut self.way else {
            return;
        };
        let room = due.saturating_since(self.now).as_nanos();
        let room = u64::try_from(room).expect("a short pause");
        if room > 0 && random.below(2) == 0 {
            let at = self.now + Duration::from_nanos(random.below(room));
            self.machine.handle_timeout(at);
        }
    }

    fn step_time(&mut self) -> Instant {
        match &mut self.way {
            // The machine has seen `now` only if something happened then, so it is shown first.
            Way::Back(random) => {
                self.machine.handle_timeout(self.now);
                self.now - Duration::from_millis(random.below(5_000))
            }
            Way::Plain | Way::Early(_) | Way::Late(_) => self.now,
        }
    }

    /// Takes what waits, and checks laws 1 and 4.
    fn drain(&mut self) {
        let asked = self.machine.poll_timeout();
        let mut count = 0;
        while let Some(output) = self.machine.poll_output() {
            count += 1;
            let late = matches!(self.way, Way::Late(_));
            let max = self.subject.max_outputs();
            assert!(late || count <= max, "law 4: more than {max} outputs");
            let written = self.subject.write(&output, &mut self.digest);
            written.expect("a digest takes everything");
        }
        assert!(
            count == 0 || asked.is_some_and(|at| at <= self.now),
            "law 1: output waits at {} and the time-out asked for is {asked:?}",
            self.now
        );
        let next = self.machine.poll_timeout();
        assert!(
            next.is_none_or(|at| at > self.now),
            "law 1: drained at {}, the time-out asked for is {next:?}",
            self.now
        );
    }
}

/// A digest (64-bit FNV-1a, by words of eight bytes and turned between them), which takes no memory.
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes in bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            self.word(u64::from_le_bytes(eight));
        }
        for byte in words.remainder() {
            self.word(u64::from(*byte));
        }
        self.word(bytes.len() as u64);
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x0100_0000_01b3);
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
