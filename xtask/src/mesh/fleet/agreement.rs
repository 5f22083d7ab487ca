//! Waiting until all nodes hold the same of each other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Fleet;
use crate::failure::Failure;
use crate::mesh::journal::Standing;
use crate::mesh::until::{Seen, until};
use crate::mesh::world::ensure;

impl Fleet<'_> {
    /// Waits until all nodes that run, apart from those that stand still, hold exactly the running ones for alive, in
    /// their present runs, and everybody else for dead or gone. Returns how long that took.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`.
    pub(in crate::mesh) fn agree(&self, limit: Duration) -> Result<Duration, Failure> {
        let running: Vec<usize> = self.running();
        self.agree_among(&running, &running, limit)
    }

    /// Waits until each of `observers` holds exactly `members` for alive, in their present runs, and everybody else for
    /// dead or gone.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`.
    pub(in crate::mesh) fn agree_among(
        &self,
        observers: &[usize],
        members: &[usize],
        limit: Duration,
    ) -> Result<Duration, Failure> {
        let mut wanted = BTreeMap::new();
        for number in members {
            let node = self.node(*number)?;
            wanted.insert(node.id.as_str(), (node.name.as_str(), node.epoch));
        }
        let what = format!("{} nodes know {} as members", observers.len(), wanted.len());
        // Those who knew them at the last look are asked last: it is over when all do in one round.
        let mut turns: Vec<usize> = observers.to_vec();
        let (_, took) = until(limit, &what, || {
            for (turn, number) in turns.iter().enumerate() {
                if let Some(difference) = self.differs(*number, &wanted)? {
                    turns.rotate_left(turn);
                    return Ok(Seen::NotYet(difference));
                }
            }
            Ok(Seen::Yes(()))
        })?;
        Ok(took)
    }

    /// In what a node's members differ from those that are wanted.
    fn differs(
        &self,
        number: usize,
        wanted: &BTreeMap<&str, (&str, u64)>,
    ) -> Result<Option<String>, Failure> {
        let node = self.node(number)?;
        let found = node.members(self.world)?;
        let mut words = Vec::new();
        let mut alive: usize = 0;
        for member in &found {
            let known = wanted.get(member.node.as_str());
            let is_alive = member.state == "alive";
            if is_alive {
                alive = alive.saturating_add(1);
            }
            match known {
                Some((name, _epoch)) if !is_alive => words.push(format!("{name} {}", member.state)),
                Some((name, epoch)) if member.epoch != *epoch => {
                    words.push(format!("{name} in another run"));
                }
                None if is_alive || member.state == "suspect" => {
                    words.push(format!("{:.8} {}", member.node, member.state));
                }
                _ => {}
            }
        }
        let all = words.is_empty() && alive == wanted.len();
        let list = words.join(", ");
        Ok((!all).then(|| format!("{} knows {alive} alive; {list}", node.name)))
    }

    /// Waits until all nodes that run have taken a member for dead since a moment. Returns how long each of them took.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`.
    pub(in crate::mesh) fn noticed(
        &self,
        member: &str,
        since: Duration,
        limit: Duration,
    ) -> Result<Vec<Duration>, Failure> {
        self.told(&self.running(), member, Standing::Dead, since, limit)
    }

    /// Waits until a node that was started at a moment is a member for all others, and they for it. Returns how long
    /// it took until the last of the others held it for alive.
    ///
    /// # Errors
    ///
    /// When that took more than `limit`.
    pub(in crate::mesh) fn welcomed(
        &self,
        number: usize,
        since: Duration,
        limit: Duration,
    ) -> Result<Duration, Failure> {
        // Asking all of them takes its time on a busy machine; what counts is when it happened.
        self.agree(limit.saturating_mul(2))?;
        let (member, observers) = (self.id(number)?, self.others(number));
        let times = self.told(&observers, &member, Standing::Alive, since, limit)?;
        let took = times.into_iter().max().unwrap_or_default();
        ensure(took <= limit, || {
            let (took, limit) = (took.as_secs_f64(), limit.as_secs_f64());
            format!("n{number} was a member for all after {took:.1} s, not within {limit:.1} s")
        })?;
        Ok(took)
    }

    fn told(
        &self,
        observers: &[usize],
        member: &str,
        standing: Standing,
        since: Duration,
        limit: Duration,
    ) -> Result<Vec<Duration>, Failure> {
        let what = format!("{} nodes see {member:.8} {standing:?}", observers.len());
        let first = |observer: &usize| self.journal.first(*observer, member, standing, since);
        let (times, _took) = until(limit, &what, || {
            let times: Vec<Duration> = observers.iter().filter_map(first).collect();
            Ok(if times.len() == observers.len() {
                Seen::Yes(times)
            } else {
                Seen::NotYet(format!("{} do", times.len()))
            })
        })?;
        let took = |time: Duration| time.saturating_sub(since);
        Ok(times.into_iter().map(took).collect())
    }
}
