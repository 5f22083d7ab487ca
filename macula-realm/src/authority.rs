//! The question that pub/sub and RPC ask before they do anything.

use crate::Principal;

/// What somebody asks to do with a name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Action {
    /// Call a procedure.
    Call,
    /// Publish under a topic.
    Publish,
    /// Provide a procedure.
    Register,
    /// Subscribe to a pattern.
    Subscribe,
}

impl Action {
    /// The word for logs and messages: `call`, `publish`, `register` or `subscribe`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Publish => "publish",
            Self::Register => "register",
            Self::Subscribe => "subscribe",
        }
    }
}

/// The answer of an [`Authority`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "who asks has to act on each answer, and a fourth would be a new protocol"
)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not. Asking again gives the same answer until the rules change.
    Deny,
    /// No rule that answers is known here yet; ask again once more rules have arrived.
    Unknown,
}

impl Verdict {
    /// The verdict of two rule sets together: a denial wins, then what is unknown, then what is allowed.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Deny, _) | (_, Self::Deny) => Self::Deny,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Allow, Self::Allow) => Self::Allow,
        }
    }

    /// Whether the answer is [`Allow`](Self::Allow).
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// Who may do what in a realm.
///
/// pub/sub and RPC ask it on every path by which an event, a subscription, a call or a registration can come in.
pub trait Authority {
    /// Whether `who` may do `action` with `name`, at this moment.
    ///
    /// `name` is the canonical form of a topic, a pattern or a procedure, without a realm. Answers from memory and
    /// does not wait.
    fn check(&self, who: &Principal, action: Action, name: &str) -> Verdict;
}

impl<A: Authority + ?Sized> Authority for &A {
    fn check(&self, who: &Principal, action: Action, name: &str) -> Verdict {
        (**self).check(who, action, name)
    }
}

impl<A: Authority + ?Sized> Authority for std::sync::Arc<A> {
    fn check(&self, who: &Principal, action: Action, name: &str) -> Verdict {
        (**self).check(who, action, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Verdict; 3] = [Verdict::Allow, Verdict::Deny, Verdict::Unknown];

    #[test]
    fn a_denial_wins_whatever_the_other_says() {
        for other in ALL {
            assert_eq!(Verdict::Deny.and(other), Verdict::Deny);
            assert_eq!(other.and(Verdict::Deny), Verdict::Deny);
        }
    }

    #[test]
    fn only_two_permissions_make_one() {
        for one in ALL {
            for other in ALL {
                assert_eq!(one.and(other), other.and(one));
                assert_eq!(
                    one.and(other).is_allowed(),
                    one.is_allowed() && other.is_allowed()
                );
            }
        }
    }
}
