//! The scenarios by name.

use crate::progress::Progress;
use crate::report::Outcome;
use crate::settings::{Settings, Subject};
use crate::{events, kad, membership, overlay};

/// Why a run gave no figures: the network failed, or something did not happen in time.
pub(crate) type Fault = String;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What it changes of the default settings.
    pub(crate) defaults: fn(&mut Settings),
    /// Whether it makes many runs, of which none is the one to trace.
    pub(crate) runs_many: bool,
    pub(crate) run: fn(&Settings, &Progress) -> Result<Outcome, Fault>,
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "membership-kill",
        about: "steady load, then nodes killed one by one: how soon, and by whom it is known",
        defaults: |_| (),
        runs_many: false,
        run: membership::kill::run,
    },
    Scenario {
        name: "membership-loss",
        about: "datagrams are lost and nobody dies: who is declared dead",
        defaults: |settings| settings.loss = 0.05,
        runs_many: false,
        run: membership::loss::run,
    },
    Scenario {
        name: "membership-slow",
        about: "some nodes stand still now and then: Lifeguard's matrix, against plain SWIM",
        defaults: |settings| settings.nodes = 128,
        runs_many: true,
        run: membership::slow::run,
    },
    Scenario {
        name: "membership-split",
        about: "two halves apart for 60 s: how soon all views are equal again",
        defaults: |_| (),
        runs_many: false,
        run: membership::split::run,
    },
    Scenario {
        name: "membership-restart",
        about: "all nodes restart at once with what they knew: how soon all views are equal",
        defaults: |_| (),
        runs_many: false,
        run: membership::restart::run,
    },
    Scenario {
        name: "overlay-join",
        about: "all nodes join at once through one contact: what graph comes of it",
        defaults: |_| (),
        runs_many: false,
        run: overlay::join::run,
    },
    Scenario {
        name: "overlay-churn",
        about: "nodes leave, crash and join all the time: what the graph is like meanwhile",
        defaults: |_| (),
        runs_many: false,
        run: overlay::churn::run,
    },
    Scenario {
        name: "overlay-kill",
        about: "a share of the nodes is killed at once: whom floods reach, before and after repair",
        defaults: |_| (),
        runs_many: false,
        run: overlay::kill::run,
    },
    Scenario {
        name: "kad-lookup",
        about: "lookups of random keys, in tables that the nodes built by joining",
        defaults: |settings| settings.subject = Subject::Lookups,
        runs_many: false,
        run: kad::lookup::run,
    },
    Scenario {
        name: "kad-churn",
        about: "lookups while nodes die and join all the time, each after 10 minutes in the mean",
        defaults: |settings| settings.subject = Subject::Churn,
        runs_many: false,
        run: kad::churn::run,
    },
    Scenario {
        name: "kad-kill",
        about: "lookups right after a share of the nodes was killed at once",
        defaults: |settings| settings.subject = Subject::Kill,
        runs_many: false,
        run: kad::kill::run,
    },
    Scenario {
        name: "kad-liars",
        about: "lookups while a share of the nodes names only each other",
        defaults: |settings| {
            settings.subject = Subject::Liars;
            settings.paths = 4;
        },
        runs_many: false,
        run: kad::liars::run,
    },
    Scenario {
        name: "kad-records",
        about: "records while nodes come and go for 20 hours, and when half of them die at once",
        defaults: |settings| settings.subject = Subject::Records,
        runs_many: false,
        run: kad::records::run,
    },
    Scenario {
        name: "events-tree",
        about: "sixteen nodes send events that everybody wants: how far and how fast they go",
        defaults: |settings| settings.subject = Subject::Events,
        runs_many: false,
        run: events::tree::run,
    },
    Scenario {
        name: "events-kill",
        about: "the same right after a share of the nodes was killed at once",
        defaults: |settings| settings.subject = Subject::EventsKill,
        runs_many: false,
        run: events::kill::run,
    },
    Scenario {
        name: "events-loss",
        about: "the same while datagrams are lost",
        defaults: |settings| {
            settings.subject = Subject::EventsLoss;
            settings.loss = 0.15;
        },
        runs_many: false,
        run: events::loss::run,
    },
];

impl Scenario {
    /// Its default settings.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        (self.defaults)(&mut settings);
        settings
    }
}

/// The scenario of a name.
///
/// # Errors
///
/// If there is none.
pub(crate) fn find(name: &str) -> Result<&'static Scenario, Fault> {
    SCENARIOS
        .iter()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| format!("no scenario `{name}`; --list shows all"))
}

/// One line for each.
pub(crate) fn list() -> String {
    SCENARIOS
        .iter()
        .map(|scenario| format!("  {:20} {}\n", scenario.name, scenario.about))
        .collect()
}
