//! The table of error codes: stable numbers, and what a caller may do about each.

use alloc::vec::Vec;
use core::fmt;

use crate::field::{Field, tagged};
use crate::{DecodeError, EncodeError, Reader};

tagged! {
    /// What whoever receives an error may do about it.
    pub enum RetryHint as "retry hint" {
        /// There is nothing to repeat: the request ended as it was meant to.
        No = 0,
        /// The same request will fail again.
        Never = 1,
        /// Again after a pause that grows each time.
        Backoff = 2,
        /// Again after the stated time.
        After = 3,
        /// Again after proving the identity anew.
        AfterReauth = 4,
        /// Again with a renewed certificate.
        AfterRenew = 5,
        /// At once, by another provider or route.
        OtherPath = 6,
        /// At once, after asking anew who serves the name.
        ReResolve = 7,
        /// Only if running twice does no harm.
        IfIdempotent = 8,
        /// The application that answered decides.
        App = 9,
    }
}

/// What went wrong, as a number that never changes its meaning.
///
/// A number that this version does not know is kept; its name is `UNKNOWN` and its hint [`RetryHint::Backoff`].
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ErrorCode(u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $hint:ident, $http:literal, $advice:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every code of version 1, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name, as it stands in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 { $($number => stringify!($name),)* _ => "UNKNOWN" }
            }

            /// What to do about it.
            #[must_use]
            pub const fn retry(self) -> RetryHint {
                match self.0 { $($number => RetryHint::$hint,)* _ => RetryHint::Backoff }
            }

            /// The HTTP status that says the same (RFC 9110).
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self.0 { $($number => $http,)* _ => 500 }
            }

            /// What it means and what to do, in one sentence for people.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self.0 { $($number => $advice,)* _ => "a code of a later version: look it up there" }
            }
        }
    };
}

codes! {
    /// Success.
    OK = 0x00, No, 200, "success";
    /// Nobody matched the event; not an error.
    NO_SUBSCRIBERS = 0x01, No, 202, "nobody is subscribed to the topic";
    /// A name that is not in its canonical form.
    INVALID_NAME = 0x10, Never, 400, "the name is not canonical: use segments of A-Z a-z 0-9 _ - joined by dots, 255 bytes at most";
    /// An argument that the receiver cannot use.
    INVALID_ARGUMENT = 0x11, Never, 400, "an argument is not acceptable: see the detail";
    /// A payload over the limit.
    PAYLOAD_TOO_LARGE = 0x12, Never, 413, "the payload is over the limit: send less, or raise max_payload on both nodes";
    /// The peer broke the protocol.
    PROTOCOL_VIOLATION = 0x13, Never, 400, "the peer broke the protocol: compare the versions of both programs";
    /// A feature that the other side does not have.
    UNSUPPORTED_FEATURE = 0x14, Never, 501, "the other side lacks a feature that this side requires";
    /// No common version of the protocol.
    UNSUPPORTED_VERSION = 0x15, Never, 505, "the two sides share no version of the protocol: upgrade the older one";
    /// No identity, or none that is accepted.
    UNAUTHENTICATED = 0x20, AfterReauth, 401, "the identity was not accepted: check the certificate and the trust bundle";
    /// The rights of the identity do not allow it.
    DENIED = 0x21, Never, 403, "the rights of this identity do not allow it";
    /// The check of rights itself failed.
    AUTHZ_FAILED = 0x22, Backoff, 503, "the check of rights failed: try again later";
    /// No such realm, or one that this identity may not see.
    NO_SUCH_REALM = 0x23, Never, 404, "there is no such realm for this identity";
    /// A gateway's policy does not let it pass.
    GATEWAY_DENIED = 0x24, Never, 403, "the policy of the gateway does not let it pass";
    /// No gateway leads to the realm.
    NO_ROUTE_TO_REALM = 0x25, OtherPath, 502, "no gateway leads to that realm at present";
    /// The certificate has expired.
    CERT_EXPIRED = 0x26, AfterRenew, 401, "the certificate has expired: issue a new one";
    /// The certificate was revoked.
    CERT_REVOKED = 0x27, Never, 401, "the certificate was revoked";
    /// The realm named is not that of the certificate.
    REALM_MISMATCH = 0x28, Never, 403, "the realm named is not that of the certificate";
    /// The audit log cannot be written, so nothing passes.
    AUDIT_BLOCKED = 0x29, Backoff, 503, "the audit log cannot be written, so nothing passes until it can";
    /// Nobody serves the procedure.
    NO_SUCH_PROCEDURE = 0x30, ReResolve, 404, "nobody serves the procedure: check its name, and that its provider is up";
    /// Providers exist and none takes the call.
    NO_AVAILABLE_CALLEE = 0x31, Backoff, 503, "every provider is unavailable: try again later";
    /// The callee declines.
    UNAVAILABLE = 0x32, OtherPath, 503, "the provider declines: another one may answer";
    /// The callee was lost while it had the call.
    CALLEE_LOST = 0x33, IfIdempotent, 502, "the provider was lost during the call: it may or may not have run";
    /// The call was cancelled.
    CANCELED = 0x34, No, 499, "the call was cancelled";
    /// The deadline passed.
    DEADLINE_EXCEEDED = 0x35, IfIdempotent, 504, "no answer came before the deadline: the call may or may not have run";
    /// The name is taken.
    ALREADY_REGISTERED = 0x36, Never, 409, "the procedure is registered already";
    /// The call is no longer known.
    CALL_GONE = 0x37, No, 410, "the call has ended already";
    /// Another registration of the name has another policy.
    POLICY_CONFLICT = 0x38, Never, 409, "the name is registered with another policy";
    /// The callee has no free slot.
    BUSY = 0x39, Backoff, 503, "the provider has no free slot: try again after a pause";
    /// Too many requests in a time.
    RATE_LIMITED = 0x40, After, 429, "too many requests: wait as long as the answer says";
    /// A quota is used up.
    QUOTA_EXCEEDED = 0x41, Never, 429, "a quota of this identity is used up";
    /// A queue or a window is full.
    OVERLOADED = 0x42, Backoff, 503, "a queue is full: send more slowly";
    /// It would have to wait, and was told not to.
    WOULD_BLOCK = 0x43, Backoff, 503, "it would have to wait: try again, or use the call that waits";
    /// The time to live has passed.
    EXPIRED = 0x44, No, 410, "the time to live has passed";
    /// The message came back to where it had been.
    LOOP_DETECTED = 0x45, Never, 508, "the message ran in a loop: check the rules between realms";
    /// The publisher's replay buffer is full.
    BUFFER_FULL = 0x46, Backoff, 503, "the replay buffer is full: wait for receipts before publishing more";
    /// The hop limit is used up.
    HOP_LIMIT = 0x47, Never, 508, "the hop limit is used up";
    /// No path leads to the node.
    UNREACHABLE = 0x50, OtherPath, 502, "no path leads to the node: check that it runs and that its address can be reached";
    /// The node is shutting down.
    SHUTTING_DOWN = 0x51, OtherPath, 503, "the node is shutting down: use another one";
    /// The node takes nothing new.
    DRAINING = 0x52, OtherPath, 503, "the node takes nothing new: use another one";
    /// The application that served the call failed; its own words stand in the detail and the payload.
    APPLICATION = 0x60, App, 500, "the application that served the call reports an error of its own";
    /// A fault of the node itself.
    INTERNAL = 0x7f, Backoff, 500, "a fault of the node itself: report it with its log";
}

impl ErrorCode {
    /// The code with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The code with this name, as [`name`](Self::name) writes it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:#04x})", self.name(), self.0)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Field for ErrorCode {
    fn put(&self, _: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(self.0);
        Ok(())
    }

    fn take(_: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        input.byte().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_names_lead_back() {
        assert!(ErrorCode::ALL.is_sorted_by(|a, b| a < b));
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0xee).name(), "UNKNOWN");
        assert_eq!(ErrorCode::NO_SUCH_PROCEDURE.number(), 0x30);
    }
}
