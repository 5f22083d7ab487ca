//! Every message of version 1, by number.

mod call;
mod contact;
mod debt;
mod event;
mod forward;
mod membership;
mod overlay;
mod parts;
mod record;
mod reliable;
mod room;
mod routing;
mod session;
mod tree;

pub use call::{
    CallCancel, CallError, CallMode, CallPart, CallProgress, CallReply, CallResult, CallRoute,
    CancelMode, Failure, Invoke, Register, RpcCall, Unregister,
};
pub use contact::Contact;
pub use debt::{Arrear, Arrears, DebtGroup, Debts};
pub use event::{Alias, Event, Gap, Priority, Publish, Qos, Receipt, Subscribe, Unsubscribe};
pub use forward::{Forward, ForwardError, Trace, Traced, TracedHop, Way};
pub use membership::{
    Accusation, BucketVersions, DigestPart, MemberRecord, MemberStatus, MemberVersion,
    SignedAccusation, SignedRecord, Standing, SwimAck, SwimDigest, SwimGossip, SwimJoin, SwimNack,
    SwimPing, SwimPingReq, SwimState, Tag, Update,
};
pub use overlay::{
    OverlayAnswer, OverlayEdge, OverlayFlip, OverlayMove, OverlayOffer, OverlayPeers,
    OverlayVerdict, OverlayWalk,
};
pub use parts::Together;
pub use record::{
    GroupInterest, InterestContent, NodeContent, ProviderContent, RecordContent, RecordKind,
    RoutingRecord, SignedRoutingRecord, ValueContent,
};
pub use reliable::{
    Balance, Deliver, DeliveryRange, DeliveryRefusal, EventAck, RefusalCause, Resend,
};
pub use routing::{
    KadAnswer, KadChanges, KadDigest, KadFind, KadFound, KadStore, KadWant, KadWatch, RecordVersion,
};
pub use session::{
    Ack, CertUpdate, Close, Drain, ErrorReport, Handshake, HandshakeAck, Heartbeat, Ping, Pong,
    Role, Roles, Stream, StreamKind,
};
pub use tree::{Graft, Holding, IHave, Prune};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::batch::Batch;
use crate::extension::Extensions;
use crate::field::{Field, UNLIMITED};
use crate::frame::{Frame, put_frame};
use crate::{DecodeError, EncodeError, Reader};

/// The largest message by far: the others need not be as large.
impl From<RpcCall> for Body {
    fn from(call: RpcCall) -> Self {
        Self::RpcCall(Box::new(call))
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $variant:ident($body:ty) = $number:literal $name:literal,)*) => {
        /// The number of a message.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// Every message of version 1, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The message of a number; `None` if version 1 does not know it.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The number in the header of the frame.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The name in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        /// What a message says.
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum Body { $($(#[$doc])* $variant($body),)* }

        impl Body {
            /// The number of the message.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }

            /// Appends the frame of a message with this body and no extensions to `out`.
            ///
            /// The same bytes as [`Message::encode`], for a caller that keeps the body.
            ///
            /// # Errors
            ///
            /// As [`Message::encode`].
            pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                put_frame(out, self.kind().number(), |out| {
                    self.put(out)?;
                    Extensions::new().put("extensions", UNLIMITED, out)
                })
            }

            fn put(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self { $(Self::$variant(body) => body.put(stringify!($variant), UNLIMITED, out),)* }
            }

            fn take(kind: Kind, input: &mut Reader) -> Result<Self, DecodeError> {
                match kind { $(Kind::$variant => <$body as Field>::take(stringify!($variant), UNLIMITED, input).map(Self::$variant),)* }
            }
        }

        messages!(@from $($variant($body),)*);
    };
    (@from Batch($first:ty), $($rest:tt)*) => { messages!(@from $($rest)*); };
    (@from $variant:ident($body:ty), $($rest:tt)*) => {
        impl From<$body> for Body {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        }
        messages!(@from $($rest)*);
    };
    (@from) => {};
}

messages! {
    /// Opens the control stream.
    Handshake(Handshake) = 0x01 "HANDSHAKE",
    /// Answers HANDSHAKE: the link is up.
    HandshakeAck(HandshakeAck) = 0x02 "HANDSHAKE_ACK",
    /// Keeps a link alive whose transport does not.
    Heartbeat(Heartbeat) = 0x03 "HEARTBEAT",
    /// Asks for a PONG.
    Ping(Ping) = 0x04 "PING",
    /// Answers PING.
    Pong(Pong) = 0x05 "PONG",
    /// Opens every stream but the control stream.
    Stream(Stream) = 0x06 "STREAM",
    /// Replaces the certificate of a live link.
    CertUpdate(CertUpdate) = 0x07 "CERT_UPDATE",
    /// Asks for nothing new: the sender is about to leave.
    Drain(Drain) = 0x08 "DRAIN",
    /// Says that a request was carried out.
    Ack(Ack) = 0x09 "ACK",
    /// A client's event with options of its own.
    Publish(Publish) = 0x10 "PUBLISH",
    /// A client asks for the events of a pattern.
    Subscribe(Subscribe) = 0x11 "SUBSCRIBE",
    /// A client ends a subscription.
    Unsubscribe(Unsubscribe) = 0x12 "UNSUBSCRIBE",
    /// One event that names everything it needs.
    Event(Event) = 0x13 "EVENT",
    /// Announces the number of a topic.
    Alias(Alias) = 0x14 "ALIAS",
    /// Events of one publisher and topic.
    Batch(Batch) = 0x15 "BATCH",
    /// What became of a published event.
    Receipt(Receipt) = 0x17 "RECEIPT",
    /// Says that a publisher is lost.
    Gap(Gap) = 0x18 "GAP",
    /// Says that what follows is kept until it is acknowledged.
    Deliver(Deliver) = 0x19 "DELIVER",
    /// Says how far the receiver of a channel has come.
    EventAck(EventAck) = 0x1a "EVENT_ACK",
    /// Asks for events of a channel once more.
    Resend(Resend) = 0x1b "RESEND",
    /// Tells what the sender has of the events of a topic.
    IHave(IHave) = 0x1c "IHAVE",
    /// Asks for events, and for those that follow.
    Graft(Graft) = 0x1d "GRAFT",
    /// Asks for no more events of a publisher and topic.
    Prune(Prune) = 0x1e "PRUNE",
    /// Opens a call.
    RpcCall(Box<RpcCall>) = 0x20 "RPC_CALL",
    /// Ends a call with a result.
    RpcResult(CallResult) = 0x21 "RPC_RESULT",
    /// Ends a call with an error.
    RpcError(CallError) = 0x22 "RPC_ERROR",
    /// A client offers a procedure.
    Register(Register) = 0x23 "REGISTER",
    /// A client withdraws a procedure.
    Unregister(Unregister) = 0x24 "UNREGISTER",
    /// Ends a call from the caller's side.
    RpcCancel(CallCancel) = 0x26 "RPC_CANCEL",
    /// A part of a result before its end.
    RpcProgress(CallProgress) = 0x27 "RPC_PROGRESS",
    /// A part of the arguments of a call.
    RpcPart(CallPart) = 0x28 "RPC_PART",
    /// What one of several callees answered.
    RpcReply(CallReply) = 0x29 "RPC_REPLY",
    /// Asks a member whether it is there.
    SwimPing(SwimPing) = 0x50 "SWIM_PING",
    /// Answers a SWIM_PING.
    SwimAck(SwimAck) = 0x51 "SWIM_ACK",
    /// Asks another member to probe on one's behalf.
    SwimPingReq(SwimPingReq) = 0x52 "SWIM_PING_REQ",
    /// Says that a probe on another's behalf has not been answered yet.
    SwimNack(SwimNack) = 0x53 "SWIM_NACK",
    /// Carries news of members by itself.
    SwimGossip(SwimGossip) = 0x54 "SWIM_GOSSIP",
    /// Enters the membership by a member that is in it.
    SwimJoin(SwimJoin) = 0x55 "SWIM_JOIN",
    /// Tells all that a member knows of the membership.
    SwimState(SwimState) = 0x56 "SWIM_STATE",
    /// Compares what two members know of the membership.
    SwimDigest(SwimDigest) = 0x57 "SWIM_DIGEST",
    /// Looks for edges of the overlay.
    OverlayWalk(OverlayWalk) = 0x58 "OVERLAY_WALK",
    /// Offers an end of an edge.
    OverlayOffer(OverlayOffer) = 0x59 "OVERLAY_OFFER",
    /// Gives up an end of an edge in favour of another node.
    OverlayMove(OverlayMove) = 0x5a "OVERLAY_MOVE",
    /// Says what became of an edge that was offered or asked for.
    OverlayAnswer(OverlayAnswer) = 0x5b "OVERLAY_ANSWER",
    /// Says whether the sender holds an edge, and its neighbours.
    OverlayEdge(OverlayEdge) = 0x5c "OVERLAY_EDGE",
    /// Asks a neighbour to exchange an edge.
    OverlayFlip(OverlayFlip) = 0x5d "OVERLAY_FLIP",
    /// Tells some nodes.
    OverlayPeers(OverlayPeers) = 0x5e "OVERLAY_PEERS",
    /// Asks for the contacts and the records closest to a key.
    KadFind(KadFind) = 0x60 "KAD_FIND",
    /// Answers KAD_FIND.
    KadFound(KadFound) = 0x61 "KAD_FOUND",
    /// Asks the receiver to keep records.
    KadStore(KadStore) = 0x62 "KAD_STORE",
    /// Answers KAD_STORE and KAD_WATCH.
    KadAnswer(KadAnswer) = 0x63 "KAD_ANSWER",
    /// Asks to be told what changes under a key.
    KadWatch(KadWatch) = 0x64 "KAD_WATCH",
    /// Tells what changed under a watched key.
    KadChanges(KadChanges) = 0x65 "KAD_CHANGES",
    /// Names records that the receiver ought to hold.
    KadDigest(KadDigest) = 0x66 "KAD_DIGEST",
    /// Answers KAD_DIGEST.
    KadWant(KadWant) = 0x67 "KAD_WANT",
    /// Carries a packet towards a node by others.
    Forward(Forward) = 0x68 "FORWARD",
    /// Says that something forwarded got no further.
    ForwardError(ForwardError) = 0x69 "FORWARD_ERROR",
    /// Takes the way that FORWARD would take.
    Trace(Trace) = 0x6a "TRACE",
    /// Answers TRACE.
    Traced(Traced) = 0x6b "TRACED",
    /// Tells who is owed the events that follow.
    Debts(Debts) = 0x80 "DEBTS",
    /// Tells what the sender owes yet.
    Arrears(Arrears) = 0x81 "ARREARS",
    /// Says what went wrong.
    Error(ErrorReport) = 0xf0 "ERROR",
    /// Ends the link.
    Close(Close) = 0xff "CLOSE",
}

/// A message: its body and what extends it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// What it says.
    pub body: Body,
    /// What later versions and other implementations add to it.
    pub extensions: Extensions,
}

impl Message {
    /// A message with extensions.
    #[must_use]
    pub const fn new(body: Body, extensions: Extensions) -> Self {
        Self { body, extensions }
    }

    /// The number of the message.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// Appends the frame of the message to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] for whatever a receiver would refuse: a field or the frame over its limit, a list out of order, a
    /// value that its field does not allow. `out` is as it was before then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_frame(out, self.kind().number(), |out| {
            self.body.put(out)?;
            self.extensions.put("extensions", UNLIMITED, out)
        })
    }

    /// The frame of the message.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(self.body.room());
        self.encode(&mut out)?;
        Ok(out)
    }

    /// Reads the body of a frame.
    ///
    /// Byte strings in the result are slices of the frame. What is accepted encodes to the same bytes again.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], in every case in which the body is not one that [`encode`](Self::encode) could have made.
    pub fn decode(frame: &Frame) -> Result<Self, DecodeError> {
        let number = frame.number;
        let kind = Kind::from_number(number).ok_or(DecodeError::UnknownKind { number })?;
        let mut reader = Reader::new(frame.body.clone());
        let body = Body::take(kind, &mut reader)?;
        let extensions = Extensions::take("extensions", UNLIMITED, &mut reader)?;
        reader.finish()?;
        Ok(Self { body, extensions })
    }
}

impl<T: Into<Body>> From<T> for Message {
    fn from(body: T) -> Self {
        Self::new(body.into(), Extensions::new())
    }
}

/// What of `text` may stand in a detail or an agent: a space for each control character, cut to `max` bytes at a
/// character.
#[must_use]
pub fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for one in text.chars() {
        let one = if one.is_control() { ' ' } else { one };
        if out.len().saturating_add(one.len_utf8()) > max {
            break;
        }
        out.push(one);
    }
    out
}
