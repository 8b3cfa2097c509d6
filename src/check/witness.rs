//! An order that may have been.
//!
//! Whoever ran the store, as the simulator does, knows who made each revision. That is no evidence: what is judged is
//! what clients saw. But to find an order that fits is what makes judging hard, and to check one is easy. So a witness
//! says what to try first at a revision that no reply claims, and nothing more: a true one saves the search, a false or
//! partial one costs steps and never changes a verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::wrote;
use super::knowledge::Knowledge;
use super::run::Run;
use crate::kv::{Op, Response};

/// By revision: the operation that made it, as somebody says.
#[derive(Clone, Debug, Default)]
pub struct Witness(BTreeMap<i64, Op>);

impl Witness {
    /// `op` was executed, and answered `response`.
    pub fn executed(&mut self, op: Op, response: &Response) {
        if wrote(response) {
            self.0.insert(response.revision(), op);
        }
    }

    /// By revision without a known writer: the candidate that asks for what the witness says. Of several that ask for
    /// the same it is the latest that fits; whoever fits a gap in time fits every later one.
    pub(super) fn preferred(&self, run: &Run<'_>, knowledge: &Knowledge) -> BTreeMap<i64, usize> {
        let mut used = BTreeSet::new();
        let prefer = |gap: &i64| {
            let op = self.0.get(gap)?;
            let asks = |index: &&usize| run.operation(**index).op == *op && !used.contains(*index);
            let index = knowledge.candidates(*gap).iter().find(asks).copied()?;
            used.insert(index);
            Some((*gap, index))
        };
        knowledge.gaps.iter().filter_map(prefer).collect()
    }
}
