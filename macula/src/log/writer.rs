//! Writing the log.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::record::{KeptRecord, Record};
use super::recover;
use super::segment::{Disk, MAGIC, path_of};

/// When a segment is so long, another one is begun.
const SEGMENT: u64 = 16 << 20;
/// How many segments there may be before the oldest is emptied into the present one.
const MAX_SEGMENTS: usize = 8;

/// Creates the file of a segment.
pub(crate) type Create = Box<dyn FnMut(&Path) -> io::Result<Box<dyn Disk>> + Send>;

/// Appends records to segments, and removes segments of which nothing is owed any more.
pub(crate) struct Writer {
    folder: PathBuf,
    create: Create,
    disk: Box<dyn Disk>,
    index: u64,
    /// How long the present segment is, as far as it is sound.
    length: u64,
    /// In which segment the events stand that are not settled.
    live: BTreeMap<u64, u64>,
    /// How many of them each segment has.
    segments: BTreeMap<u64, u64>,
    run: u64,
    reserved: u64,
}

impl Writer {
    /// Begins a segment with these records of events.
    pub(crate) fn begin(
        folder: PathBuf,
        mut create: Create,
        index: u64,
        (run, reserved): (u64, u64),
        kept: &[KeptRecord],
    ) -> io::Result<Self> {
        let disk = create(&path_of(&folder, index))?;
        let mut writer = Self {
            folder,
            create,
            disk,
            index,
            length: 0,
            live: BTreeMap::new(),
            segments: BTreeMap::from([(index, 0)]),
            run,
            reserved,
        };
        writer.write_head()?;
        for one in kept {
            writer.write(&[Record::Kept(Box::new(one.clone()))])?;
        }
        writer.disk.sync()?;
        Ok(writer)
    }

    /// Ids below this one are taken for used by a later run.
    pub(crate) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Writes records, and that these events are settled. When it returns the records are on the medium. After an error
    /// none of them count, and nothing more is written before it is told to `reopen`.
    pub(crate) fn commit(
        &mut self,
        reopen: bool,
        records: Vec<Record>,
        settled: &[u64],
    ) -> io::Result<()> {
        if reopen || self.length >= SEGMENT {
            self.next_segment()?;
        }
        let gone = settled.iter().filter(|id| self.live.contains_key(id));
        let mut all: Vec<Record> = gone.map(|id| Record::Settled { id: *id }).collect();
        let must_last = !records.is_empty();
        all.extend(records);
        let before = self.length;
        let written = self
            .write(&all)
            .and_then(|()| if must_last { self.disk.sync() } else { Ok(()) });
        if let Err(error) = written {
            // What stands there in part would end the segment for whoever reads it.
            self.forget(&all);
            if self.disk.truncate(before).is_ok() {
                self.length = before;
            }
            return Err(error);
        }
        for id in settled {
            self.settle(*id);
        }
        self.make_room()
    }

    fn write_head(&mut self) -> io::Result<()> {
        self.disk.append(MAGIC)?;
        self.length = u64::try_from(MAGIC.len()).unwrap_or(0);
        let (run, upto) = (self.run, self.reserved);
        self.write(&[Record::Begin { run }, Record::Reserve { upto }])
    }

    fn write(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for record in records {
            record.put(&mut bytes);
        }
        self.disk.append(&bytes)?;
        self.length = self
            .length
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        for record in records {
            match record {
                Record::Kept(kept) => {
                    if self.live.insert(kept.id, self.index).is_none() {
                        let count = self.segments.entry(self.index).or_insert(0);
                        *count = count.saturating_add(1);
                    }
                }
                Record::Reserve { upto } => self.reserved = self.reserved.max(*upto),
                Record::Settled { .. } | Record::Begin { .. } => {}
            }
        }
        Ok(())
    }

    /// Events whose records were not written are not there.
    fn forget(&mut self, records: &[Record]) {
        for record in records {
            if let Record::Kept(kept) = record {
                self.settle(kept.id);
            }
        }
    }

    fn settle(&mut self, id: u64) {
        if let Some(index) = self.live.remove(&id)
            && let Some(count) = self.segments.get_mut(&index)
        {
            *count = count.saturating_sub(1);
        }
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let index = self.index.saturating_add(1);
        self.disk = (self.create)(&path_of(&self.folder, index))?;
        self.index = index;
        self.segments.insert(index, 0);
        self.write_head()?;
        self.disk.sync()
    }

    /// Removes the oldest segments as long as nothing of them is owed, and empties the oldest if there are too many. A
    /// younger one stays: it may say of events of an older one that they are settled.
    fn make_room(&mut self) -> io::Result<()> {
        while let Some((oldest, count)) = self.oldest()
            && count == 0
        {
            self.remove(oldest)?;
        }
        if self.segments.len() <= MAX_SEGMENTS {
            return Ok(());
        }
        let Some((oldest, _)) = self.oldest() else {
            return Ok(());
        };
        let read = recover::read(&path_of(&self.folder, oldest))?;
        for record in read.records {
            if let Record::Kept(kept) = &record
                && self.live.get(&kept.id) == Some(&oldest)
            {
                self.settle(kept.id);
                self.write(&[record])?;
            }
        }
        self.disk.sync()?;
        self.remove(oldest)
    }

    /// The oldest segment but for the present one, and how much of it is owed.
    fn oldest(&self) -> Option<(u64, u64)> {
        let (index, count) = self.segments.first_key_value()?;
        (*index != self.index).then_some((*index, *count))
    }

    fn remove(&mut self, index: u64) -> io::Result<()> {
        self.segments.remove(&index);
        match std::fs::remove_file(path_of(&self.folder, index)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("folder", &self.folder)
            .field("index", &self.index)
            .field("live", &self.live.len())
            .finish_non_exhaustive()
    }
}
