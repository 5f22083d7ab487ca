//! The picture on a terminal.

use std::collections::VecDeque;
use std::io::{self, Write};

use serde_json::{Map, Value};

use super::super::exit::{Exit, Failed};
use super::super::output::escaped;
use super::super::table::{Table, grouped};
use super::rates::Rates;

/// The alternate screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left corner; the rest of a line; the rest of the screen.
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K\r\n";
const END_OF_SCREEN: &str = "\x1b[J";

/// How many looks a curve shows.
const CURVE: usize = 60;
/// The bars of a curve, from nothing to the most.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The most links that are shown; a terminal seldom has more lines.
const MAX_LINKS: usize = 24;

/// A terminal that shows rates, until it is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    title: String,
    events: VecDeque<u64>,
    calls: VecDeque<u64>,
}

impl Screen {
    pub(super) fn open(node: &Map<String, Value>) -> Result<Self, Failed> {
        let text = |name: &str| escaped(node.get(name).and_then(Value::as_str).unwrap_or("?"));
        let id = text("node");
        let short = id.get(..16).unwrap_or(&id);
        let title = format!("{} · node {short} · {}", text("realm"), text("listen"));
        put(ENTER)?;
        Ok(Self {
            title,
            events: VecDeque::new(),
            calls: VecDeque::new(),
        })
    }

    pub(super) fn draw(&mut self, rates: &Rates) -> Result<(), Failed> {
        remember(
            &mut self.events,
            rates.published.saturating_add(rates.received),
        );
        remember(
            &mut self.calls,
            rates.calls_made.saturating_add(rates.calls_received),
        );
        let mut text = String::from(HOME);
        for line in self.lines(rates) {
            text.push_str(&line);
            text.push_str(END_OF_LINE);
        }
        text.push_str(END_OF_SCREEN);
        put(&text)
    }

    fn lines(&self, rates: &Rates) -> Vec<String> {
        let mut lines = vec![
            format!("{} · up {}", self.title, span(rates.uptime_ms)),
            format!(
                "{} members alive, {} suspect · {} subscriptions · {} registrations · {} tasks · {} resident · {} queued",
                grouped(rates.members_alive),
                grouped(rates.members_suspect),
                grouped(rates.subscriptions),
                grouped(rates.registrations),
                grouped(rates.tasks),
                size(rates.resident_bytes),
                size(rates.queued_bytes),
            ),
            String::new(),
        ];
        let most = |values: &VecDeque<u64>| grouped(values.iter().copied().max().unwrap_or(0));
        lines.push(format!(
            "events/s  {}  {} published, {} received, {} delivered, {} forwarded",
            curve(&self.events),
            grouped(rates.published),
            grouped(rates.received),
            grouped(rates.delivered),
            grouped(rates.forwarded),
        ));
        lines.push(format!("          at most {}", most(&self.events)));
        lines.push(format!(
            "calls/s   {}  {} made, {} received, {} failed",
            curve(&self.calls),
            grouped(rates.calls_made),
            grouped(rates.calls_received),
            grouped(rates.calls_failed),
        ));
        lines.push(format!("          at most {}", most(&self.calls)));
        lines.push(format!("lost/s    {}", lost(rates)));
        lines.push(String::new());
        lines.extend(links(rates));
        lines
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone need not be put back.
        drop(put(LEAVE));
    }
}

fn put(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failed::new(
                Exit::Failure,
                format!("the terminal takes nothing: {error}"),
            )
        })
}

fn remember(values: &mut VecDeque<u64>, value: u64) {
    if values.len() >= CURVE {
        values.pop_front();
    }
    values.push_back(value);
}

/// A bar for each value, the highest as the largest of them; as wide as it will ever be.
fn curve(values: &VecDeque<u64>) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: &u64| {
        let full = u128::from(*value).saturating_mul(8);
        // What is not nothing is seen.
        let eighths = full.div_ceil(u128::from(most));
        let at = usize::try_from(eighths).unwrap_or(8);
        BARS.get(at).copied().unwrap_or('█')
    };
    let drawn: String = values.iter().map(bar).collect();
    format!("{}{drawn}", " ".repeat(CURVE.saturating_sub(values.len())))
}

/// Why events are lost, by the names of the counts.
fn lost(rates: &Rates) -> String {
    let losses = rates.counts.iter();
    let losses = losses.filter(|(name, _)| name.starts_with("dropped_") || *name == "missing");
    let losses: Vec<String> = losses
        .map(|(name, rate)| format!("{} {name}", grouped(*rate)))
        .collect();
    if losses.is_empty() {
        return "nothing".to_owned();
    }
    losses.join(", ")
}

fn links(rates: &Rates) -> Vec<String> {
    let mut table = Table::new(&[
        "link to",
        "role",
        "hops",
        "rtt",
        "sent/s",
        "received/s",
        "lost/s",
        "queued",
        "path",
    ]);
    for link in rates.links.iter().take(MAX_LINKS) {
        let node = escaped(&link.node);
        let hops = link
            .hops
            .map_or_else(|| "-".to_owned(), |hops| hops.to_string());
        table.row([
            node.get(..16).unwrap_or(&node).to_owned(),
            escaped(&link.role),
            hops,
            format!("{} µs", grouped(link.rtt_us)),
            size(link.sent_bytes),
            size(link.received_bytes),
            grouped(link.lost_packets),
            size(link.queued_bytes),
            escaped(&link.path),
        ]);
    }
    let mut lines = table.lines();
    let more = rates.links.len().saturating_sub(MAX_LINKS);
    if more > 0 {
        lines.push(format!("and {more} less busy: macula peers lists all"));
    }
    lines
}

/// A number of bytes with one digit behind the point.
fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    for name in ["B", "KiB", "MiB", "GiB"] {
        let next = unit.saturating_mul(1_024);
        if bytes < next || name == "GiB" {
            let tenths = u128::from(bytes)
                .saturating_mul(10)
                .checked_div(u128::from(unit))
                .unwrap_or(0);
            return if name == "B" {
                format!("{bytes} B")
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
        unit = next;
    }
    String::new()
}

/// A time in its two largest units.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} m {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_with_its_values_and_keeps_its_width() {
        let values: VecDeque<u64> = [0, 1, 500, 1_000].into();
        let drawn = curve(&values);
        assert_eq!(drawn.chars().count(), CURVE);
        assert!(drawn.ends_with(" ▁▄█"), "{drawn:?}");
        assert!(curve(&[0, 0].into()).trim().is_empty());
    }

    #[test]
    fn sizes_and_times_read_well() {
        let sizes = [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_536, "1.5 KiB"),
            (5 << 40, "5120.0 GiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        let spans = [
            (999, "0 s"),
            (61_000, "1 m 1 s"),
            (7_320_000, "2 h 2 m"),
            (90_000_000, "1 d 1 h"),
        ];
        for (ms, text) in spans {
            assert_eq!(span(ms), text);
        }
    }
}
