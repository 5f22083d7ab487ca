//! Calls whose path breaks: they end soon, whatever their deadlines, and others take another path.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use macula::wire::ErrorCode;
use macula::{CallOptions, Error, Node, RegisterOptions, Reply, Served};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::gate::Gate;
use super::{Dead, echo, hidden, linked_by};
use crate::mesh::{Realm, offered, until, within};

/// How soon a caller has to know that nobody answers.
const LIMIT: Duration = Duration::from_secs(5);

/// A caller, and a callee that it reaches by a gate only, as far as nobody else carries packets.
struct Apart {
    gate: Gate,
    caller: Node,
    callee: Node,
    started: Arc<Notify>,
    _served: [Served; 2],
}

impl Apart {
    async fn new(realm: &Realm, dead: &Dead, middle: Option<&Node>) -> Self {
        let gate = Gate::new().await;
        gate.open();
        let caller = hidden(realm, dead.address()).await;
        let callee = hidden(realm, gate.address).await;
        gate.lead(callee.local_addr()).await;
        if let Some(middle) = middle {
            for node in [&caller, &callee] {
                within(node.connect(middle.local_addr())).await.unwrap();
            }
        } else {
            within(caller.connect(gate.address)).await.unwrap();
        }
        linked_by(&caller, &callee, "quic ").await;
        let started = Arc::new(Notify::new());
        let begin = Arc::clone(&started);
        let endless = move |_| {
            begin.notify_one();
            pending::<Result<Reply, _>>()
        };
        let options = RegisterOptions::default();
        let served = [
            callee.register("l.endless", options.clone(), endless).await,
            callee.register("l.echo", options, echo).await,
        ];
        offered(&callee, &caller).await;
        Self {
            gate,
            caller,
            callee,
            started,
            _served: served.map(Result::unwrap),
        }
    }

    /// Calls what never ends, with a deadline of ten minutes, and returns when it runs.
    async fn call(&self) -> JoinHandle<Result<Reply, Error>> {
        let node = self.caller.clone();
        let options = CallOptions::default().deadline(Duration::from_secs(600));
        let calling = tokio::spawn(async move { node.call("l.endless", "", options).await });
        within(self.started.notified()).await;
        calling
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_whose_path_breaks_ends_in_five_seconds_and_the_next_take_another_path() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let middle = realm.node().await;
    let apart = Apart::new(&realm, &dead, Some(&middle)).await;
    let calling = apart.call().await;
    apart.gate.close();
    let broken = Instant::now();
    let error = within(calling).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::CALLEE_LOST, "{error}");
    assert!(broken.elapsed() < LIMIT, "{:?}", broken.elapsed());
    linked_by(&apart.caller, &apart.callee, "forwarded").await;
    let options = CallOptions::default();
    within(apart.caller.call("l.echo", "x", options))
        .await
        .unwrap();
    assert!(broken.elapsed() < 2 * LIMIT, "{:?}", broken.elapsed());
    // Nobody died, and a call by the other path is watched as well, and lives.
    let calling = apart.call().await;
    until(async || calling.is_finished() || broken.elapsed() > 3 * LIMIT).await;
    if calling.is_finished() {
        let ended = calling.await.unwrap();
        panic!("{ended:?}");
    }
    for node in [&apart.caller, &apart.callee, &middle] {
        let members = node.stats().await.unwrap().members;
        assert_eq!((members.alive, members.dead), (3, 0));
    }
    calling.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_to_whom_there_is_no_way_left_ends_in_five_seconds() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let apart = Apart::new(&realm, &dead, None).await;
    let calling = apart.call().await;
    apart.gate.close();
    let broken = Instant::now();
    let error = within(calling).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::CALLEE_LOST, "{error}");
    assert!(broken.elapsed() < LIMIT, "{:?}", broken.elapsed());
    // What is called now cannot have run.
    let begun = Instant::now();
    let options = CallOptions::default().deadline(Duration::from_secs(600));
    let error = within(apart.caller.call("l.echo", "x", options)).await;
    let codes = [
        ErrorCode::UNREACHABLE,
        ErrorCode::CALLEE_LOST,
        ErrorCode::NO_SUCH_PROCEDURE,
    ];
    assert!(codes.contains(&error.unwrap_err().code()));
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}
