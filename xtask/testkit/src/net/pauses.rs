//! Nodes that stand still for a while.

use std::time::Duration;

use super::NodeIndex;
use super::counters::count;
use super::event::Event;
use super::fabric::Fabric;

/// Nodes that pause and run in turn, all at the same times.
#[derive(Debug)]
pub(super) struct Schedule {
    nodes: Vec<NodeIndex>,
    pause: Duration,
    run: Duration,
    /// Whether it goes on.
    goes_on: bool,
}

impl Fabric {
    /// Stops the clock of a node.
    pub(super) fn pause(&mut self, node: NodeIndex) {
        let Some(place) = self
            .place_mut(node)
            .filter(|place| place.runs && !place.paused)
        else {
            return;
        };
        place.paused = true;
        count(&mut self.counters.pauses);
        self.review_node(node);
    }

    /// Lets a paused node go on: first with what fell due, then with what arrived.
    pub(super) fn resume(&mut self, node: NodeIndex) {
        let Some(place) = self.place_mut(node).filter(|place| place.paused) else {
            return;
        };
        place.paused = false;
        let held = std::mem::take(&mut place.held);
        self.arm(node);
        for event in held {
            self.queue.push(self.now, event);
        }
        self.review_node(node);
    }

    pub(super) fn schedule_pauses(&mut self, nodes: &[NodeIndex], pause: Duration, run: Duration) {
        let schedule = u32::try_from(self.schedules.len()).unwrap_or(u32::MAX);
        self.schedules.push(Schedule {
            nodes: nodes.to_vec(),
            pause,
            run,
            goes_on: true,
        });
        self.queue.push(self.now, Event::Pause { schedule });
    }

    pub(super) fn end_pauses(&mut self) {
        let mut nodes = Vec::new();
        for schedule in &mut self.schedules {
            schedule.goes_on = false;
            nodes.append(&mut schedule.nodes);
        }
        for node in nodes {
            self.resume(node);
        }
    }

    /// Pauses or resumes the nodes of a schedule, and says when the other is due.
    pub(super) fn turn(&mut self, schedule: u32, pause: bool) {
        let at = usize::try_from(schedule).unwrap_or(usize::MAX);
        let Some(found) = self.schedules.get_mut(at).filter(|found| found.goes_on) else {
            return;
        };
        let (lasts, next) = if pause {
            (found.pause, Event::Resume { schedule })
        } else {
            (found.run, Event::Pause { schedule })
        };
        let nodes = std::mem::take(&mut found.nodes);
        for node in &nodes {
            if pause {
                self.pause(*node);
            } else {
                self.resume(*node);
            }
        }
        if let Some(found) = self.schedules.get_mut(at) {
            found.nodes = nodes;
        }
        self.queue.push(self.now + lasts, next);
    }
}
