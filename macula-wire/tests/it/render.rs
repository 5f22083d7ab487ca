//! Messages as JSON, in the form that the vectors use.
//!
//! A record is an object with a key a field. Bytes are hexadecimal digits, integers beyond 2^53 - 1 are decimal text,
//! an absent option is null, an enum is the name of its variant in lower case, with its content where it has one.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use macula_wire::batch::{Batch, Entries};
use macula_wire::message::{
    Accusation, Ack, Alias, Arrear, Arrears, Balance, BucketVersions, CallCancel, CallError,
    CallMode, CallPart, CallProgress, CallReply, CallResult, CallRoute, CancelMode, CertUpdate,
    Close, Contact, DebtGroup, Debts, Deliver, DeliveryRange, DeliveryRefusal, DigestPart, Drain,
    ErrorReport, Event, EventAck, Failure, Forward, ForwardError, Gap, Graft, GroupInterest,
    Handshake, HandshakeAck, Heartbeat, Holding, IHave, InterestContent, Invoke, KadAnswer,
    KadChanges, KadDigest, KadFind, KadFound, KadStore, KadWant, KadWatch, MemberRecord,
    MemberStatus, MemberVersion, NodeContent, OverlayAnswer, OverlayEdge, OverlayFlip, OverlayMove,
    OverlayOffer, OverlayPeers, OverlayVerdict, OverlayWalk, Ping, Pong, Priority, ProviderContent,
    Prune, Publish, Qos, Receipt, RecordContent, RecordKind, RecordVersion, RefusalCause, Register,
    Resend, Role, Roles, RoutingRecord, RpcCall, SignedAccusation, SignedRecord,
    SignedRoutingRecord, Standing, Stream, StreamKind, Subscribe, SwimAck, SwimDigest, SwimGossip,
    SwimJoin, SwimNack, SwimPing, SwimPingReq, SwimState, Tag, Trace, Traced, TracedHop,
    Unregister, Unsubscribe, Update, ValueContent, Way,
};
use macula_wire::{
    Audience, Body, CallId, ChannelRun, ContentType, DeliveryId, EdgeToken, Envelope, Epoch,
    ErrorCode, Header, Incarnation, Key, Message, NodeId, NodeMark, Pattern, ProbeId, Procedure,
    RealmName, RecordId, RegistrationId, RequestId, RetryHint, Selection, Sequence, Signature,
    SubscriptionId, Topic, TopicAlias,
};
use serde_json::{Map, Value, json};

use crate::to_hex;

/// The fields of `message`.
pub(crate) fn fields(message: &Message) -> Value {
    render_body(&message.body)
}

/// The extensions of `message`, by tag.
pub(crate) fn extensions(message: &Message) -> Value {
    let entries = message.extensions.iter();
    entries
        .map(|(tag, value)| (tag.to_string(), value.render()))
        .collect::<Map<_, _>>()
        .into()
}

trait Render {
    fn render(&self) -> Value;
}

fn integer(value: u64) -> Value {
    if value < 1 << 53 {
        value.into()
    } else {
        value.to_string().into()
    }
}

/// `AtMostOnce` as `at_most_once`.
fn snake(name: &str) -> Value {
    let mut out = String::new();
    for one in name.chars() {
        if one.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(one.to_ascii_lowercase());
    }
    out.into()
}

macro_rules! render {
    ($($type:ty: |$value:ident| $render:expr;)*) => {$(
        impl Render for $type {
            fn render(&self) -> Value {
                let $value = self;
                $render
            }
        }
    )*};
}

render! {
    bool: |value| (*value).into();
    u8: |value| (*value).into();
    u32: |value| (*value).into();
    u64: |value| integer(*value);
    String: |value| value.as_str().into();
    Bytes: |value| to_hex(value).into();
    SocketAddr: |value| value.to_string().into();
    NodeId: |value| value.to_string().into();
    NodeMark: |value| to_hex(value.as_bytes()).into();
    Key: |value| value.to_string().into();
    RecordId: |value| to_hex(value.as_bytes()).into();
    CallId: |value| value.to_string().into();
    Signature: |value| to_hex(value.as_bytes()).into();
    Topic: |value| value.as_str().into();
    Pattern: |value| value.as_str().into();
    Procedure: |value| value.as_str().into();
    RealmName: |value| value.as_str().into();
    ContentType: |value| value.media_type().into();
    Roles: |value| value.bits().into();
    ErrorCode: |value| value.number().into();
    Entries: |value| value.iter().map(|payload| payload.render()).collect();
    StreamKind: |value| match value {
        StreamKind::Events(priority) => json!({"events": priority.render()}),
        StreamKind::Call => "call".into(),
        StreamKind::Membership => "membership".into(),
        StreamKind::Lookup => "lookup".into(),
        StreamKind::Tunnel => "tunnel".into(),
        StreamKind::Offered => "offered".into(),
        other => panic!("{other:?} has no form here"),
    };
    Update: |value| match value {
        Update::Record(record) => json!({"record": record.render()}),
        Update::Suspect(accusation) => json!({"suspect": accusation.render()}),
        Update::Dead(accusation) => json!({"dead": accusation.render()}),
        other => panic!("{other:?} has no form here"),
    };
    DigestPart: |value| match value {
        DigestPart::View(hash) => json!({"view": hash.render()}),
        DigestPart::Buckets(hashes) => json!({"buckets": hashes.render()}),
        DigestPart::Versions(versions) => json!({"versions": versions.render()}),
        other => panic!("{other:?} has no form here"),
    };
    CallRoute: |value| match value {
        CallRoute::Any => "any".into(),
        CallRoute::Node(node) => json!({"node": node.render()}),
        CallRoute::Zone(zone) => json!({"zone": zone.as_str()}),
        CallRoute::All(most) => json!({"all": most}),
    };
    RecordContent: |value| match value {
        RecordContent::Node(node) => json!({"node": node.render()}),
        RecordContent::Provider(provider) => json!({"provider": provider.render()}),
        RecordContent::Interest(interest) => json!({"interest": interest.render()}),
        RecordContent::Value(value) => json!({"value": value.render()}),
        other => panic!("{other:?} has no form here"),
    };
}

impl<T: Render> Render for Box<T> {
    fn render(&self) -> Value {
        T::render(self)
    }
}

impl<T: Render> Render for Arc<T> {
    fn render(&self) -> Value {
        T::render(self)
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Render for $type {
            fn render(&self) -> Value {
                integer(self.get())
            }
        }
    )*};
}
numbers!(ChannelRun DeliveryId Epoch Sequence Incarnation TopicAlias SubscriptionId RegistrationId RequestId ProbeId EdgeToken);

macro_rules! enums {
    ($($type:ty)*) => {$(
        impl Render for $type {
            fn render(&self) -> Value {
                snake(&format!("{self:?}"))
            }
        }
    )*};
}
enums!(Balance CallMode CancelMode Invoke MemberStatus OverlayVerdict Priority Qos RecordKind RefusalCause RetryHint Role Standing);

impl<T: Render> Render for Option<T> {
    fn render(&self) -> Value {
        self.as_ref().map_or(Value::Null, Render::render)
    }
}

impl<T: Render> Render for Vec<T> {
    fn render(&self) -> Value {
        self.iter().map(Render::render).collect()
    }
}

// A field that is not named here does not compile.
macro_rules! records {
    ($($type:ident: $($field:ident)*;)*) => {$(
        impl Render for $type {
            fn render(&self) -> Value {
                let Self { $($field,)* } = self;
                let fields: Vec<(&str, Value)> = vec![$((stringify!($field), $field.render()),)*];
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect())
            }
        }
    )*};
}

records! {
    Handshake: versions role realm node epoch features required max_frame_len agent;
    HandshakeAck: version node epoch features max_frame_len agent token observed;
    Heartbeat: ;
    Ping: nonce;
    Pong: nonce;
    Stream: token kind;
    CertUpdate: chain;
    Drain: within_ms;
    Ack: request;
    ErrorReport: request code retry retry_after_ms detail;
    Close: code detail;
    Publish: request topic qos retain ttl_ms key dedup content headers audience payload;
    Subscribe: request subscription pattern group early;
    Unsubscribe: request subscription;
    Event: hops publisher epoch topic sequence ttl_ms content envelope signature payload;
    Alias: publisher epoch alias topic next chain;
    Batch: hops publisher epoch alias base ttl_ms content enveloped signature entries;
    Receipt: request matched acked expired dropped;
    Gap: publisher epoch topic from;
    Deliver: run prev first count floor group attempt;
    DeliveryRange: first last;
    DeliveryRefusal: range cause;
    EventAck: run class upto acked refused;
    Resend: run class after;
    DebtGroup: name balance members first chosen;
    Debts: members stores groups;
    Arrear: node open;
    Arrears: run since upto open;
    RpcCall: call hops depth caller tenant procedure deadline_ms mode route hedge_ms idempotency key content headers payload;
    CallResult: call content payload;
    Failure: code retry retry_after_ms name detail content payload;
    CallError: call failure;
    Register: request registration pattern concurrency weight invoke zone takeover;
    Unregister: request registration;
    CallCancel: call mode;
    CallProgress: call sequence content payload;
    CallPart: call sequence end content payload;
    CallReply: call node failure content payload;
    Header: key value;
    Selection: nodes roles tenants;
    Audience: exclude_self eligible exclude;
    Envelope: headers key dedup audience retain;
    Tag: key value;
    MemberRecord: node epoch incarnation status addresses roles zone agent tags;
    SignedRecord: record signature;
    Accusation: subject epoch incarnation accuser;
    SignedAccusation: accusation signature;
    SwimPing: probe updates;
    SwimAck: probe updates;
    SwimPingReq: probe target updates;
    SwimNack: probe target;
    SwimGossip: updates;
    SwimJoin: record;
    SwimState: more updates;
    MemberVersion: node epoch incarnation standing;
    BucketVersions: bucket complete compare versions;
    SwimDigest: part;
    Contact: node addresses;
    OverlayWalk: token origin need hops spare avoid;
    OverlayOffer: token addresses instead rtt_us;
    OverlayMove: token peer near;
    OverlayAnswer: token verdict after_ms;
    OverlayEdge: holds ask neighbours;
    OverlayFlip: token peer avoid near;
    OverlayPeers: ask peers;
    Holding: publisher epoch first next distance;
    IHave: topic holdings;
    Graft: topic publisher epoch from to attach;
    Prune: topic publisher;
    NodeContent: addresses tags neighbours;
    ProviderContent: pattern weight concurrency invoke zone since_ms takeover;
    GroupInterest: name balance;
    InterestContent: pattern each groups;
    ValueContent: name content value;
    RoutingRecord: owner sequence expires_ms withdrawn content;
    SignedRoutingRecord: record signature;
    RecordVersion: id sequence;
    KadFind: request key kind;
    KadFound: request contacts records more;
    KadStore: request records;
    KadAnswer: request codes;
    KadWatch: request key kind lease_ms version;
    KadChanges: key kind version full more records;
    KadDigest: request versions;
    KadWant: request ids;
    Way: target origin hops via trail;
    Forward: way packet;
    ForwardError: target origin code back;
    TracedHop: node rtt_us;
    Trace: request way path;
    Traced: request target code path back;
}

macro_rules! bodies {
    ($($variant:ident)*) => {
        fn render_body(body: &Body) -> Value {
            match body {
                $(Body::$variant(body) => body.render(),)*
                other => panic!("{other:?} has no form here"),
            }
        }
    };
}

bodies!(
    Handshake HandshakeAck Heartbeat Ping Pong Stream CertUpdate Drain Ack Error Close
    Publish Subscribe Unsubscribe Event Alias Batch Receipt Gap Deliver EventAck Resend
    IHave Graft Prune Debts Arrears
    RpcCall RpcResult RpcError Register Unregister RpcCancel RpcProgress
    RpcPart RpcReply
    SwimPing SwimAck SwimPingReq SwimNack SwimGossip SwimJoin SwimState SwimDigest
    OverlayWalk OverlayOffer OverlayMove OverlayAnswer OverlayEdge OverlayFlip OverlayPeers
    KadFind KadFound KadStore KadAnswer KadWatch KadChanges KadDigest KadWant
    Forward ForwardError Trace Traced
);
