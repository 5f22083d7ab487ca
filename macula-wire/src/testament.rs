//! What a member leaves behind: events that another member publishes once it has gone.

use alloc::vec::Vec;

use crate::field::{record, whole};
use crate::message::Publish;

/// The most events that one member leaves behind.
pub const MAX_TESTAMENTS: usize = 16;

/// The first segment of the names under which members leave events behind.
pub const TESTAMENT_SEGMENT: &str = "$testament";

/// The media type of a value that is a [`Testaments`].
pub const TESTAMENT_TYPE: &str = "application/vnd.macula.testament";

record! {
    /// An event that is published once a member has gone.
    pub struct Testament {
        /// How long after that, in milliseconds.
        pub delay_ms: u64,
        /// Whether it is published also where the member has left on purpose.
        pub on_leave: bool,
        /// The event.
        pub publish: Publish,
    }
}

record! {
    /// All that a member leaves behind.
    pub struct Testaments {
        /// At most 16.
        pub list: Vec<Testament> [MAX_TESTAMENTS],
    }
}

whole!(Testaments);

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::message::Qos;
    use crate::{ContentType, Topic};

    fn testament() -> Testament {
        Testament {
            delay_ms: 1_500,
            on_leave: false,
            publish: Publish {
                request: None,
                topic: Topic::new("plant.1.state").unwrap(),
                qos: Qos::AtMostOnce,
                retain: true,
                ttl_ms: None,
                key: None,
                dedup: None,
                content: ContentType::Text,
                headers: Vec::new(),
                audience: None,
                payload: "gone".into(),
            },
        }
    }

    #[test]
    fn testaments_are_read_again_and_nothing_behind_it() {
        let all = Testaments {
            list: vec![testament(), testament()],
        };
        let mut bytes = Vec::new();
        all.encode(&mut bytes).unwrap();
        assert_eq!(Testaments::decode(bytes.clone().into()), Ok(all));
        bytes.push(0);
        assert!(Testaments::decode(bytes.into()).is_err());
    }

    #[test]
    fn testaments_have_a_bound() {
        let of = |count| Testaments {
            list: vec![testament(); count],
        };
        assert!(of(MAX_TESTAMENTS).encode(&mut Vec::new()).is_ok());
        assert!(of(MAX_TESTAMENTS + 1).encode(&mut Vec::new()).is_err());
    }
}
