//! The log on disks that work, tear, flip and fill up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use macula_wire::message::Balance;
use macula_wire::{NodeId, Random};

use super::recover::{read, recover, recover_by};
use super::segment::{Disk, create, list};
use super::{GroupRecord, KeptRecord, Record};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("macula-log-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn kept(id: u64) -> KeptRecord {
    KeptRecord {
        id,
        expires_ms: id.wrapping_mul(7),
        class: 2,
        to: vec![NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32])],
        group: id.is_multiple_of(2).then(|| GroupRecord {
            name: "workers".into(),
            balance: Balance::Hash,
            members: vec![NodeId::from_bytes([3; 32])],
            chosen: id.is_multiple_of(4).then(|| NodeId::from_bytes([3; 32])),
        }),
        alias: vec![5; 40],
        batch: vec![u8::try_from(id % 256).unwrap(); 1_000],
    }
}

fn record(id: u64) -> Record {
    Record::Kept(Box::new(kept(id)))
}

fn ids(kept: &[KeptRecord]) -> Vec<u64> {
    kept.iter().map(|one| one.id).collect()
}

fn only(folder: &Path) -> PathBuf {
    let segments = list(folder).unwrap();
    assert_eq!(segments.len(), 1);
    segments[0].1.clone()
}

#[test]
fn the_sum_is_that_of_castagnoli() {
    assert_eq!(super::record::sum(b"", b"123456789"), 0xe306_9283);
    assert_eq!(super::record::sum(b"1234", b"56789"), 0xe306_9283);
}

#[test]
fn what_was_committed_is_there_until_it_is_settled() {
    let folder = Folder::new("committed");
    let mut found = recover(&folder.0, 9).unwrap();
    assert_eq!((found.run, found.next, found.kept.len()), (9, 4_097, 0));
    let records = vec![record(1), record(2), Record::Reserve { upto: 70_000 }];
    found.writer.commit(false, records, &[]).unwrap();
    found
        .writer
        .commit(false, vec![record(3)], &[2, 99])
        .unwrap();
    let again = recover(&folder.0, 10).unwrap();
    assert_eq!((again.run, again.next), (9, 70_000));
    assert_eq!(again.kept, [kept(1), kept(3)]);
    assert_eq!((again.torn, again.damaged), (0, 0));
    drop(again);
    let again = recover(&folder.0, 10).unwrap();
    assert_eq!(ids(&again.kept), [1, 3]);
    only(&folder.0);
}

#[test]
fn a_torn_end_is_set_aside_and_the_rest_counts() {
    let folder = Folder::new("torn");
    let mut found = recover(&folder.0, 1).unwrap();
    let records = vec![record(1), record(2), record(3)];
    found.writer.commit(false, records, &[]).unwrap();
    let path = only(&folder.0);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    let again = recover(&folder.0, 1).unwrap();
    assert_eq!(ids(&again.kept), [1, 2]);
    assert_eq!((again.torn, again.damaged), (1, 0));
    assert_eq!(again.set_aside.len(), 1);
    assert_eq!(
        std::fs::read(&again.set_aside[0]).unwrap().len(),
        whole.len() - 100
    );
    let third = recover(&folder.0, 1).unwrap();
    assert_eq!((ids(&third.kept), third.torn), (vec![1, 2], 0));
}

#[test]
fn each_flipped_bit_is_found() {
    let folder = Folder::new("flipped");
    let mut found = recover(&folder.0, 1).unwrap();
    let records = vec![record(1), record(2), record(3)];
    found.writer.commit(false, records, &[]).unwrap();
    let path = only(&folder.0);
    let whole = std::fs::read(&path).unwrap();
    for at in (8..whole.len()).step_by(37) {
        let other = Folder::new("flip");
        std::fs::create_dir_all(&other.0).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(other.0.join(path.file_name().unwrap()), &bytes).unwrap();
        let again = recover(&other.0, 1).unwrap();
        assert!(
            again.torn + again.damaged > 0,
            "the bit at {at} was not found"
        );
        assert!(again.kept.iter().all(|one| *one == kept(one.id)), "{at}");
        assert_eq!(again.set_aside.len(), 1);
    }
}

/// A disk with room for so many bytes.
struct Small {
    file: Box<dyn Disk>,
    room: Arc<AtomicUsize>,
}

impl Disk for Small {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::Relaxed);
        let fits = bytes.len().min(room);
        self.file.append(&bytes[..fits])?;
        self.room
            .store(room.saturating_sub(fits), Ordering::Relaxed);
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
}

#[test]
fn a_full_disk_refuses_and_leaves_what_is_there_sound() {
    let folder = Folder::new("full");
    let room = Arc::new(AtomicUsize::new(4_000));
    let shared = Arc::clone(&room);
    let small = move |path: &Path| {
        let file = create(path)?;
        let room = Arc::clone(&shared);
        Ok(Box::new(Small { file, room }) as Box<dyn Disk>)
    };
    let mut found = recover_by(&folder.0, 1, Box::new(small)).unwrap();
    let mut taken = 0;
    let error = loop {
        match found.writer.commit(false, vec![record(taken + 1)], &[]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), taken), (io::ErrorKind::StorageFull, 3));
    room.store(1 << 20, Ordering::Relaxed);
    found.writer.commit(true, vec![record(9)], &[1]).unwrap();
    drop(found);
    let again = recover(&folder.0, 1).unwrap();
    assert_eq!(ids(&again.kept), [2, 3, 9]);
    assert_eq!((again.torn, again.damaged), (0, 0));
}

#[test]
fn segments_go_when_nothing_of_them_is_owed() {
    let folder = Folder::new("segments");
    let mut found = recover(&folder.0, 1).unwrap();
    let long = |id: u64| {
        let mut kept = kept(id);
        kept.batch = vec![0; 4 << 20];
        Record::Kept(Box::new(kept))
    };
    // The first event stays owed, and would keep its segment for ever.
    for id in 1..=60 {
        let settled: Vec<u64> = (2..id).collect();
        found
            .writer
            .commit(false, vec![long(id)], &settled)
            .unwrap();
        assert!(list(&folder.0).unwrap().len() <= 9);
    }
    drop(found);
    let again = recover(&folder.0, 1).unwrap();
    assert_eq!(ids(&again.kept), [1, 60]);
}

/// Cuts, doubles, overwrites and flips parts of `bytes`, as seeds say.
fn mangled(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let length = u64::try_from(bytes.len()).unwrap();
        let from = usize::try_from(random.below(length.max(1))).unwrap();
        let upto = bytes.len().min(from.saturating_add(random.index(64)));
        match random.below(5) {
            0 => bytes.truncate(from),
            1 => {
                let part = bytes[from..upto].to_vec();
                bytes.extend(part);
            }
            2 => drop(bytes.drain(from..upto)),
            3 => random.fill(&mut bytes[from..upto]),
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn whatever_stands_in_a_file_only_what_was_written_is_read() {
    let folder = Folder::new("mangled");
    let mut found = recover(&folder.0, 1).unwrap();
    let records: Vec<Record> = (1..6).map(record).collect();
    found.writer.commit(false, records, &[2]).unwrap();
    let path = only(&folder.0);
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = 0;
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        std::fs::write(&path, mangled(&whole, &mut random)).unwrap();
        let read = read(&path).unwrap();
        damaged += u64::from(read.is_torn || read.damaged > 0);
        for record in read.records {
            let is_true = match &record {
                Record::Kept(one) => **one == kept(one.id),
                Record::Settled { id } => *id == 2,
                Record::Reserve { .. } | Record::Begin { .. } => true,
            };
            assert!(is_true, "seed {seed}: {record:?}");
        }
    }
    assert!(
        damaged > 2_000,
        "{damaged} of 3,000 files were found damaged"
    );
}
