//! What a trace tells of events.

use crate::consensus::{self, InstallProgress};
use crate::engine::Event;
use crate::sim::simulated::Simulated;
use crate::sim::world::World;

impl<P: Simulated> World<P> {
    pub(in crate::sim) fn tell(&mut self, n: usize, what: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let what = what();
            self.trace.push(self.now, &self.nodes[n].name, &what);
        }
    }

    pub(super) fn tell_event(&mut self, n: usize, event: &Event<P>) {
        let text = match event {
            Event::Message { from, message } => format!("← n{from} {}", P::describe(message.get())),
            Event::Propose(proposals) => {
                let ids: Vec<_> = proposals.iter().map(|proposal| proposal.id.to_string()).collect();
                format!("takes commands {}", ids.join(", "))
            }
            Event::Read(reads) => {
                let ids: Vec<_> = reads.iter().map(|(id, _)| id.to_string()).collect();
                format!("takes reads {}", ids.join(", "))
            }
            Event::Timeout => "timeout".to_owned(),
            Event::Durable(lsn) => format!("hears that record {lsn} is durable"),
            Event::Applied { index, .. } => format!("executed up to {index}"),
            Event::Recalled(requests) => {
                let ids: Vec<_> = requests.iter().map(|(id, _)| id.to_string()).collect();
                format!("hears what is known of commands {}", ids.join(", "))
            }
            Event::Checkpointed { index, digest } => {
                format!("checkpoint of index {index}: {}", digest.short())
            }
            Event::Saved(meta) => format!("hears that the snapshot of index {} is durable", meta.index),
            Event::Storage(room) => format!("the disk is {room:?}"),
            Event::Piece(piece) => format!("read piece {} of snapshot {}", piece.number, piece.meta.index),
            Event::Install(progress) => match progress {
                InstallProgress::Stored { index, next } => {
                    format!("stored snapshot {index} up to piece {next}")
                }
                InstallProgress::Done(meta) => format!("installed the snapshot of index {}", meta.index),
                InstallProgress::Failed { index, why } => format!("cannot install snapshot {index}: {why}"),
            },
            Event::Installed(installed) => {
                let again = if installed.repair { ", to repair the store" } else { "" };
                format!("installed the snapshot of index {}{again}", installed.meta.index)
            }
            Event::TransferLeadership(to) => format!("is to hand over to {to:?}"),
        };
        self.trace.push(self.now, &self.nodes[n].name, &text);
    }
}

/// An event of the protocol in words.
pub(super) fn describe_event(event: &consensus::Event) -> String {
    match event {
        consensus::Event::Became { role, epoch, why } => {
            format!("becomes {} of epoch {epoch}: {why}", role.name())
        }
        consensus::Event::Follows { leader, epoch } => format!("follows n{leader} in epoch {epoch}"),
        consensus::Event::Ignored { from, kind, why } => format!("ignores {kind} of n{from}: {why}"),
        consensus::Event::Noted { what, index } => format!("{what}, index {index}"),
    }
}
