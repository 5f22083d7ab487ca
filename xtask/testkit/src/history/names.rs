//! Texts by number.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A text that records name: an application, a node, a topic, a call id.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(u32);

/// The texts of a history.
#[derive(Clone, Debug, Default)]
pub struct Names {
    numbers: BTreeMap<Arc<str>, Name>,
    texts: Vec<Arc<str>>,
}

impl Names {
    /// The number of a text; a new one the first time. At most 2^32 texts have one of their own.
    pub(super) fn number(&mut self, text: &str) -> Name {
        if let Some(name) = self.numbers.get(text) {
            return *name;
        }
        let name = Name(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, name);
        name
    }

    /// The text; empty for a number of another history.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        let place = usize::try_from(name.0).unwrap_or(usize::MAX);
        self.texts.get(place).map_or("", |text| text)
    }
}
