//! What differs from a shared snapshot of members.

use std::collections::BTreeMap;

use crate::member::Member;

/// How many marks there are.
const MARKS: u32 = 256;
const MARKS_A_WORD: u32 = 64;

/// The members that are not as in the snapshot, by their place there; `None` was forgotten, or is the table's owner.
///
/// Nearly every question is about a member that is as it was. A mark for each 256th place, which lies beside the tree,
/// answers most of them without a search.
#[derive(Debug, Default)]
pub(crate) struct Altered {
    members: BTreeMap<u32, Option<Member>>,
    marks: [u64; 4],
}

impl Altered {
    /// What is at a place instead of what the snapshot has there, if anything is.
    pub(crate) fn get(&self, place: u32) -> Option<&Option<Member>> {
        let (word, bit) = mark(place);
        let marked = self.marks.get(word).is_some_and(|marks| marks & bit != 0);
        marked.then(|| self.members.get(&place)).flatten()
    }

    /// Puts something at a place.
    pub(crate) fn insert(&mut self, place: u32, member: Option<Member>) {
        *self.entry(place, || None) = member;
    }

    /// What is at a place, which is `first` if it was as in the snapshot until now.
    pub(crate) fn entry(
        &mut self,
        place: u32,
        first: impl FnOnce() -> Option<Member>,
    ) -> &mut Option<Member> {
        let (word, bit) = mark(place);
        if let Some(marks) = self.marks.get_mut(word) {
            *marks |= bit;
        }
        self.members.entry(place).or_insert_with(first)
    }
}

/// The word that holds the mark of a place, and its bit.
fn mark(place: u32) -> (usize, u64) {
    let of = place % MARKS;
    let word = usize::try_from(of / MARKS_A_WORD).unwrap_or(0);
    (word, 1 << (of % MARKS_A_WORD))
}

#[cfg(test)]
mod tests {
    use macula_wire::Instant;

    use super::*;
    use crate::members::tests::kept;

    #[test]
    fn what_was_put_at_a_place_is_there_and_nowhere_else() {
        let mut altered = Altered::default();
        for place in [0, 63, 64, 255, 256, 1_000] {
            assert!(altered.get(place).is_none());
            altered.insert(place, None);
            assert!(altered.get(place).is_some_and(Option::is_none));
        }
        for place in [1, 65, 512, 1_256] {
            assert!(altered.get(place).is_none(), "{place}");
        }
        let member = || Some(Member::new(kept(1), Instant::ZERO));
        assert!(altered.entry(0, member).is_none(), "it was there");
        assert!(altered.entry(2, member).is_some());
        assert!(altered.get(2).is_some_and(Option::is_some));
    }
}
