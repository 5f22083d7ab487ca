//! What a subscriber may be told of one publisher and topic: in order, nothing twice, nothing of an earlier run, and
//! what is missing before later events, once, with its right length.

use std::fmt;

/// Follows what one subscriber is told of one publisher and topic.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stream {
    runs: u64,
    epoch: u64,
    first: Option<u64>,
    next: Option<u64>,
}

/// What is wrong with what a subscriber is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Broken {
    /// It belongs to an earlier run of the publisher.
    Stale,
    /// The event was delivered or told missing before.
    Repeated {
        /// What was due.
        due: u64,
    },
    /// Events before this one are neither delivered nor told missing.
    Hole {
        /// What was due.
        due: u64,
    },
    /// The gap has no length.
    Empty,
    /// The gap begins elsewhere.
    Misplaced {
        /// What was due.
        due: u64,
    },
}

impl Stream {
    /// The latest run of the publisher.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many runs were seen.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// The first sequence of the latest run that was delivered or told missing.
    #[must_use]
    pub const fn first(&self) -> Option<u64> {
        self.first
    }

    /// The sequence that comes next; nothing where it cannot be known.
    #[must_use]
    pub const fn next(&self) -> Option<u64> {
        self.next
    }

    /// Whether a run is a later one than all seen so far.
    #[must_use]
    pub const fn is_new(&self, epoch: u64) -> bool {
        self.runs == 0 || epoch > self.epoch
    }

    fn enter(&mut self, epoch: u64) -> Result<(), Broken> {
        if self.is_new(epoch) {
            let runs = self.runs.saturating_add(1);
            *self = Self {
                runs,
                epoch,
                first: None,
                next: None,
            };
        }
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(Broken::Stale)
        }
    }

    /// An event was delivered.
    ///
    /// # Errors
    ///
    /// When it may not come here; what comes next is judged as if it had been right.
    pub fn event(&mut self, epoch: u64, sequence: u64) -> Result<(), Broken> {
        self.enter(epoch)?;
        let due = self.next.unwrap_or(sequence);
        self.first.get_or_insert(sequence);
        self.next = Some(due.max(sequence.saturating_add(1)));
        match sequence.cmp(&due) {
            std::cmp::Ordering::Less => Err(Broken::Repeated { due }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Broken::Hole { due }),
        }
    }

    /// Events were told missing; nobody may know how many.
    ///
    /// # Errors
    ///
    /// When that may not be told here.
    pub fn gap(&mut self, epoch: u64, from: u64, to: Option<u64>) -> Result<(), Broken> {
        self.enter(epoch)?;
        let Some(to) = to else {
            // Nobody knows where the publisher stopped.
            self.next = None;
            return Ok(());
        };
        let due = self.next.unwrap_or(from);
        self.first.get_or_insert(from);
        self.next = Some(due.max(to));
        if to <= from {
            return Err(Broken::Empty);
        }
        if from == due {
            Ok(())
        } else {
            Err(Broken::Misplaced { due })
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("it belongs to an earlier run"),
            Self::Repeated { due } => write!(f, "twice or out of order: {due} was due"),
            Self::Hole { due } => write!(f, "lost without a word: {due} was due"),
            Self::Empty => f.write_str("a gap without a length"),
            Self::Misplaced { due } => write!(f, "a gap in the wrong place: {due} was due"),
        }
    }
}
