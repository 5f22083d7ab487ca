//! What an event is published with.

use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Roles;
use macula_wire::{
    Audience, ContentType, EncodeError, Envelope, ErrorCode, Header, NodeId, Selection,
};

use crate::Error;

/// Whose applications an event is for, or not for: those of any of these nodes, with any of these roles, or of any of
/// these tenants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subscribers {
    nodes: Vec<NodeId>,
    roles: Option<Roles>,
    tenants: Vec<String>,
}

impl Subscribers {
    /// Those of a node; at most 16 nodes.
    #[must_use]
    pub fn of_node(node: NodeId) -> Self {
        Self::default().and_node(node)
    }

    /// Those whose certificate has one of these roles.
    #[must_use]
    pub fn with_role(role: Roles) -> Self {
        Self::default().and_role(role)
    }

    /// Those of a tenant; at most 16 tenants.
    #[must_use]
    pub fn of_tenant(tenant: &str) -> Self {
        Self::default().and_tenant(tenant)
    }

    /// And those of a node.
    #[must_use]
    pub fn and_node(mut self, node: NodeId) -> Self {
        self.nodes.push(node);
        self
    }

    /// And those whose certificate has one of these roles.
    #[must_use]
    pub fn and_role(mut self, role: Roles) -> Self {
        self.roles = Some(self.roles.unwrap_or(Roles::NONE).with(role));
        self
    }

    /// And those of a tenant.
    #[must_use]
    pub fn and_tenant(mut self, tenant: &str) -> Self {
        self.tenants.push(tenant.to_owned());
        self
    }

    fn selection(&self) -> Selection {
        let (mut nodes, mut tenants) = (self.nodes.clone(), self.tenants.clone());
        nodes.sort_unstable();
        nodes.dedup();
        tenants.sort_unstable();
        tenants.dedup();
        Selection {
            nodes,
            roles: self.roles.unwrap_or(Roles::NONE),
            tenants,
        }
    }
}

/// What one event is published with; by default nothing but its payload.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventOptions {
    /// Named values beside the payload, for instance `traceparent` (W3C Trace Context): at most 32, keys of 1 to 64
    /// visible ASCII characters, values of at most 1,024 bytes. No key twice, none that begins with `$`.
    pub headers: Vec<Header>,
    /// The ordering key, 1 to 64 bytes: events with one key keep their order where others need not, and
    /// [`Overflow::LatestPerKey`](crate::Overflow::LatestPerKey) keeps the newest of each.
    pub key: Option<Bytes>,
    /// Names the event, in 1 to 64 bytes: of several that this publisher publishes under one id within 5 minutes and
    /// 10,000 such ids, whatever their topics, an application is handed the first.
    pub dedup_id: Option<Bytes>,
    /// How long it is worth delivering, 1 ms to 49 days; by default for ever. Each node counts from when it got the event
    /// and drops it, counted, where that time is over.
    pub ttl: Option<Duration>,
    /// What the payload is; by default what the publisher was declared with.
    pub content: Option<ContentType>,
    /// Whether it stays as the last value of its topic, for subscriptions that begin with it: the nodes closest to the
    /// topic keep it until its time to live is over, 48 h at most and without one, whatever becomes of its publisher.
    /// Of each publisher and topic the last one stays, and one with an empty payload takes it back. At most 64 KiB with
    /// all that goes with it, and on 16,384 topics of a node.
    pub retain: bool,
    /// How long publishing may wait for room; by default as long as it takes.
    pub deadline: Option<Duration>,
    /// Whether subscribers of this node itself are left out.
    pub exclude_self: bool,
    /// Nobody else is handed it; by default everybody who subscribed is.
    pub eligible: Option<Subscribers>,
    /// They are not handed it.
    pub exclude: Option<Subscribers>,
}

impl EventOptions {
    /// With a header more.
    #[must_use]
    pub fn header(mut self, key: &str, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header {
            key: key.to_owned(),
            value: value.into(),
        });
        self
    }

    /// With this ordering key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Under this id.
    #[must_use]
    pub fn dedup_id(mut self, id: impl Into<Bytes>) -> Self {
        self.dedup_id = Some(id.into());
        self
    }

    /// Worth delivering for so long.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// With a payload of this type.
    #[must_use]
    pub fn content(mut self, content: ContentType) -> Self {
        self.content = Some(content);
        self
    }

    /// As the last value of its topic.
    #[must_use]
    pub const fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Published within this time or not at all.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Not for subscribers of this node.
    #[must_use]
    pub const fn exclude_self(mut self) -> Self {
        self.exclude_self = true;
        self
    }

    /// For these subscribers only.
    #[must_use]
    pub fn eligible(mut self, subscribers: Subscribers) -> Self {
        self.eligible = Some(subscribers);
        self
    }

    /// Not for these subscribers.
    #[must_use]
    pub fn exclude(mut self, subscribers: Subscribers) -> Self {
        self.exclude = Some(subscribers);
        self
    }

    /// The time to live as it travels.
    pub(crate) fn ttl_ms(&self) -> Result<Option<u32>, Error> {
        let Some(ttl) = self.ttl else { return Ok(None) };
        match u32::try_from(ttl.as_millis()) {
            Ok(0) | Err(_) => Err(invalid("a ttl is 1 ms to 49 days")),
            Ok(ms) => Ok(Some(ms)),
        }
    }

    /// What goes with the payload; `None` if there is nothing to say.
    pub(crate) fn envelope(&self) -> Result<Option<Envelope>, Error> {
        let mut headers = self.headers.clone();
        headers.sort_by(|one, other| one.key.cmp(&other.key));
        let is_for_some = self.exclude_self || self.eligible.is_some() || self.exclude.is_some();
        let envelope = Envelope {
            headers,
            key: self.key.clone(),
            dedup: self.dedup_id.clone(),
            audience: is_for_some.then(|| {
                Box::new(Audience {
                    exclude_self: self.exclude_self,
                    eligible: self.eligible.as_ref().map(Subscribers::selection),
                    exclude: self.exclude.as_ref().map(Subscribers::selection),
                })
            }),
            retain: self.retain,
        };
        if envelope == Envelope::EMPTY {
            return Ok(None);
        }
        if let Some(key) = envelope.reserved_header() {
            return Err(invalid(&format!(
                "the header {key} is reserved: no key of an application begins with `$`"
            )));
        }
        Ok(Some(envelope))
    }
}

/// What travels before the payload.
pub(crate) fn encoded(envelope: &Envelope) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(64);
    envelope.encode(&mut out).map_err(|error| match error {
        EncodeError::NotCanonical => invalid("a header stands twice"),
        error => Error::caused(
            ErrorCode::INVALID_ARGUMENT,
            format!("the options of the event are refused: {error}"),
            error,
        ),
    })?;
    Ok(out)
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorCode::INVALID_ARGUMENT, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: &EventOptions) -> Result<(), ErrorCode> {
        options.ttl_ms().map_err(|error| error.code())?;
        let envelope = options.envelope().map_err(|error| error.code())?;
        let Some(envelope) = envelope else {
            return Ok(());
        };
        encoded(&envelope).map(drop).map_err(|error| error.code())
    }

    #[test]
    fn each_option_has_its_limits() {
        let options = EventOptions::default;
        let many = |count: usize| {
            (0..count).fold(options(), |options, n| options.header(&format!("h{n}"), ""))
        };
        let nodes = |count: u8| {
            let all = (0..count).map(|n| NodeId::from_bytes([n; 32]));
            options().eligible(all.fold(Subscribers::default(), Subscribers::and_node))
        };
        let twins = [
            (options().key("k"), options().key("")),
            (options().key(vec![1; 64]), options().key(vec![1; 65])),
            (options().dedup_id("d"), options().dedup_id("")),
            (
                options().header("traceparent", "00-1-2-01"),
                options().header("$traceparent", "00-1-2-01"),
            ),
            (
                options().header("a", "").header("b", ""),
                options().header("a", "").header("a", "1"),
            ),
            (
                options().header("a", vec![1; 1_024]),
                options().header("a", vec![1; 1_025]),
            ),
            (options().header("a", ""), options().header("a b", "")),
            (
                options().header(&"a".repeat(64), ""),
                options().header(&"a".repeat(65), ""),
            ),
            (many(32), many(33)),
            (nodes(16), nodes(17)),
            (nodes(1), options().exclude(Subscribers::default())),
            (
                options().exclude(Subscribers::of_tenant("acme")),
                options().exclude(Subscribers::of_tenant("Acme")),
            ),
            (
                options().ttl(Duration::from_millis(1)),
                options().ttl(Duration::from_micros(999)),
            ),
            (
                options().ttl(Duration::from_millis(u64::from(u32::MAX))),
                options().ttl(Duration::from_millis(1 << 32)),
            ),
        ];
        for (accepted, refused) in twins {
            assert_eq!(check(&accepted), Ok(()), "{accepted:?}");
            assert_eq!(
                check(&refused),
                Err(ErrorCode::INVALID_ARGUMENT),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn what_says_nothing_travels_as_nothing() {
        assert_eq!(EventOptions::default().envelope().unwrap(), None);
        let ttl = EventOptions::default().ttl(Duration::from_secs(1));
        assert_eq!(ttl.envelope().unwrap(), None);
        assert_eq!(ttl.ttl_ms().unwrap(), Some(1_000));
        let key = EventOptions::default().key("k").envelope().unwrap();
        assert_eq!(key.unwrap().key, Some(Bytes::from_static(b"k")));
    }
}
