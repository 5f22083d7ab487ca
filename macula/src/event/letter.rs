//! Dead letters, as their subscribers see them.

use std::fmt;

use macula_wire::{Epoch, NodeId, Sequence};

use super::Event;

/// The header of a dead letter that says which event it was.
pub(crate) const DEAD_LETTER_HEADER: &str = "$dead-letter";

/// Which event a dead letter was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the identity of an event")]
pub struct DeadLetter {
    /// Who published it.
    pub publisher: NodeId,
    /// The publisher's run.
    pub epoch: Epoch,
    /// Its place among the events of the publisher, run and topic.
    pub sequence: Sequence,
}

impl DeadLetter {
    /// What the header says.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mut number = || parts.next();
        let publisher = number()?.parse().ok()?;
        let epoch = Epoch::new(number()?.parse().ok()?);
        let sequence = Sequence::new(number()?.parse().ok()?);
        parts.next().is_none().then_some(Self {
            publisher,
            epoch,
            sequence,
        })
    }
}

/// As the header has it.
impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epoch, sequence) = (self.epoch.get(), self.sequence.get());
        write!(f, "{} {epoch} {sequence}", self.publisher)
    }
}

impl Event {
    /// Which event it was, if it is a dead letter: an event on `$sys.dlq.` and the topic of that one, by the node that gave it
    /// up. Of one with 32 headers of its own it is not known.
    #[must_use]
    pub fn dead_letter(&self) -> Option<DeadLetter> {
        let value = self.header(DEAD_LETTER_HEADER)?;
        let is_letter = self.topic().is_of_dead_letters();
        let read = || DeadLetter::read(std::str::from_utf8(value).ok()?);
        is_letter.then(read).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_event_it_was_is_read_as_it_was_written() {
        let letter = DeadLetter {
            publisher: NodeId::from_bytes([7; 32]),
            epoch: Epoch::new(8),
            sequence: Sequence::new(9),
        };
        let text = letter.to_string();
        assert_eq!(DeadLetter::read(&text), Some(letter));
        for wrong in ["", "x 8 9", &text[..text.len() - 2], &format!("{text} 1")] {
            assert_eq!(DeadLetter::read(wrong), None, "{wrong:?}");
        }
    }
}
