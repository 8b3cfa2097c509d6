//! Simulates clients of a correct store, and of one that is broken on purpose.
//!
//! Every operation takes effect at a moment between its call and its return; what is unknown may do so much later, or
//! never. All is drawn from the seed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::check::{Consistency, Header, History, Operation, Outcome, Witness};
use crate::kv::{
    CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest,
    RangeRequest, Response, Store, TxnOp, TxnRequest,
};

/// What is wrong with the store, once in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    StaleRead,
    LostWrite,
    DoubleWrite,
    BlindSwap,
    WrongValue,
    SwappedWrites,
    RefusedButDone,
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) operations: usize,
    pub(super) clients: u64,
    pub(super) keys: u64,
    pub(super) unknown_percent: u64,
    pub(super) bug: Option<Bug>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 0, operations: 100, clients: 5, keys: 5, unknown_percent: 2, bug: None }
    }
}

/// A history, and whether the bug made it one that no correct store can have produced.
pub(super) struct Generated {
    pub(super) history: History,
    pub(super) harmed: bool,
    /// Who really made which revision.
    pub(super) witness: Witness,
}

struct World {
    plan: Plan,
    rng: ChaCha8Rng,
    store: Store,
    /// The store as it was, with the time from which on it was no longer.
    past: Vec<(u64, Store)>,
    /// What takes effect when; by time and number.
    pending: BTreeMap<(u64, usize), usize>,
    operations: Vec<Operation>,
    free_at: BTreeSet<(u64, u64)>,
    armed: bool,
    harmed: bool,
    witness: Witness,
}

/// Runs a plan.
pub(super) fn generate(plan: &Plan) -> Generated {
    let mut world = World {
        plan: *plan,
        rng: ChaCha8Rng::seed_from_u64(plan.seed),
        store: Store::new(),
        past: Vec::new(),
        pending: BTreeMap::new(),
        operations: Vec::new(),
        free_at: (1..=plan.clients).map(|client| (client, client)).collect(),
        armed: plan.bug.is_some(),
        harmed: false,
        witness: Witness::default(),
    };
    while world.operations.len() < plan.operations {
        let (now, client) = world.free_at.pop_first().expect("clients never end");
        world.take_effect_until(now);
        world.call(now, client);
    }
    world.take_effect_until(u64::MAX);
    let mut operations = world.operations;
    operations.sort_by_key(|operation| (operation.completed.unwrap_or(u64::MAX), operation.invoked));
    operations.iter_mut().zip(2..).for_each(|(operation, line)| operation.line = line);
    let header = Header { source: format!("generated from seed {}", plan.seed), ..Header::default() };
    if world.harmed && plan.bug == Some(Bug::SwappedWrites) {
        world.harmed = swap_two_writes(&mut operations);
    }
    let history = History { header, operations, facts: Vec::new() };
    Generated { history, harmed: world.harmed, witness: world.witness }
}

impl World {
    fn call(&mut self, now: u64, client: u64) {
        let number = self.operations.len();
        let (op, consistency) = self.draw(number);
        let effect = now + self.rng.random_range(1..200);
        let returns = effect + self.rng.random_range(0..200);
        let unknown = self.rng.random_range(0..100) < self.plan.unknown_percent;
        let mut operation = Operation {
            line: 0,
            client,
            session: None,
            op,
            consistency,
            node: Some(self.rng.random_range(1..=3)),
            invoked: now,
            completed: Some(returns),
            outcome: Outcome::Unknown("timed out".to_owned()),
        };
        if unknown {
            operation.completed = None;
            // Half are never executed, a few much later.
            let late = if self.rng.random_range(0..5) == 0 { 5_000 } else { 0 };
            if self.rng.random() {
                self.pending.insert((effect + late, number), number);
            }
        } else {
            self.pending.insert((effect, number), number);
        }
        self.operations.push(operation);
        self.free_at.insert((returns + self.rng.random_range(0..50), client));
    }

    fn draw(&mut self, number: usize) -> (Op, Consistency) {
        let key = Bytes::from(format!("k{}", self.rng.random_range(0..self.plan.keys)));
        // Some values repeat, so that they do not give their writers away.
        let value = match self.rng.random_range(0..4) {
            0 => Bytes::from_static(b"same"),
            _ => Bytes::from(format!("v{number}")),
        };
        let put = PutRequest { key: key.clone(), value, prev_kv: self.rng.random(), ..PutRequest::default() };
        let mut consistency = Consistency::Linearizable;
        let op = match self.rng.random_range(0..20) {
            0..=6 => Op::Put(put),
            7 => {
                Op::DeleteRange(DeleteRangeRequest { key, prev_kv: self.rng.random(), ..Default::default() })
            }
            8..=10 => self.swap(put),
            11 => Op::Range(RangeRequest {
                key: Bytes::from_static(b"k"),
                range_end: Bytes::from_static(b"l"),
                ..Default::default()
            }),
            12 => {
                let revision = self.rng.random_range(1..=self.store.revision());
                Op::Range(RangeRequest { key, revision, ..Default::default() })
            }
            13 if number.is_multiple_of(7) => {
                Op::Compact(CompactionRequest { revision: self.store.revision() - 1 })
            }
            13 if number % 7 < 3 => Op::Put(PutRequest { value: Bytes::new(), ignore_value: true, ..put }),
            13..=14 => {
                consistency = Consistency::Serializable;
                Op::Range(RangeRequest { key, ..Default::default() })
            }
            _ => Op::Range(RangeRequest { key, ..Default::default() }),
        };
        (op, consistency)
    }

    /// A put of a key that is as it was, or as it was a while ago.
    fn swap(&mut self, put: PutRequest) -> Op {
        let store = match self.past.last() {
            Some((_, past)) if self.rng.random_range(0..3) == 0 => past,
            _ => &self.store,
        };
        let request = RangeRequest { key: put.key.clone(), ..Default::default() };
        let revision = store.range(&request).unwrap().kvs.first().map_or(0, |kv| kv.mod_revision);
        let compare = Compare {
            result: CompareResult::Equal,
            target: CompareTarget::Mod(revision),
            key: put.key.clone(),
            range_end: Bytes::new(),
        };
        let failure = vec![TxnOp::Range(request)];
        Op::Txn(TxnRequest { compare: vec![compare], success: vec![TxnOp::Put(put)], failure })
    }

    fn take_effect_until(&mut self, now: u64) {
        while let Some((&(at, _), _)) = self.pending.first_key_value().filter(|((at, _), _)| *at <= now) {
            let (_, number) = self.pending.pop_first().expect("just seen");
            self.take_effect(at, number);
        }
    }

    fn take_effect(&mut self, at: u64, number: usize) {
        let operation = self.operations[number].clone();
        let before = self.store.clone();
        let reply = self.with_bug(&operation).unwrap_or_else(|| {
            let trailing = self.past.get(self.past.len().saturating_sub(1 + number % 3));
            match (operation.consistency, trailing) {
                (Consistency::Serializable, Some((_, store))) => {
                    Outcome::of(store.clone().execute(&operation.op))
                }
                _ => Outcome::of(self.store.execute(&operation.op)),
            }
        });
        if let Outcome::Ok(response) = &reply {
            self.witness.executed(operation.op.clone(), response);
        }
        if self.store.revision() > before.revision() {
            self.past.push((at, before));
        }
        if operation.completed.is_some() {
            self.operations[number].outcome = reply;
        }
    }

    /// What the broken store answers, if now is the time for its bug.
    fn with_bug(&mut self, operation: &Operation) -> Option<Outcome> {
        let bug = self
            .plan
            .bug
            .filter(|_| self.armed && self.store.revision() > 20 && operation.completed.is_some())?;
        let put = matches!(&operation.op, Op::Put(request) if !request.ignore_value);
        let plain_read = operation.consistency == Consistency::Linearizable
            && matches!(&operation.op, Op::Range(request) if request.revision == 0);
        let reply = match bug {
            Bug::StaleRead if plain_read => {
                let (_, stale) =
                    self.past.iter().rev().find(|(_, state)| self.is_outdated(state, operation))?;
                stale.clone().execute(&operation.op)
            }
            Bug::LostWrite if put => self.store.clone().execute(&operation.op),
            Bug::DoubleWrite if put => {
                self.store.execute(&operation.op).ok()?;
                self.store.execute(&operation.op)
            }
            Bug::BlindSwap => {
                let Op::Txn(request) = &operation.op else { return None };
                if self.store.clone().execute(&operation.op) == self.blind(request) {
                    return None;
                }
                let reply = self.blind(request);
                self.store.execute(&Op::Txn(TxnRequest { compare: Vec::new(), ..request.clone() })).ok()?;
                reply
            }
            Bug::WrongValue if plain_read => {
                let mut reply = self.store.execute(&operation.op);
                let Ok(Response::Range(found)) = &mut reply else { return None };
                found.kvs.first_mut()?.value = Bytes::from_static(b"never written");
                reply
            }
            Bug::SwappedWrites => {
                self.harmed = true;
                return None;
            }
            Bug::RefusedButDone if put => {
                self.store.execute(&operation.op).ok()?;
                (self.armed, self.harmed) = (false, true);
                return Some(Outcome::Refused("no leader".to_owned()));
            }
            _ => return None,
        };
        (self.armed, self.harmed) = (false, true);
        Some(Outcome::of(reply))
    }

    /// Whether a write that this state lacks had been acknowledged before the operation was called.
    fn is_outdated(&self, state: &Store, operation: &Operation) -> bool {
        self.operations.iter().any(|other| {
            let earlier = other.completed.is_some_and(|completed| completed < operation.invoked);
            let Outcome::Ok(Response::Put(reply)) = &other.outcome else { return false };
            earlier && reply.revision > state.revision()
        })
    }

    /// What the transaction would answer if it compared nothing.
    fn blind(&self, request: &TxnRequest) -> crate::kv::Reply {
        self.store.clone().execute(&Op::Txn(TxnRequest { compare: Vec::new(), ..request.clone() }))
    }
}

impl Outcome {
    fn of(reply: crate::kv::Reply) -> Self {
        match reply {
            Ok(response) => Self::Ok(response),
            Err(error) => Self::Error(error),
        }
    }
}

/// Swaps the revisions of two acknowledged puts, the later of which was called after the first had returned.
fn swap_two_writes(operations: &mut [Operation]) -> bool {
    let puts: Vec<(usize, i64)> = operations
        .iter()
        .enumerate()
        .filter_map(|(index, operation)| match &operation.outcome {
            Outcome::Ok(Response::Put(reply)) => Some((index, reply.revision)),
            _ => None,
        })
        .collect();
    for &(first, low) in &puts {
        for &(second, high) in &puts {
            if operations[first].completed.is_some_and(|completed| completed < operations[second].invoked) {
                for (index, revision) in [(first, high), (second, low)] {
                    if let Outcome::Ok(Response::Put(reply)) = &mut operations[index].outcome {
                        reply.revision = revision;
                    }
                }
                return true;
            }
        }
    }
    false
}
