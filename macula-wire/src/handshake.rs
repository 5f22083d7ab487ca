//! Agreeing on a version and on features.

use crate::ErrorCode;
use crate::frame::FRAME_VERSION;
use crate::message::Handshake;

/// Bits of [`Handshake::features`].
pub mod feature {
    /// The sender can receive datagrams that carry membership messages.
    pub const DATAGRAMS: u64 = 1;
    /// The sender checks and passes on signed batches.
    pub const SIGNED_BATCHES: u64 = 1 << 1;
    /// What this crate's users offer by default.
    pub const DEFAULT: u64 = DATAGRAMS | SIGNED_BATCHES;
}

/// What both sides of a link can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// The frame version: the highest that both speak.
    pub version: u8,
    /// The features that both have.
    pub features: u64,
}

/// Agrees with `theirs` on behalf of a side that has `features` and does not go on without `required`.
///
/// # Errors
///
/// The code to refuse the link with: [`ErrorCode::UNSUPPORTED_VERSION`] if no version is common,
/// [`ErrorCode::UNSUPPORTED_FEATURE`] if a side lacks what the other requires, [`ErrorCode::PROTOCOL_VIOLATION`] if the
/// versions do not strictly ascend or more is required than offered.
pub fn negotiate(features: u64, required: u64, theirs: &Handshake) -> Result<Agreement, ErrorCode> {
    if !theirs.versions.is_sorted_by(|a, b| a < b) || theirs.required & !theirs.features != 0 {
        return Err(ErrorCode::PROTOCOL_VIOLATION);
    }
    if !theirs.versions.contains(&FRAME_VERSION) {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    if theirs.required & !features != 0 || required & !theirs.features != 0 {
        return Err(ErrorCode::UNSUPPORTED_FEATURE);
    }
    Ok(Agreement {
        version: FRAME_VERSION,
        features: features & theirs.features,
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::message::Role;
    use crate::{Epoch, NodeId, RealmName};

    fn hello(versions: &[u8], features: u64, required: u64) -> Handshake {
        Handshake {
            versions: versions.into(),
            role: Role::Member,
            realm: RealmName::new("be.acme.iot").unwrap(),
            node: NodeId::default(),
            epoch: Epoch::new(1),
            features,
            required,
            max_frame_len: 1 << 20,
            agent: "test".into(),
        }
    }

    #[test]
    fn what_both_have_is_agreed_on() {
        let agreed = negotiate(3, 1, &hello(&[1, 2], 5, 1)).unwrap();
        assert_eq!((agreed.version, agreed.features), (1, 1));
    }

    #[test]
    fn what_one_side_lacks_is_refused() {
        for (theirs, code) in [
            (hello(&[2], 3, 0), ErrorCode::UNSUPPORTED_VERSION),
            (hello(&[], 3, 0), ErrorCode::UNSUPPORTED_VERSION),
            (hello(&[1], 4, 4), ErrorCode::UNSUPPORTED_FEATURE),
            (hello(&[1], 2, 0), ErrorCode::UNSUPPORTED_FEATURE),
            (hello(&[1, 1], 3, 0), ErrorCode::PROTOCOL_VIOLATION),
            (hello(&[1], 1, 2), ErrorCode::PROTOCOL_VIOLATION),
        ] {
            assert_eq!(negotiate(3, 1, &theirs), Err(code));
        }
        assert_eq!(hello(&[1], 1, 0).versions, vec![1]);
    }
}
