//! The rules that every realm starts with.

use crate::{Action, Authority, Principal, Verdict};

/// The first rule set of a realm.
///
/// 1. A name that starts with `$` is denied to everybody: it belongs to the platform, whose own code does not ask.
/// 2. A principal without a tenant may do everything with every other name.
/// 3. A principal of tenant `t` may do everything with the names whose first segment is `t`, and nothing else. A
///    pattern that starts with a wildcard could match the names of others, so it is denied.
///
/// The rules do not depend on the action, and they never answer [`Verdict::Unknown`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the rules are fixed, there is nothing to configure"
)]
pub struct DefaultRules;

impl Authority for DefaultRules {
    fn check(&self, who: &Principal, _action: Action, name: &str) -> Verdict {
        let first = name.split('.').next().unwrap_or_default();
        if first.is_empty() || first.starts_with('$') {
            return Verdict::Deny;
        }
        match &who.tenant {
            Some(tenant) if tenant.as_str() != first => Verdict::Deny,
            Some(_) | None => Verdict::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::message::Roles;
    use macula_wire::{NodeId, Pattern, Topic};
    use proptest::prelude::*;

    use super::*;
    use crate::Tenant;

    const ACTIONS: [Action; 4] = [
        Action::Call,
        Action::Publish,
        Action::Register,
        Action::Subscribe,
    ];

    fn nobody() -> Principal {
        Principal::new(NodeId::default(), Roles::CLIENT)
    }

    fn of(tenant: &str) -> Principal {
        nobody().with_tenant(Tenant::new(tenant).unwrap())
    }

    #[track_caller]
    fn check(who: &Principal, name: &str, expected: Verdict) {
        for action in ACTIONS {
            assert_eq!(
                DefaultRules.check(who, action, name),
                expected,
                "{action:?} {name}"
            );
        }
    }

    #[test]
    fn without_a_tenant_every_name_but_the_reserved_is_allowed() {
        for name in ["a", "acme.x", "**", "*.x", "temperature.latest_v1"] {
            check(&nobody(), name, Verdict::Allow);
        }
        for name in ["$sys", "$sys.members", "$sys.**", ""] {
            check(&nobody(), name, Verdict::Deny);
        }
    }

    #[test]
    fn a_tenant_is_confined_to_its_prefix() {
        let acme = of("acme");
        for name in ["acme", "acme.x", "acme.*.x", "acme.**"] {
            check(&acme, name, Verdict::Allow);
        }
        for name in [
            "other",
            "other.acme",
            "acme2.x",
            "acm.x",
            "Acme.x",
            "acme-.x",
            "*",
            "**",
            "*.x",
            "*.acme",
            "$acme.x",
            "$sys.x",
            "",
        ] {
            check(&acme, name, Verdict::Deny);
        }
    }

    #[test]
    fn a_reserved_name_is_denied_also_where_another_rule_allows_it() {
        check(&of("sys"), "$sys.x", Verdict::Deny);
        check(&of("sys"), "sys.x", Verdict::Allow);
    }

    fn segment() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("acme".to_owned()),
            Just("solar".to_owned()),
            Just("*".to_owned()),
            "[a-zA-Z0-9_-]{1,6}",
        ]
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        (
            any::<bool>(),
            proptest::collection::vec(segment(), 1..5),
            any::<bool>(),
        )
            .prop_filter_map("not a pattern", |(reserved, segments, open)| {
                let dollar = if reserved { "$" } else { "" };
                let tail = if open { ".**" } else { "" };
                Pattern::new(&format!("{dollar}{}{tail}", segments.join("."))).ok()
            })
    }

    proptest! {
        /// What a tenant may subscribe to never matches a topic that it may not publish.
        #[test]
        fn no_pattern_reaches_beyond_the_tenant(
            pattern in pattern(),
            segments in proptest::collection::vec("acme|solar|[a-z]{1,3}", 1..5),
        ) {
            let topic = Topic::new(&segments.join(".")).unwrap();
            for who in [nobody(), of("acme"), of("solar")] {
                let seen = DefaultRules.check(&who, Action::Subscribe, pattern.as_str());
                if seen.is_allowed() && pattern.matches(&topic) {
                    prop_assert!(
                        DefaultRules.check(&who, Action::Publish, topic.as_str()).is_allowed()
                    );
                }
            }
        }

        /// Belonging to a tenant only takes rights away.
        #[test]
        fn a_tenant_has_no_more_than_the_realm(pattern in pattern()) {
            for action in ACTIONS {
                let tenant = DefaultRules.check(&of("acme"), action, pattern.as_str());
                let realm = DefaultRules.check(&nobody(), action, pattern.as_str());
                prop_assert_eq!(tenant.and(realm), tenant);
                prop_assert_ne!(tenant, Verdict::Unknown);
            }
        }
    }
}
