//! The rules between crates, as a function of a table and a graph.

use std::collections::{BTreeMap, BTreeSet};

/// What a crate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// State machines and codecs: no sockets, no clock, no randomness of the system.
    Core,
    /// Talks to the system.
    Shell,
    /// Not part of what is shipped.
    Tool,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    may_use: &'static [&'static str],
    presence: Presence,
    /// Whether the default features of a core belong to a shell, so that the core is what remains
    /// without them.
    pub(crate) defaults: Defaults,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Presence {
    Member,
    Planned,
}

/// To which kind the default features of a core belong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Defaults {
    /// The core is checked with them.
    Core,
    /// The core is checked without them.
    Shell,
}

/// A row for a member of the workspace.
pub(crate) const fn row(name: &'static str, kind: Kind, may_use: &'static [&'static str]) -> Row {
    Row {
        name,
        kind,
        may_use,
        presence: Presence::Member,
        defaults: Defaults::Core,
    }
}

impl Row {
    /// The crate is not there yet.
    pub(crate) const fn planned(self) -> Self {
        Self {
            presence: Presence::Planned,
            ..self
        }
    }

    /// Its default features are a shell's.
    pub(crate) const fn with_shell_defaults(self) -> Self {
        Self {
            defaults: Defaults::Shell,
            ..self
        }
    }
}

/// What depends on what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    /// Normal and build dependencies of each member, by name.
    pub(crate) direct: BTreeMap<String, BTreeSet<String>>,
    /// Dev-dependencies of each member, by name.
    pub(crate) dev: BTreeMap<String, BTreeSet<String>>,
    /// What each core reaches by normal edges, however deep.
    pub(crate) reachable: BTreeMap<String, BTreeSet<String>>,
}

/// What a core may not reach.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "async-std",
    "futures-timer",
    "getrandom",
    "mio",
    "quinn",
    "quinn-proto",
    "rand",
    "smol",
    "socket2",
    "tokio",
];

/// What only [`QUIC_OWNER`] may depend on directly.
const QUIC: &[&str] = &["h3", "h3-quinn", "quinn", "quinn-proto", "rustls"];
const QUIC_OWNER: &str = "macula-transport";

/// The crate that users depend on, and who else may.
const FACADE: &str = "macula";
const USERS_OF_FACADE: &[&str] = &["xtask", "macula-bench", "macula-player"];

/// What nobody may depend on at all.
const LEAVES: &[&str] = &["xtask", "macula-bench", "macula-player", "macula-sim"];

/// What is allowed as a dev-dependency only, and for whom it is not.
const TEST_ONLY: &str = "macula-testkit";
const TOOLS_OF_TESTS: &[&str] = &["macula-sim", "macula-player"];

/// Faults of the table itself.
pub(crate) fn table_violations(table: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    let mut above = BTreeSet::new();
    for row in table {
        for used in row.may_use.iter().filter(|used| !above.contains(*used)) {
            found.push(format!(
                "the row of {} names {used}, which does not stand above it; reorder the table in \
                 xtask/src/layers.rs or drop the dependency",
                row.name
            ));
        }
        if !above.insert(row.name) {
            found.push(format!("{} has two rows; keep one", row.name));
        }
    }
    found
}

/// What `graph` has that `table` does not allow, one line each.
pub(crate) fn violations(table: &[Row], graph: &Graph) -> Vec<String> {
    let mut found = presence(table, graph);
    for (name, direct) in &graph.direct {
        let Some(row) = table.iter().find(|row| row.name == name) else {
            continue;
        };
        found.extend(direct_violations(row, direct, graph));
        if row.kind == Kind::Core {
            found.extend(core_violations(row, graph));
        }
    }
    for (name, dev) in &graph.dev {
        found.extend(dev_violations(name, dev));
    }
    found
}

/// Rows and members that do not match.
fn presence(table: &[Row], graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for name in graph
        .direct
        .keys()
        .filter(|name| !table.iter().any(|row| row.name == **name))
    {
        found.push(format!(
            "{name} has no row; add one to the table in xtask/src/layers.rs"
        ));
    }
    for row in table {
        match (row.presence, graph.direct.contains_key(row.name)) {
            (Presence::Member, false) => found.push(format!(
                "{} has a row but is no member of the workspace; mark the row as planned or drop it",
                row.name
            )),
            (Presence::Planned, true) => {
                found.push(format!("{} is there; take `.planned()` off its row", row.name));
            }
            (Presence::Member, true) | (Presence::Planned, false) => {}
        }
    }
    found
}

fn direct_violations(row: &Row, direct: &BTreeSet<String>, graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    let name = row.name;
    for dependency in direct {
        let dependency = dependency.as_str();
        if dependency == TEST_ONLY && !TOOLS_OF_TESTS.contains(&name) {
            found.push(format!(
                "{name} depends on {TEST_ONLY}; make it a dev-dependency"
            ));
        } else if graph.direct.contains_key(dependency) && !row.may_use.contains(&dependency) {
            found.push(format!(
                "{name} depends on {dependency}, which its row does not allow; turn the call into \
                 an output, or a trait that {name} owns"
            ));
        }
        if QUIC.contains(&dependency) && name != QUIC_OWNER {
            found.push(format!(
                "{name} depends on {dependency}; only {QUIC_OWNER} may, so offer what is needed there"
            ));
        }
    }
    found
}

fn core_violations(row: &Row, graph: &Graph) -> Vec<String> {
    let name = row.name;
    let Some(reachable) = graph.reachable.get(name) else {
        return vec![format!(
            "what {name} reaches is not known; see xtask/src/layers/graph.rs"
        )];
    };
    let switch = match row.defaults {
        Defaults::Core => "",
        Defaults::Shell => " --no-default-features",
    };
    reachable
        .iter()
        .filter(|dependency| FORBIDDEN_IN_CORE.contains(&dependency.as_str()))
        .map(|dependency| {
            format!(
                "{name} is a core but reaches {dependency}; cut the edge that \
                 `cargo tree -p {name}{switch} -e normal -i {dependency}` shows"
            )
        })
        .collect()
}

fn dev_violations(name: &str, dev: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for dependency in dev {
        let leaf = LEAVES.contains(&dependency.as_str());
        let facade = dependency == FACADE && !USERS_OF_FACADE.contains(&name);
        if leaf || facade {
            found.push(format!(
                "{name} has {dependency} as a dev-dependency; move the test to {dependency}"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Row] = &[
        row("macula-wire", Kind::Core, &[]),
        row("macula-transport", Kind::Shell, &["macula-wire"]),
        row("macula-realm", Kind::Core, &["macula-wire"]).with_shell_defaults(),
        row("macula-swim", Kind::Core, &["macula-wire"]),
        row("macula-kad", Kind::Core, &["macula-wire"]).planned(),
        row(
            "macula",
            Kind::Shell,
            &["macula-wire", "macula-transport", "macula-swim"],
        ),
        row("macula-testkit", Kind::Tool, &["macula-wire"]),
        row("macula-sim", Kind::Tool, &["macula-testkit"]),
        row("xtask", Kind::Tool, &["macula"]),
    ];

    /// A workspace that keeps every rule.
    fn sound() -> Graph {
        let mut graph = Graph::default();
        for row in TABLE.iter().filter(|row| row.presence == Presence::Member) {
            graph.direct.insert(row.name.to_owned(), BTreeSet::new());
            if row.kind == Kind::Core {
                graph.reachable.insert(row.name.to_owned(), BTreeSet::new());
            }
        }
        graph
            .with("macula-swim", "macula-wire")
            .with("macula-transport", "quinn")
    }

    impl Graph {
        fn with(mut self, from: &str, to: &str) -> Self {
            self.direct
                .entry(from.to_owned())
                .or_default()
                .insert(to.to_owned());
            self
        }

        fn with_dev(mut self, from: &str, to: &str) -> Self {
            self.dev
                .entry(from.to_owned())
                .or_default()
                .insert(to.to_owned());
            self
        }

        fn reaching(mut self, from: &str, to: &str) -> Self {
            self.reachable
                .entry(from.to_owned())
                .or_default()
                .insert(to.to_owned());
            self
        }
    }

    /// Exactly one violation, which contains `text`.
    #[track_caller]
    fn refused(graph: &Graph, text: &str) {
        let found = violations(TABLE, graph);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(text), "{found:?}");
    }

    #[track_caller]
    fn accepted(graph: &Graph) {
        assert_eq!(violations(TABLE, graph), Vec::<String>::new());
    }

    #[test]
    fn a_sound_workspace_is_accepted() {
        accepted(&sound());
    }

    #[test]
    fn an_edge_sideways_is_refused() {
        refused(
            &sound().with("macula-realm", "macula-swim"),
            "does not allow",
        );
        accepted(&sound().with("macula-realm", "macula-wire"));
    }

    #[test]
    fn a_core_that_reaches_a_runtime_is_refused() {
        refused(
            &sound().reaching("macula-swim", "tokio"),
            "-p macula-swim -e normal -i tokio",
        );
        refused(
            &sound().reaching("macula-realm", "getrandom"),
            "--no-default-features",
        );
        accepted(&sound().reaching("macula-swim", "bytes"));
        accepted(&sound().reaching("macula-transport", "tokio"));
    }

    #[test]
    fn a_core_of_unknown_closure_is_refused() {
        let mut graph = sound();
        graph.reachable.remove("macula-swim");
        refused(&graph, "not known");
    }

    #[test]
    fn quic_belongs_to_the_transport() {
        refused(&sound().with("macula", "rustls"), "only macula-transport");
        accepted(&sound().with("macula-transport", "rustls"));
        accepted(&sound().with_dev("macula", "rustls"));
    }

    #[test]
    fn the_testkit_is_for_tests() {
        refused(
            &sound().with("macula-swim", "macula-testkit"),
            "make it a dev-dependency",
        );
        accepted(&sound().with_dev("macula-swim", "macula-testkit"));
        accepted(&sound().with("macula-sim", "macula-testkit"));
        refused(
            &sound().with_dev("macula-swim", "macula-sim"),
            "move the test",
        );
    }

    #[test]
    fn only_the_tools_use_the_facade() {
        refused(&sound().with("macula-swim", "macula"), "does not allow");
        refused(&sound().with_dev("macula-swim", "macula"), "move the test");
        refused(&sound().with_dev("macula-swim", "xtask"), "move the test");
        accepted(&sound().with("xtask", "macula"));
        accepted(&sound().with_dev("xtask", "macula"));
    }

    #[test]
    fn members_and_rows_must_match() {
        refused(&sound().with("macula-new", "bytes"), "has no row");
        let mut graph = sound().with("macula-kad", "macula-wire");
        graph = graph.reaching("macula-kad", "macula-wire");
        refused(&graph, "take `.planned()` off");
        let mut graph = sound();
        graph.direct.remove("macula-transport");
        refused(&graph, "no member");
    }

    #[test]
    fn a_row_names_only_rows_above_it() {
        assert_eq!(table_violations(TABLE), Vec::<String>::new());
        let cycle = [row("a", Kind::Core, &["b"]), row("b", Kind::Core, &["a"])];
        assert_eq!(table_violations(&cycle).len(), 1);
        let twice = [row("a", Kind::Core, &[]), row("a", Kind::Core, &[])];
        assert_eq!(table_violations(&twice).len(), 1);
    }
}
