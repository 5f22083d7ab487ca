//! What goes with one event beside its payload.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::content::{Header, MAX_HEADERS, check_headers};
use crate::field::{Field, UNLIMITED, record};
use crate::limit::MAX_KEY_LEN;
use crate::message::Roles;
use crate::{DecodeError, EncodeError, NodeId, Reader, check};

/// The most nodes, and the most tenants, that one [`Selection`] names.
pub const MAX_SELECTED: usize = 16;

/// What the key of a header that no application may set begins with.
pub const RESERVED_HEADER: char = '$';

record! {
    /// A choice of subscribers: those of any of these nodes, with any of these roles, or of any of these tenants.
    pub struct Selection {
        /// By their nodes; at most 16, strictly ascending.
        pub nodes: Vec<NodeId> [MAX_SELECTED],
        /// By what their certificates let them be.
        pub roles: Roles,
        /// By their tenants; at most 16, strictly ascending.
        pub tenants: Vec<String> [MAX_SELECTED],
    }
    check check_selection
}

fn check_selection(selection: &Selection) -> Result<(), EncodeError> {
    check::ascending(&selection.nodes)?;
    check::ascending(&selection.tenants)?;
    for tenant in &selection.tenants {
        check::zone(Some(tenant))?;
    }
    let empty = selection.nodes.is_empty()
        && selection.roles == Roles::NONE
        && selection.tenants.is_empty();
    check::require(!empty, "selection", 0)
}

impl Selection {
    /// Whether a subscriber of `node` with `roles` and of `tenant` is chosen.
    #[must_use]
    pub fn has(&self, node: &NodeId, roles: Roles, tenant: Option<&str>) -> bool {
        self.nodes.binary_search(node).is_ok()
            || self.roles.bits() & roles.bits() != 0
            || tenant.is_some_and(|tenant| self.tenants.iter().any(|one| one == tenant))
    }
}

record! {
    /// Whose applications an event is for, among those that subscribed.
    ///
    /// It chooses who is handed the event and keeps nothing secret: nodes on the way carry it all the same.
    pub struct Audience {
        /// Whether subscribers of the publisher's own node are left out.
        pub exclude_self: bool,
        /// Nobody else is handed it; `None` for everybody.
        pub eligible: Option<Selection>,
        /// They are not handed it, even if they are eligible.
        pub exclude: Option<Selection>,
    }
    check check_audience
}

fn check_audience(audience: &Audience) -> Result<(), EncodeError> {
    let all = !audience.exclude_self && audience.eligible.is_none() && audience.exclude.is_none();
    check::require(!all, "audience", 0)
}

impl Audience {
    /// Whether a subscriber of `node`, with `roles` and of `tenant`, is handed an event of `publisher`.
    #[must_use]
    pub fn admits(
        &self,
        publisher: &NodeId,
        node: &NodeId,
        roles: Roles,
        tenant: Option<&str>,
    ) -> bool {
        let chosen = |selection: &Selection| selection.has(node, roles, tenant);
        !(self.exclude_self && publisher == node)
            && self.eligible.as_ref().is_none_or(chosen)
            && !self.exclude.as_ref().is_some_and(chosen)
    }
}

record! {
    /// What goes with one event beside its payload, and is signed with it.
    pub struct Envelope {
        /// At most 32, strictly ascending by key.
        pub headers: Vec<Header> [MAX_HEADERS],
        /// Events with one key keep their order where others need not; 1 to 64 bytes.
        pub key: Option<Bytes> [MAX_KEY_LEN],
        /// Names the event for whoever must not see it twice; 1 to 64 bytes.
        pub dedup: Option<Bytes> [MAX_KEY_LEN],
        /// Whose applications it is for; `None` for everybody that subscribed.
        pub audience: Option<Box<Audience>>,
        /// Whether it was published to stay as the last value of its topic.
        pub retain: bool,
    }
    check check_envelope
}

fn check_envelope(envelope: &Envelope) -> Result<(), EncodeError> {
    check::filled("key", envelope.key.as_ref())?;
    check::filled("dedup", envelope.dedup.as_ref())?;
    check_headers(&envelope.headers)
}

impl Envelope {
    /// One that says nothing.
    pub const EMPTY: Self = Self {
        headers: Vec::new(),
        key: None,
        dedup: None,
        audience: None,
        retain: false,
    };

    /// The first key of a header that only nodes may set: one that begins with `$`.
    #[must_use]
    pub fn reserved_header(&self) -> Option<&str> {
        let mut keys = self.headers.iter().map(|header| header.key.as_str());
        keys.find(|key| key.starts_with(RESERVED_HEADER))
    }

    /// Appends the encoding to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if a field is over its limit or breaks a rule.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.put("envelope", UNLIMITED, out)
    }

    /// Takes an entry of an enveloped batch apart: the envelope, and the payload as a slice of `entry`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the entry does not begin with an envelope.
    pub fn split(entry: &Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut reader = Reader::new(entry.clone());
        let envelope = Self::take("envelope", UNLIMITED, &mut reader)?;
        let payload = reader.slice(reader.remaining())?;
        Ok((envelope, payload))
    }
}

impl Default for Envelope {
    fn default() -> Self {
        Self::EMPTY
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    fn audience() -> Audience {
        Audience {
            exclude_self: true,
            eligible: Some(Selection {
                nodes: vec![node(1), node(2)],
                roles: Roles::STORE,
                tenants: vec!["acme".into()],
            }),
            exclude: Some(Selection {
                nodes: vec![node(2)],
                roles: Roles::NONE,
                tenants: vec![],
            }),
        }
    }

    #[test]
    fn an_audience_admits_who_is_eligible_and_not_excluded() {
        let audience = audience();
        let admits = |who: u8, roles, tenant| audience.admits(&node(9), &node(who), roles, tenant);
        assert!(admits(1, Roles::MEMBER, None));
        assert!(admits(3, Roles::MEMBER.with(Roles::STORE), None));
        assert!(admits(3, Roles::CLIENT, Some("acme")));
        assert!(!admits(3, Roles::MEMBER, Some("other")));
        assert!(
            !admits(2, Roles::STORE, Some("acme")),
            "excluded all the same"
        );
        assert!(!admits(9, Roles::STORE, None), "the publisher itself");
    }

    #[test]
    fn an_entry_comes_apart_as_it_was_put_together() {
        let envelope = Envelope {
            headers: vec![Header {
                key: "traceparent".into(),
                value: "00-1-2-01".into(),
            }],
            key: Some("k".into()),
            dedup: Some("d".into()),
            audience: Some(Box::new(audience())),
            retain: true,
        };
        let mut entry = Vec::new();
        envelope.encode(&mut entry).unwrap();
        entry.extend_from_slice(b"payload");
        let (found, payload) = Envelope::split(&entry.into()).unwrap();
        assert_eq!(found, envelope);
        assert_eq!(payload, "payload");
        let refused = Bytes::from_static(&[0, 2]);
        assert!(Envelope::split(&refused).is_err());
        let plain = Bytes::from_static(&[0, 0, 0, 0, 0]);
        assert_eq!(Envelope::split(&plain), Ok((Envelope::EMPTY, Bytes::new())));
    }

    #[test]
    fn what_chooses_nobody_or_everybody_has_no_form() {
        let nobody = Selection {
            nodes: vec![],
            roles: Roles::NONE,
            tenants: vec![],
        };
        let everybody = Audience {
            exclude_self: false,
            eligible: None,
            exclude: None,
        };
        let of = |audience| Envelope {
            audience: Some(Box::new(audience)),
            ..Envelope::EMPTY
        };
        assert!(of(everybody.clone()).encode(&mut Vec::new()).is_err());
        let eligible = Audience {
            eligible: Some(nobody),
            ..everybody
        };
        assert!(of(eligible).encode(&mut Vec::new()).is_err());
        assert!(of(audience()).encode(&mut Vec::new()).is_ok());
    }
}
