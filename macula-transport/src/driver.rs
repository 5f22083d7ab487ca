//! Runs a machine on the clock and the queues of a node.

use std::time::Duration;

use macula_wire::{Instant, Machine};
use tokio::sync::mpsc;

use crate::clock::Clock;

/// From how late on a timer waits for what arrived in the meantime.
const LATE: Duration = Duration::from_millis(20);
/// How long it waits for that.
const GRACE: Duration = Duration::from_millis(50);

/// A command for a machine, sent by a handle.
///
/// The closure runs between two events with the machine to itself, so a handle needs no lock.
pub type Call<M> = Box<dyn FnOnce(&mut M, Instant) + Send>;

/// Where the output of a machine goes.
pub trait Sink<O> {
    /// Carries out `output`.
    ///
    /// Does not wait. An implementation that runs out of room drops by the policy of its queue and counts what it
    /// dropped, because a slow peer must not delay the timers of all others.
    fn accept(&mut self, output: O);
}

/// A machine with its sink, its clock and the queues that feed it.
///
/// Both queues are the caller's and bounded by the caller. Inputs carry the time at which they were read.
#[derive(Debug)]
pub struct Driver<M: Machine, S> {
    machine: M,
    sink: S,
    clock: Clock,
    calls: mpsc::Receiver<Call<M>>,
    inputs: mpsc::Receiver<(Instant, M::Input)>,
}

impl<M: Machine, S: Sink<M::Output>> Driver<M, S> {
    /// A driver that has not started.
    #[must_use]
    pub const fn new(
        machine: M,
        sink: S,
        clock: Clock,
        calls: mpsc::Receiver<Call<M>>,
        inputs: mpsc::Receiver<(Instant, M::Input)>,
    ) -> Self {
        Self {
            machine,
            sink,
            clock,
            calls,
            inputs,
        }
    }

    /// Runs until every sender of calls is dropped.
    ///
    /// Timers go first, then commands of this node, then the network: a peer that sends as fast as it can does not
    /// hold up what this node owes to others.
    ///
    /// A timer that is over 20 ms late shows that this process had no processor, so answers may have come that nobody
    /// has read. Readers then get 50 ms, and what they bring counts as having come just before the timer: a node that
    /// was starved blames nobody for its own silence.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the machine. No input is half applied; output that is still queued is lost.
    pub async fn run(mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.sink.accept(output);
            }
            tokio::select! {
                biased;
                () = self.clock.sleep_until(self.machine.poll_timeout()) => {
                    self.catch_up().await;
                    self.machine.handle_timeout(self.clock.now());
                }
                call = self.calls.recv() => match call {
                    Some(call) => call(&mut self.machine, self.clock.now()),
                    None => return,
                },
                Some((at, input)) = self.inputs.recv() => self.machine.handle_input(at, input),
            }
        }
    }

    /// Lets what arrived while a timer was late be heard before it fires.
    async fn catch_up(&mut self) {
        let Some(due) = self.machine.poll_timeout() else {
            return;
        };
        let now = self.clock.now();
        if now.saturating_since(due) < LATE {
            return;
        }
        let before = Instant::from_nanos(due.as_nanos().saturating_sub(1));
        let until = Some(now + GRACE);
        loop {
            tokio::select! {
                biased;
                () = self.clock.sleep_until(until) => return,
                Some((at, input)) = self.inputs.recv() => {
                    self.machine.handle_input(at.min(before), input);
                }
            }
            while let Some(output) = self.machine.poll_output() {
                self.sink.accept(output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    /// Repeats each input after a second.
    #[derive(Debug, Default)]
    struct Echo {
        due: Vec<(Instant, u32)>,
        out: Vec<u32>,
    }

    impl Machine for Echo {
        type Input = u32;
        type Output = u32;

        fn handle_input(&mut self, now: Instant, input: u32) {
            self.due.push((now + Duration::from_secs(1), input));
        }

        fn handle_timeout(&mut self, now: Instant) {
            let (due, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
            self.due = later;
            let due: Vec<(Instant, u32)> = due;
            self.out.extend(due.into_iter().map(|(_, value)| value));
        }

        fn poll_output(&mut self) -> Option<u32> {
            (!self.out.is_empty()).then(|| self.out.remove(0))
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.due.iter().map(|(at, _)| *at).min()
        }
    }

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u32>>>);

    impl Sink<u32> for Seen {
        fn accept(&mut self, output: u32) {
            self.0.lock().unwrap().push(output);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inputs_timers_and_calls_reach_the_machine_until_the_handles_are_gone() {
        let clock = Clock::new();
        let (calls, call_queue) = mpsc::channel::<Call<Echo>>(4);
        let (inputs, input_queue) = mpsc::channel(4);
        let seen = Seen::default();
        let driver = Driver::new(
            Echo::default(),
            seen.clone(),
            clock,
            call_queue,
            input_queue,
        );
        let run = async {
            inputs.send((clock.now(), 7)).await.unwrap();
            clock.sleep_until(Some(Instant::from_millis(1_500))).await;
            assert_eq!(*seen.0.lock().unwrap(), [7]);
            let call: Call<Echo> = Box::new(|echo, now| echo.handle_input(now, 8));
            calls.send(call).await.unwrap_or_default();
            clock.sleep_until(Some(Instant::from_millis(3_000))).await;
            drop(calls);
        };
        let ((), ()) = tokio::join!(driver.run(), run);
        assert_eq!(*seen.0.lock().unwrap(), [7, 8]);
    }

    /// Waits a second for an answer, and says 1 if there was one and 0 if not.
    #[derive(Debug)]
    struct Wait {
        due: Option<Instant>,
        out: Vec<u32>,
    }

    impl Machine for Wait {
        type Input = ();
        type Output = u32;

        fn handle_input(&mut self, now: Instant, (): ()) {
            self.handle_timeout(now);
            if self.due.take().is_some() {
                self.out.push(1);
            }
        }

        fn handle_timeout(&mut self, now: Instant) {
            if self.due.is_some_and(|due| due <= now) {
                self.due = None;
                self.out.push(0);
            }
        }

        fn poll_output(&mut self) -> Option<u32> {
            self.out.pop()
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.due
        }
    }

    /// What is said if an answer is read `read` ms after the start, by a process that runs again at `runs` ms.
    async fn said(read: Option<u64>, runs: u64) -> Vec<u32> {
        let clock = Clock::new();
        let (calls, call_queue) = mpsc::channel::<Call<Wait>>(4);
        let (inputs, input_queue) = mpsc::channel(4);
        let seen = Seen::default();
        let machine = Wait {
            due: Some(Instant::from_millis(1_000)),
            out: Vec::new(),
        };
        let driver = Driver::new(machine, seen.clone(), clock, call_queue, input_queue);
        // Time passes before the driver is polled for the first time, as in a process without a processor.
        tokio::time::advance(Duration::from_millis(runs)).await;
        let feed = async {
            if let Some(read) = read {
                clock.sleep_until(Some(Instant::from_millis(read))).await;
                inputs.send((clock.now(), ())).await.unwrap();
            }
            clock.sleep_until(Some(Instant::from_millis(5_000))).await;
            drop(calls);
        };
        let ((), ()) = tokio::join!(driver.run(), feed);
        let said = seen.0.lock().unwrap();
        said.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_the_process_stood_still_is_heard_before_late_timers() {
        assert_eq!(said(Some(1_310), 1_300).await, [1], "read after a stall");
        assert_eq!(said(None, 1_300).await, [0], "nothing came");
        assert_eq!(said(Some(1_400), 1_300).await, [0], "it came too late");
        assert_eq!(said(Some(1_001), 0).await, [0], "no stall, no grace");
        assert_eq!(said(Some(999), 0).await, [1]);
    }
}
