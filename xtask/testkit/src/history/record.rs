//! What an application, or whoever causes faults, writes down.

use serde::{Deserialize, Serialize};

use super::Name;

/// One line of a journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a time, somebody, and a deed: no more"
)]
pub struct Record {
    /// When, in microseconds of a clock that all share.
    pub at: u64,
    /// Who wrote it.
    pub actor: Name,
    /// What.
    pub did: Did,
}

/// What was done or told. `N` is a text, or its [`Name`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Did<N = Name> {
    /// The application has a link to a node.
    Attached {
        /// The node.
        node: N,
    },
    /// The application lost its link; its subscriptions have ended.
    Lost,
    /// An event is about to be published.
    Publish {
        /// On what.
        topic: N,
        /// Which event of this writer.
        number: u64,
        /// 0 or 1.
        qos: u8,
        /// By when it has to be accepted or refused, in milliseconds.
        wait_ms: Option<u64>,
        /// Whether a receipt is to come.
        receipt: bool,
    },
    /// The event was taken.
    Accepted {
        /// Which.
        number: u64,
    },
    /// The event was certainly not taken.
    Refused {
        /// Which.
        number: u64,
        /// Why, by the table of error codes.
        code: u16,
    },
    /// Nobody knows whether the event was taken.
    Unsure {
        /// Which.
        number: u64,
        /// Why, by the table of error codes.
        code: u16,
    },
    /// What became of an event.
    Receipt {
        /// Which.
        number: u64,
        /// How many destinations were owed it.
        matched: u64,
        /// How many have been handed it.
        acked: u64,
        /// For how many its time was over.
        expired: u64,
        /// How many were given up.
        dropped: u64,
    },
    /// A subscription is about to be made.
    Subscribe {
        /// Which of this application.
        subscription: u32,
        /// To what.
        pattern: N,
        /// The group that shares the events.
        group: Option<N>,
        /// Whether it takes events in any order.
        #[serde(default)]
        unordered: bool,
    },
    /// The subscription is made.
    Subscribed {
        /// Which.
        subscription: u32,
    },
    /// An event was handed over.
    Delivered {
        /// To which subscription.
        subscription: u32,
        /// The node that publishes.
        publisher: N,
        /// Its run.
        epoch: u64,
        /// On what.
        topic: N,
        /// Its place among the events of publisher, run and topic.
        sequence: u64,
        /// Who wrote it, by its payload.
        by: N,
        /// Which event of that writer, by its payload.
        number: u64,
        /// Whether it is said to have been handed out before, without an acknowledgement.
        again: bool,
    },
    /// Events were told missing.
    Gap {
        /// By which subscription.
        subscription: u32,
        /// The node that publishes.
        publisher: N,
        /// Its run.
        epoch: u64,
        /// On what.
        topic: N,
        /// The first one.
        from: u64,
        /// The one after the last; nothing where nobody knows.
        to: Option<u64>,
        /// Why.
        cause: N,
    },
    /// So many events were dropped whose places are not told.
    Lagged {
        /// By which subscription.
        subscription: u32,
        /// How many.
        count: u64,
    },
    /// A subscription is about to end as its owner wishes.
    Unsubscribe {
        /// Which.
        subscription: u32,
    },
    /// A call is about to be made.
    Call {
        /// Which of this caller.
        number: u64,
        /// By when it has to end, in milliseconds.
        deadline_ms: u64,
        /// Whether it may run more than once.
        repeatable: bool,
    },
    /// The caller wants no answer any more.
    Cancel {
        /// Which.
        number: u64,
    },
    /// A result came.
    Answered {
        /// To which call.
        number: u64,
        /// The caller, by the result.
        by: N,
        /// The number of the call, by the result.
        of: u64,
    },
    /// The call ended with an error.
    Failed {
        /// Which.
        number: u64,
        /// The error, by the table of error codes.
        code: u16,
    },
    /// A call is about to be run.
    Begun {
        /// Its id.
        call: N,
        /// The caller, by the arguments.
        by: N,
        /// The number of the call, by the arguments.
        number: u64,
    },
    /// The call was run to its end.
    Ended {
        /// Its id.
        call: N,
    },
    /// The call was given up while it ran.
    Stopped {
        /// Its id.
        call: N,
    },
    /// A node is about to be asked to leave.
    Down {
        /// Which.
        node: N,
    },
    /// A node serves, and the others know it.
    Up {
        /// The node.
        node: N,
        /// Whether it keeps what it accepted over its own death.
        durable: bool,
    },
    /// A node keeps what others accepted: what an application of its was handed outlives the node where it was published.
    Keeps {
        /// The node.
        node: N,
    },
    /// An application or a node was killed.
    Killed {
        /// Who.
        who: N,
    },
    /// Something is wrong from here on: a cut, or somebody that stands still.
    Broken {
        /// What.
        what: N,
    },
    /// It is right again.
    Mended {
        /// What.
        what: N,
    },
    /// Nothing moves any more: what was owed has arrived or will not.
    Quiet,
}

impl<N> Did<N> {
    /// The same with other names.
    #[expect(
        clippy::too_many_lines,
        reason = "one line for each field of each variant"
    )]
    pub fn map<M>(self, mut name: impl FnMut(N) -> M) -> Did<M> {
        match self {
            Self::Attached { node } => Did::Attached { node: name(node) },
            Self::Lost => Did::Lost,
            Self::Publish {
                topic,
                number,
                qos,
                wait_ms,
                receipt,
            } => Did::Publish {
                topic: name(topic),
                number,
                qos,
                wait_ms,
                receipt,
            },
            Self::Accepted { number } => Did::Accepted { number },
            Self::Refused { number, code } => Did::Refused { number, code },
            Self::Unsure { number, code } => Did::Unsure { number, code },
            Self::Receipt {
                number,
                matched,
                acked,
                expired,
                dropped,
            } => Did::Receipt {
                number,
                matched,
                acked,
                expired,
                dropped,
            },
            Self::Subscribe {
                subscription,
                pattern,
                group,
                unordered,
            } => Did::Subscribe {
                subscription,
                pattern: name(pattern),
                group: group.map(name),
                unordered,
            },
            Self::Subscribed { subscription } => Did::Subscribed { subscription },
            Self::Delivered {
                subscription,
                publisher,
                epoch,
                topic,
                sequence,
                by,
                number,
                again,
            } => Did::Delivered {
                subscription,
                publisher: name(publisher),
                epoch,
                topic: name(topic),
                sequence,
                by: name(by),
                number,
                again,
            },
            Self::Gap {
                subscription,
                publisher,
                epoch,
                topic,
                from,
                to,
                cause,
            } => Did::Gap {
                subscription,
                publisher: name(publisher),
                epoch,
                topic: name(topic),
                from,
                to,
                cause: name(cause),
            },
            Self::Lagged {
                subscription,
                count,
            } => Did::Lagged {
                subscription,
                count,
            },
            Self::Unsubscribe { subscription } => Did::Unsubscribe { subscription },
            Self::Call {
                number,
                deadline_ms,
                repeatable,
            } => Did::Call {
                number,
                deadline_ms,
                repeatable,
            },
            Self::Cancel { number } => Did::Cancel { number },
            Self::Answered { number, by, of } => Did::Answered {
                number,
                by: name(by),
                of,
            },
            Self::Failed { number, code } => Did::Failed { number, code },
            Self::Begun { call, by, number } => Did::Begun {
                call: name(call),
                by: name(by),
                number,
            },
            Self::Ended { call } => Did::Ended { call: name(call) },
            Self::Stopped { call } => Did::Stopped { call: name(call) },
            Self::Down { node } => Did::Down { node: name(node) },
            Self::Up { node, durable } => Did::Up {
                node: name(node),
                durable,
            },
            Self::Keeps { node } => Did::Keeps { node: name(node) },
            Self::Killed { who } => Did::Killed { who: name(who) },
            Self::Broken { what } => Did::Broken { what: name(what) },
            Self::Mended { what } => Did::Mended { what: name(what) },
            Self::Quiet => Did::Quiet,
        }
    }
}
