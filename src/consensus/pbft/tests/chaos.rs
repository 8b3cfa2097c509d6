//! Bad networks, crashes and restarts by seed. The simulator does more of this, with real stores and disks; this is close to
//! the code and quick.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::cluster::Cluster;

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Messages get lost, overtake each other and come twice; at most f replicas are down at a time.
fn run(size: u64, seed: u64) {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let mut cluster = Cluster::new(size);
    let (mut counter, mut down) = (0, None);
    for _ in 0..400 {
        if dice.one_in(4) && counter < 40 {
            counter += 1;
            let request = cluster.sign(counter, &format!("c{counter}"));
            let to = 1 + dice.below(size);
            cluster.send(to, &request);
        }
        for _ in 0..dice.below(40) {
            let under_way = cluster.network.len() as u64;
            if under_way == 0 {
                break;
            }
            let at = if dice.one_in(3) { dice.below(under_way) } else { 0 };
            let Some(envelope) = cluster.network.remove(at as usize) else { break };
            if dice.one_in(50) {
                let (from, to, message) = (envelope.from, envelope.to, envelope.message.clone());
                cluster.inject(from, to, message);
            }
            if !dice.one_in(12) {
                cluster.deliver(envelope);
            }
        }
        match down {
            None if size >= 4 && dice.one_in(25) => {
                let victim = 1 + dice.below(size);
                cluster.crash(victim);
                down = Some(victim);
            }
            Some(victim) if dice.one_in(12) => {
                cluster.restart(victim);
                down = None;
            }
            _ => {}
        }
        if dice.one_in(3) {
            cluster.tick(dice.below(60));
        }
    }
    if let Some(victim) = down {
        cluster.restart(victim);
    }
    for number in 1..=counter {
        let request = cluster.sign(number, &format!("c{number}"));
        cluster.send_to_all(&request);
    }
    // One may have left the view alone and wait for the others in the next one: it executes all the same.
    cluster.wait_until(&format!("the end of seed {seed} with {size} replicas"), |cluster| {
        let active = cluster.ids().iter().filter(|id| cluster.is_active(**id)).count();
        let done = |id: &u64| cluster.executed(*id).len() as u64 == counter;
        cluster.ids().iter().all(done) && active >= cluster.cast.quorum.quorum()
    });
    assert!((1..=counter).all(|number| cluster.answered(number) > (size as usize - 1) / 3));
    for id in cluster.ids() {
        assert_eq!(cluster.status(id).convicted, [], "all are honest: seed {seed} with {size} replicas");
    }
}

#[test]
fn a_bad_network_and_crashes_delay_and_never_contradict() {
    for seed in 0..60 {
        run(4, seed);
    }
    for seed in 0..8 {
        run(5, 1000 + seed);
        run(6, 2000 + seed);
        run(7, 3000 + seed);
    }
}

#[test]
fn equal_seeds_make_equal_runs() {
    let trace = |seed| {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        let mut cluster = Cluster::new(4);
        for counter in 1..=20 {
            let request = cluster.sign(counter, "x");
            cluster.send(1 + dice.below(4), &request);
            cluster.advance(dice.below(100));
        }
        (1..=4).map(|id| (cluster.status(id), cluster.node(id).store.digest())).collect::<Vec<_>>()
    };
    assert_eq!(trace(1), trace(1));
}
