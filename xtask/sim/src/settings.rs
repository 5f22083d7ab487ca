//! What a run is asked for.

use std::path::PathBuf;

use crate::degree::degree_for;

/// How far nodes are apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Links {
    /// 10 to 50 ms one way.
    Wan,
    /// 0.2 to 1 ms one way.
    Lan,
}

impl Links {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wan => "wan",
            Self::Lan => "lan",
        }
    }
}

/// A part of Lifeguard that can be switched off.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Part {
    /// Time-outs of probes grow with the node's own trouble.
    LhaProbe,
    /// Suspicions start long and shrink with each accuser.
    LhaSuspicion,
    /// A probe of a suspected member tells it so.
    Buddy,
}

impl Part {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::LhaProbe, Self::LhaSuspicion, Self::Buddy];

    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LhaProbe => "lha-probe",
            Self::LhaSuspicion => "lha-suspicion",
            Self::Buddy => "buddy",
        }
    }
}

/// How many cells of the matrix of slow members run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cells {
    /// So many, evenly spread.
    Some(usize),
    /// All of them.
    All,
}

/// What a scenario is about; its goals follow from it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Subject {
    /// Membership or the overlay.
    #[default]
    Members,
    /// Lookups while all is well.
    Lookups,
    /// Lookups right after many nodes died.
    Kill,
    /// Lookups while nodes come and go.
    Churn,
    /// Lookups among liars.
    Liars,
    /// What becomes of records.
    Records,
    /// Events for everybody while all is well.
    Events,
    /// The same right after many nodes died.
    EventsKill,
    /// The same while datagrams are lost.
    EventsLoss,
}

impl Subject {
    /// Whether it is about events.
    pub(crate) const fn is_events(self) -> bool {
        matches!(self, Self::Events | Self::EventsKill | Self::EventsLoss)
    }
}

/// By what survivors learn of the dead.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Detection {
    /// By suspicions of membership.
    #[default]
    Suspicions,
    /// By its verdicts alone.
    Verdicts,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) nodes: usize,
    pub(crate) seed: u64,
    pub(crate) links: Links,
    /// The share of datagrams that are lost; 0 where the scenario is not about loss.
    pub(crate) loss: f64,
    /// The share of nodes killed at once.
    pub(crate) kill: f64,
    /// Kills measured one by one.
    pub(crate) samples: usize,
    /// Node-hours.
    pub(crate) hours: f64,
    /// Parts of Lifeguard that are off.
    pub(crate) without: Vec<Part>,
    /// Parts of Lifeguard that are on although the run is plain.
    pub(crate) with: Vec<Part>,
    /// Whether all of Lifeguard, and what goes beyond it, is off.
    pub(crate) plain: bool,
    pub(crate) cells: Cells,
    pub(crate) subject: Subject,
    /// The share of nodes that lie.
    pub(crate) liars: f64,
    /// Paths of a lookup that have no node in common.
    pub(crate) paths: usize,
    /// Whether lookups begin with the members that membership knows.
    pub(crate) seeded: bool,
    /// Lookups measured.
    pub(crate) lookups: usize,
    pub(crate) detection: Detection,
    /// Where the trace is written.
    pub(crate) trace: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 1_000,
            seed: 1,
            links: Links::Wan,
            loss: 0.0,
            kill: 0.3,
            samples: 20,
            hours: 100.0,
            without: Vec::new(),
            with: Vec::new(),
            plain: false,
            cells: Cells::Some(crate::membership::DEFAULT_CELLS),
            subject: Subject::default(),
            liars: 0.3,
            paths: 1,
            seeded: false,
            lookups: 1_000,
            detection: Detection::default(),
            trace: None,
        }
    }
}

impl Settings {
    /// The least that the second eigenvalue of a large overlay of this size can be.
    pub(crate) fn lambda2_bound(&self) -> f64 {
        let degree = crate::statistics::number(degree_for(self.nodes));
        2.0 * (degree - 1.0).max(0.0).sqrt()
    }
}
