//! The archive thread.

use super::FULL_DISK_RETRY;
use crate::engine::{ArchiveWork, Archived, Event, ExecutorWork};
use crate::sim::event::Step;
use crate::sim::simulated::{Checked, Simulated, Watch as _};
use crate::sim::trace::TraceKind;
use crate::sim::world::World;

impl<P: Simulated> World<P> {
    pub(super) fn give_archive(&mut self, n: usize, work: ArchiveWork) {
        self.replica(n).archive.push(work);
        self.poke_archive(n);
    }

    pub(super) fn poke_archive(&mut self, n: usize) {
        let replica = self.replica(n);
        if !std::mem::replace(&mut replica.archiving, true) {
            let delay = self.handover.between(20, self.piece_delay);
            self.later(n, delay, Step::Archive);
        }
    }

    pub(super) fn archive(&mut self, n: usize) -> Checked {
        if self.strikes(n) {
            return Ok(());
        }
        let archived = match self.replica(n).archive.step() {
            Ok(archived) => archived,
            Err(error) => return self.disk_failed(n, &error),
        };
        let replica = self.replica(n);
        replica.archiving = false;
        let idle = replica.archive.is_idle();
        if let Some(archived) = archived {
            self.archived(n, archived);
        }
        if !idle {
            self.poke_archive(n);
        }
        Ok(())
    }

    pub(super) fn archived(&mut self, n: usize, archived: Archived) {
        let id = self.nodes[n].id;
        match archived {
            Archived::Saved(meta) => {
                self.stats.snapshots += 1;
                if !self.nodes[n].lies {
                    self.watch.snapshot(id, &meta);
                }
                self.tell(n, TraceKind::Snapshot, || format!("snapshot of index {} is durable", meta.index));
                self.report(n, Event::Saved(meta));
            }
            Archived::Piece(piece) => self.report(n, Event::Piece(piece)),
            Archived::Progress(progress) => self.report(n, Event::Install(progress)),
            Archived::Received { meta, store, repair } => {
                if !self.nodes[n].lies {
                    self.watch.snapshot(id, &meta);
                }
                self.tell(n, TraceKind::Snapshot, || {
                    format!("received the snapshot of index {}", meta.index)
                });
                self.give_store(n, ExecutorWork::Replace { meta, store, repair });
            }
            Archived::Full => self.later(n, FULL_DISK_RETRY, Step::Retry),
        }
    }
}
