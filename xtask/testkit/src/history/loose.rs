//! What a subscriber may be told of one publisher and topic where nothing has a turn: nothing of an earlier run, and nothing
//! both as an event and as missing.

use std::collections::BTreeMap;

use super::{Name, Rule};

/// What one subscription was told of each publisher and topic.
#[derive(Debug, Default)]
pub(super) struct Loose(BTreeMap<(Name, Name), Run>);

/// The latest run of a publisher on a topic.
#[derive(Debug, Default)]
struct Run {
    epoch: u64,
    /// Where the first word of it stands.
    place: usize,
    /// Where the event of each sequence was handed over.
    events: BTreeMap<u64, usize>,
    /// By the first sequence that was told missing: the first behind, and where.
    gaps: BTreeMap<u64, (u64, usize)>,
}

/// A rule, how it is broken, and the record that shows it together with the present one.
type Found = Option<(Rule, &'static str, usize)>;

impl Loose {
    pub(super) fn event(
        &mut self,
        key: (Name, Name),
        epoch: u64,
        sequence: u64,
        place: usize,
    ) -> Found {
        let run = match self.enter(key, epoch, place) {
            Ok(run) => run,
            Err(later) => return Some((Rule::Ordered, "it belongs to an earlier run", later)),
        };
        run.events.entry(sequence).or_insert(place);
        let (_, (end, gap)) = run.gaps.range(..=sequence).next_back()?;
        let detail = "it comes although it was told missing";
        (sequence < *end).then_some((Rule::GapsFit, detail, *gap))
    }

    pub(super) fn gap(
        &mut self,
        key: (Name, Name),
        epoch: u64,
        from: u64,
        to: Option<u64>,
        place: usize,
    ) -> Found {
        let run = match self.enter(key, epoch, place) {
            Ok(run) => run,
            Err(later) => return Some((Rule::Ordered, "it belongs to an earlier run", later)),
        };
        // Where nobody knows the end, what came is not among it.
        let to = to?;
        let before = run.gaps.range(..to).next_back();
        let twice = before.filter(|(_, (end, _))| *end > from);
        let twice = twice.map(|(_, (_, gap))| (Rule::GapsFit, "it was told missing before", *gap));
        let came = run.events.range(from..to.max(from)).next();
        let came = came.map(|(_, event)| (Rule::GapsFit, "it is told missing and came", *event));
        run.gaps.insert(from, (to, place));
        let empty = (to <= from).then_some((Rule::GapsFit, "a gap without a length", place));
        empty.or(twice).or(came)
    }

    /// The run, which ends an earlier one; or where a later one began.
    fn enter(&mut self, key: (Name, Name), epoch: u64, place: usize) -> Result<&mut Run, usize> {
        let new = || Run {
            epoch,
            place,
            ..Run::default()
        };
        let run = self.0.entry(key).or_insert_with(new);
        if run.epoch < epoch {
            *run = new();
        }
        if run.epoch == epoch {
            Ok(run)
        } else {
            Err(run.place)
        }
    }
}
