//! Tasks that can be counted and joined.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The tasks of one owner.
///
/// Clones share the set. A panic in a task ends that task only; it is counted and logged. Tasks that still run when
/// the last clone is dropped go on; call [`shutdown`](Self::shutdown) to end them.
#[derive(Clone, Debug)]
pub struct TaskSet {
    runtime: Handle,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, Option<AbortHandle>>,
    /// How many are being begun by others.
    beginning: usize,
    panics: u64,
    closed: bool,
}

impl TaskSet {
    /// An empty set whose tasks run on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// If there is no current runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Handle::current())
    }

    /// An empty set whose tasks run on `runtime`.
    #[must_use]
    pub fn on(runtime: Handle) -> Self {
        Self {
            runtime,
            shared: Arc::default(),
        }
    }

    /// Runs `task`. After [`shutdown`](Self::shutdown) it is dropped instead.
    ///
    /// `name` is for the log.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = {
            let mut state = self.shared.lock();
            if state.closed {
                return;
            }
            let id = state.next;
            state.next = id.wrapping_add(1);
            state.running.insert(id, None);
            id
        };
        let guard = Guard {
            shared: Arc::clone(&self.shared),
            id,
            name,
        };
        let handle = self.runtime.spawn(async move {
            let _guard = guard;
            task.await;
        });
        // The task may have ended by now, and a shutdown may have begun.
        let mut state = self.shared.lock();
        if state.closed {
            handle.abort();
        } else if let Some(place) = state.running.get_mut(&id) {
            *place = Some(handle.abort_handle());
        }
    }

    /// Runs `task` here and now as far as it goes without waiting, and what is left of it as with [`spawn`](Self::spawn).
    /// A task that ends so costs no hand-over to another one. What might take long asks [`is_beginning`] before, and waits.
    ///
    /// Whoever calls this holds no locks. A panic ends the task only. `name` is for the log.
    pub fn begin(&self, name: &'static str, mut task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        {
            let mut state = self.shared.lock();
            if state.closed {
                return;
            }
            state.beginning = state.beginning.saturating_add(1);
        }
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let polled = task.as_mut().poll(&mut Context::from_waker(&BEGINNING));
            polled.is_pending().then_some(task)
        }));
        match begun {
            Ok(None) => {}
            Ok(Some(task)) => self.spawn(name, task),
            Err(_) => self.caught_panic(name),
        }
        {
            let mut state = self.shared.lock();
            state.beginning = state.beginning.saturating_sub(1);
        }
        self.shared.ended.notify_waiters();
    }

    /// How many tasks run.
    #[must_use]
    pub fn len(&self) -> usize {
        let state = self.shared.lock();
        state.running.len().saturating_add(state.beginning)
    }

    /// Whether no task runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts a panic that was caught within a task, as one that ended its task is counted.
    pub fn caught_panic(&self, name: &'static str) {
        {
            let mut state = self.shared.lock();
            state.panics = state.panics.saturating_add(1);
        }
        tracing::error!(task = name, "a task panicked");
    }

    /// How many tasks ended by a panic.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.shared.lock().panics
    }

    /// Waits until no task runs. New ones may start.
    ///
    /// # Cancel safety
    ///
    /// Safe: the tasks go on.
    pub async fn idle(&self) {
        loop {
            let ended = self.shared.ended.notified();
            if self.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Ends every task where it waits, and waits until all have ended. New ones are refused.
    ///
    /// # Cancel safety
    ///
    /// Safe: the tasks have been told to end.
    pub async fn shutdown(&self) {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            state
                .running
                .values()
                .flatten()
                .for_each(AbortHandle::abort);
        }
        self.idle().await;
    }
}

/// Whether a task is asked by `context` how far it gets without waiting, in the place of somebody else who waits for that
/// ([`TaskSet::begin`]). If it returns [`Poll::Pending`](std::task::Poll::Pending), it is asked again in its own place.
#[must_use]
pub fn is_beginning(context: &Context<'_>) -> bool {
    context.waker().will_wake(&BEGINNING)
}

/// Wakes nobody: what does not end at once is asked again in any case.
static BEGINNING: LazyLock<Waker> = LazyLock::new(|| Waker::from(Arc::new(Nobody)));

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}

    fn wake_by_ref(self: &Arc<Self>) {}
}

impl Default for TaskSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the set when the task ends, however it does.
struct Guard {
    shared: Arc<Shared>,
    id: u64,
    name: &'static str,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        {
            let mut state = self.shared.lock();
            state.running.remove(&self.id);
            if panicked {
                state.panics = state.panics.saturating_add(1);
            }
        }
        if panicked {
            tracing::error!(task = self.name, "a task panicked");
        }
        self.shared.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_ends_one_task_only() {
        let tasks = TaskSet::new();
        tasks.spawn("bad", async { panic!("announced") });
        tasks.spawn("good", async {});
        tasks.idle().await;
        assert_eq!((tasks.panics(), tasks.len()), (1, 0));
    }

    #[tokio::test]
    async fn what_begins_ends_at_once_or_runs_on_in_its_own_place() {
        let tasks = TaskSet::new();
        let (give, mut take) = tokio::sync::mpsc::channel(2);
        for (name, waits) in [("quick", false), ("slow", true)] {
            let give = give.clone();
            let task = async move {
                std::future::poll_fn(|context| {
                    if waits && is_beginning(context) {
                        return Poll::Pending;
                    }
                    Poll::Ready(())
                })
                .await;
                give.send(name).await.unwrap();
            };
            tasks.begin(name, Box::pin(task));
        }
        assert_eq!((take.try_recv().ok(), tasks.len()), (Some("quick"), 1));
        assert_eq!(take.recv().await, Some("slow"));
        tasks.begin("bad", Box::pin(async { panic!("announced") }));
        tasks.idle().await;
        assert_eq!((tasks.panics(), tasks.len()), (1, 0));
        tasks.shutdown().await;
        tasks.begin("late", Box::pin(async { panic!("refused") }));
        assert_eq!(tasks.panics(), 1);
    }

    #[tokio::test]
    async fn shutdown_ends_what_waits_and_refuses_what_is_new() {
        let tasks = TaskSet::new();
        for _ in 0..10 {
            tasks.spawn("waiting", std::future::pending());
        }
        assert_eq!(tasks.len(), 10);
        tasks.shutdown().await;
        assert!(tasks.is_empty());
        tasks.spawn("late", std::future::pending());
        assert!(tasks.is_empty());
    }
}
