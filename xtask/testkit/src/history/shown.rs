//! Records as people read them.

use std::fmt;

use super::Did;

impl fmt::Display for Did<&str> {
    #[expect(clippy::too_many_lines, reason = "one line of text for each variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached { node } => write!(f, "attached to {node:.12}"),
            Self::Lost => f.write_str("lost its link"),
            Self::Publish {
                topic, number, qos, ..
            } => {
                write!(f, "publishes #{number} on {topic} with QoS {qos}")
            }
            Self::Accepted { number } => write!(f, "#{number} accepted"),
            Self::Refused { number, code } => write!(f, "#{number} refused with {code:#04x}"),
            Self::Unsure { number, code } => {
                write!(f, "#{number} ended with {code:#04x}, accepted or not")
            }
            Self::Receipt {
                number,
                matched,
                acked,
                expired,
                dropped,
            } => write!(
                f,
                "receipt for #{number}: matched {matched}, acked {acked}, expired {expired}, dropped {dropped}"
            ),
            Self::Subscribe {
                subscription,
                pattern,
                group,
                unordered,
            } => {
                let order = if *unordered { " in any order" } else { "" };
                write!(f, "subscribes ({subscription}) to {pattern}{order}")?;
                group.map_or(Ok(()), |group| write!(f, " in group {group}"))
            }
            Self::Subscribed { subscription } => write!(f, "is subscribed ({subscription})"),
            Self::Delivered {
                subscription,
                publisher,
                epoch,
                topic,
                sequence,
                by,
                number,
                again,
            } => {
                let repeated = if *again { ", again" } else { "" };
                write!(
                    f,
                    "gets ({subscription}) #{number} of {by} on {topic}: sequence {sequence} of {publisher:.8} in epoch {epoch}{repeated}"
                )
            }
            Self::Gap {
                subscription,
                publisher,
                epoch,
                topic,
                from,
                to,
                cause,
            } => {
                let to = to.map_or_else(|| "?".to_owned(), |to| to.to_string());
                write!(
                    f,
                    "is told ({subscription}) that {from}..{to} on {topic} of {publisher:.8} in epoch {epoch} are missing: {cause}"
                )
            }
            Self::Lagged {
                subscription,
                count,
            } => write!(
                f,
                "is told ({subscription}) that {count} were dropped, not which"
            ),
            Self::Unsubscribe { subscription } => write!(f, "unsubscribes ({subscription})"),
            Self::Call {
                number,
                deadline_ms,
                ..
            } => {
                write!(f, "calls (#{number}) with {deadline_ms} ms of time")
            }
            Self::Cancel { number } => write!(f, "cancels call #{number}"),
            Self::Answered { number, by, of } => {
                write!(
                    f,
                    "call #{number} answered with the result of #{of} of {by}"
                )
            }
            Self::Failed { number, code } => write!(f, "call #{number} failed with {code:#04x}"),
            Self::Begun { call, by, number } => write!(f, "runs {call:.12}: #{number} of {by}"),
            Self::Ended { call } => write!(f, "has run {call:.12}"),
            Self::Stopped { call } => write!(f, "gives up {call:.12}"),
            Self::Down { node } => write!(f, "{node:.12} leaves"),
            Self::Up { node, .. } => write!(f, "{node:.12} serves"),
            Self::Keeps { node } => write!(f, "{node:.12} keeps what others accepted"),
            Self::Killed { who } => write!(f, "{who:.12} was killed"),
            Self::Broken { what } => write!(f, "broken: {what}"),
            Self::Mended { what } => write!(f, "mended: {what}"),
            Self::Quiet => f.write_str("nothing moves any more"),
        }
    }
}
