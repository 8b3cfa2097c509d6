//! The network between the nodes: links that lose, delay, repeat and reorder, and partitions.

use super::dice::Dice;
use super::faults::Fault;
use super::schedule::Injection;

/// When a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Never.
    Lost(Fault),
    /// Then, in microseconds of the run.
    At(u64),
    /// Then, and then again.
    Twice(u64, u64),
}

/// All links, each in one direction.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    dice: Dice,
    /// The least and the greatest delay of a message on a healthy link, in microseconds.
    delay: (u64, u64),
    /// By how many partitions each link is cut, row by row of senders.
    cut: Vec<u16>,
    /// When the last message of each link arrives: a healthy link keeps the order.
    last: Vec<u64>,
    troubles: Vec<Trouble>,
    /// How many messages arrived late, and how many outside the order of their link.
    pub(super) delayed: u64,
    pub(super) reordered: u64,
}

/// A fault of some links.
#[derive(Debug)]
struct Trouble {
    number: usize,
    fault: Fault,
    links: Vec<bool>,
    /// How many messages in a thousand are struck.
    per_mille: u64,
    /// The greatest delay, in microseconds.
    most: u64,
    until: u64,
}

impl Network {
    pub(super) fn new(nodes: usize, mut dice: Dice) -> Self {
        let low = *dice.pick(&[50, 100, 200, 1000]);
        let high = low * dice.between(2, 6);
        Self {
            nodes,
            dice,
            delay: (low, high),
            cut: vec![0; nodes * nodes],
            last: vec![0; nodes * nodes],
            troubles: Vec::new(),
            delayed: 0,
            reordered: 0,
        }
    }

    /// Whether messages from one node reach another.
    pub(super) fn connects(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.nodes + to] == 0
    }

    /// Decides what becomes of a message.
    pub(super) fn route(&mut self, now: u64, from: usize, to: usize) -> Fate {
        let link = from * self.nodes + to;
        if self.cut[link] > 0 {
            return Fate::Lost(Fault::Isolate);
        }
        let mut at = now + self.dice.between(self.delay.0, self.delay.1);
        let (mut keeps_order, mut again) = (true, None);
        for trouble in &self.troubles {
            if !trouble.links[link] {
                continue;
            }
            if trouble.fault == Fault::Clog {
                at = at.max(trouble.until);
                self.delayed += 1;
                continue;
            }
            if !self.dice.chance(trouble.per_mille) {
                continue;
            }
            match trouble.fault {
                Fault::Loss => return Fate::Lost(Fault::Loss),
                Fault::Duplicate => again = Some(self.dice.between(1, trouble.most)),
                _ => {
                    at += self.dice.between(1, trouble.most);
                    keeps_order = false;
                    self.delayed += 1;
                }
            }
        }
        if keeps_order {
            at = at.max(self.last[link]);
            self.last[link] = at;
        } else {
            self.reordered += 1;
        }
        again.map_or(Fate::At(at), |later| Fate::Twice(at, at + later))
    }

    /// Begins a fault of the network.
    pub(super) fn begin(&mut self, injection: &Injection, node: usize) {
        let mut dice = Dice::new(injection.seed, 0);
        let links = self.links_of(injection.fault, node, &mut dice);
        let (per_mille, most_ms) = match injection.fault {
            Fault::Loss => (*dice.pick(&[20, 100, 300, 700]), 1),
            Fault::Duplicate => (*dice.pick(&[50, 200, 500]), *dice.pick(&[5, 100, 2000])),
            Fault::Reorder => (*dice.pick(&[200, 600]), *dice.pick(&[5, 20, 60])),
            _ => (*dice.pick(&[20, 100, 400]), *dice.pick(&[50, 400, 1000, 3000])),
        };
        if is_partition(injection.fault) {
            links.iter().zip(&mut self.cut).filter(|(struck, _)| **struck).for_each(|(_, cut)| *cut += 1);
        }
        self.troubles.push(Trouble {
            number: injection.number,
            fault: injection.fault,
            links,
            per_mille: if is_partition(injection.fault) { 0 } else { per_mille },
            most: most_ms * 1000,
            until: injection.at + injection.lasts,
        });
    }

    /// Ends the fault of that number.
    pub(super) fn end(&mut self, number: usize) {
        let (ended, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.troubles).into_iter().partition(|trouble| trouble.number == number);
        self.troubles = rest;
        for trouble in ended.iter().filter(|trouble| is_partition(trouble.fault)) {
            let struck = trouble.links.iter().zip(&mut self.cut).filter(|(struck, _)| **struck);
            struck.for_each(|(_, cut)| *cut -= 1);
        }
    }

    /// Ends all faults.
    pub(super) fn heal(&mut self) {
        self.troubles.clear();
        self.cut.fill(0);
    }

    /// Cuts a node off for good.
    pub(super) fn isolate(&mut self, node: usize) {
        for other in (0..self.nodes).filter(|other| *other != node) {
            self.cut[node * self.nodes + other] += 1;
            self.cut[other * self.nodes + node] += 1;
        }
    }

    /// Which links a fault strikes.
    fn links_of(&self, fault: Fault, node: usize, dice: &mut Dice) -> Vec<bool> {
        let mut order: Vec<usize> = (0..self.nodes).collect();
        dice.shuffle(&mut order);
        let mut place = vec![0; self.nodes];
        order.iter().enumerate().for_each(|(position, node)| place[*node] = position);
        let half = dice.between(1, (self.nodes as u64 - 1).max(1)) as usize;
        let towards = dice.chance(500);
        let struck = |from: usize, to: usize| match fault {
            Fault::Halves => (place[from] < half) != (place[to] < half),
            Fault::Isolate => from == node || to == node,
            Fault::Bridge => from != node && to != node && (place[from] < half) != (place[to] < half),
            Fault::Ring => {
                let apart = place[from].abs_diff(place[to]);
                apart != 1 && apart != self.nodes - 1
            }
            Fault::OneWay if towards => to == node && place[from] < half,
            Fault::OneWay => from == node && place[to] < half,
            Fault::SeesAll => from != node && to != node,
            Fault::Clog => from == node && place[to] == place[node].wrapping_add(1) % self.nodes,
            // Troubles of links strike all of them, or those of one node.
            _ => half.is_multiple_of(2) || from == node || to == node,
        };
        let links = (0..self.nodes).flat_map(|from| (0..self.nodes).map(move |to| (from, to)));
        links.map(|(from, to)| from != to && struck(from, to)).collect()
    }
}

/// Whether the fault cuts links.
pub(super) fn is_partition(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Halves | Fault::Isolate | Fault::Bridge | Fault::Ring | Fault::OneWay | Fault::SeesAll
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::schedule::Target;

    fn network(fault: Fault, node: usize) -> Network {
        let mut network = Network::new(5, Dice::new(1, 1));
        let injection =
            Injection { number: 0, at: 0, lasts: 1_000_000, fault, target: Target::Node(node), seed: 9 };
        network.begin(&injection, node);
        network
    }

    fn connected(network: &Network, node: usize) -> usize {
        (0..5).filter(|other| *other != node && network.connects(node, *other)).count()
    }

    #[test]
    fn partitions_have_their_shapes() {
        let isolated = network(Fault::Isolate, 2);
        assert_eq!((connected(&isolated, 2), connected(&isolated, 0)), (0, 3));
        let ring = network(Fault::Ring, 0);
        assert!((0..5).all(|node| connected(&ring, node) == 2));
        let hub = network(Fault::SeesAll, 3);
        assert_eq!((connected(&hub, 3), connected(&hub, 0)), (4, 1));
        let bridge = network(Fault::Bridge, 1);
        assert_eq!(connected(&bridge, 1), 4);
        assert!((0..5).any(|node| connected(&bridge, node) < 4));
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        for fault in [Fault::Halves, Fault::OneWay, Fault::Bridge] {
            let mut network = network(fault, 1);
            assert!((0..5).any(|node| connected(&network, node) < 4), "{fault:?}");
            network.end(0);
            assert!((0..5).all(|node| connected(&network, node) == 4), "{fault:?}");
        }
    }

    #[test]
    fn a_healthy_link_keeps_the_order_and_a_clogged_one_holds_back() {
        let mut healthy = Network::new(2, Dice::new(1, 1));
        let times: Vec<_> = (0..100).map(|now| healthy.route(now, 0, 1)).collect();
        let at =
            |fate: &Fate| if let Fate::At(at) = fate { *at } else { panic!("lost or doubled: {fate:?}") };
        assert!(times.windows(2).all(|pair| at(&pair[0]) <= at(&pair[1])));
        let mut clogged = Network::new(2, Dice::new(1, 1));
        let fault = Fault::Clog;
        let lasts = 500_000;
        clogged.begin(&Injection { number: 0, at: 0, lasts, fault, target: Target::Node(0), seed: 0 }, 0);
        assert!(at(&clogged.route(0, 0, 1)) >= lasts);
    }
}
