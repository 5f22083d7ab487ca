//! Reading the log at the start of a node.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::record::{HEAD, KeptRecord, MAX_BODY, Record, sum};
use super::segment::{MAGIC, create, list};
use super::writer::{Create, Writer};

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Events that are owed, by their ids.
    pub(crate) kept: Vec<KeptRecord>,
    /// The numbering of the ids.
    pub(crate) run: u64,
    /// The first id that was surely not used.
    pub(crate) next: u64,
    pub(crate) writer: Writer,
    /// Segments whose end was torn off.
    pub(crate) torn: u64,
    /// Records whose sum is wrong.
    pub(crate) damaged: u64,
    /// Where what could not be read was put.
    pub(crate) set_aside: Vec<PathBuf>,
}

/// One segment as it was found.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) records: Vec<Record>,
    pub(super) is_torn: bool,
    pub(super) damaged: u64,
}

/// Opens the log of a folder, which is made if it is not there. `run` numbers the ids where there is none yet.
///
/// Segments with something that cannot be read are set aside under another name, and what can be read of them counts.
pub(crate) fn recover(folder: &Path, run: u64) -> io::Result<Recovered> {
    recover_by(folder, run, Box::new(|path: &Path| create(path)))
}

pub(super) fn recover_by(folder: &Path, run: u64, create: Create) -> io::Result<Recovered> {
    std::fs::create_dir_all(folder)?;
    let segments = list(folder)?;
    let (mut found_run, mut next) = (None, 1);
    let mut kept = BTreeMap::new();
    let (mut torn, mut damaged, mut bad) = (0_u64, 0_u64, Vec::new());
    for (_, path) in &segments {
        let segment = read(path)?;
        if segment.is_torn || segment.damaged > 0 {
            torn = torn.saturating_add(u64::from(segment.is_torn));
            damaged = damaged.saturating_add(segment.damaged);
            bad.push(path.clone());
        }
        for record in segment.records {
            match record {
                Record::Kept(one) => {
                    kept.insert(one.id, *one);
                }
                Record::Settled { id } => {
                    kept.remove(&id);
                }
                Record::Reserve { upto } => next = u64::max(next, upto),
                Record::Begin { run } => found_run = found_run.max(Some(run)),
            }
        }
    }
    let run = found_run.unwrap_or(run);
    let kept: Vec<KeptRecord> = kept.into_values().collect();
    let last = kept.last().map_or(0, |one| one.id);
    let next = next.max(last.saturating_add(MAX_BATCH));
    let index = segments
        .last()
        .map_or(0, |(index, _)| index.saturating_add(1));
    let folder = folder.to_path_buf();
    let writer = Writer::begin(folder, create, index, (run, next), &kept)?;
    let set_aside = remove_former(&segments, &bad)?;
    Ok(Recovered {
        kept,
        run,
        next,
        writer,
        torn,
        damaged,
        set_aside,
    })
}

/// More than the most ids that one record is for.
const MAX_BATCH: u64 = 4_097;

/// Everything that is owed stands in the present segment. Former ones go, but for those that somebody may want to look at.
fn remove_former(segments: &[(u64, PathBuf)], bad: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut set_aside = Vec::new();
    for (_, path) in segments {
        if bad.contains(path) {
            let aside = path.with_extension("log.damaged");
            std::fs::rename(path, &aside)?;
            set_aside.push(aside);
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(set_aside)
}

/// Reads a segment as far as it can be read.
pub(super) fn read(path: &Path) -> io::Result<Segment> {
    let bytes = std::fs::read(path)?;
    let mut segment = Segment::default();
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        // An empty file is one whose node ended while it made it.
        segment.is_torn = true;
        return Ok(segment);
    };
    while !rest.is_empty() {
        let Some((record, behind)) = next(rest) else {
            segment.is_torn = true;
            return Ok(segment);
        };
        match record {
            Some(record) => segment.records.push(record),
            None if behind.is_empty() => segment.is_torn = true,
            None => segment.damaged = segment.damaged.saturating_add(1),
        }
        rest = behind;
    }
    Ok(segment)
}

/// The next record, which is `None` if its sum or its content is wrong, and what stands behind it; `None` where no
/// further record can be found.
fn next(bytes: &[u8]) -> Option<(Option<Record>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (length, expected) = head.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if size == 0 || size > MAX_BODY {
        return None;
    }
    let (body, behind) = rest.split_at_checked(size)?;
    let expected = u32::from_le_bytes(expected.try_into().ok()?);
    let is_sound = sum(length, body) == expected;
    let record = if is_sound { Record::take(body) } else { None };
    Some((record, behind))
}
