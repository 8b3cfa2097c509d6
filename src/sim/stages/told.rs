//! What a trace tells of events.

use crate::consensus::{InstallProgress, Message as _, NodeId, Pressure};
use crate::engine::Event;
use crate::sim::faults::Fault;
use crate::sim::network::Fate;
use crate::sim::simulated::Simulated;
use crate::sim::trace::{TraceKind, TraceLine, marked};
use crate::sim::world::World;

impl<P: Simulated> World<P> {
    /// Tells what happened at a node.
    pub(in crate::sim) fn tell(&mut self, n: usize, kind: TraceKind, what: impl FnOnce() -> String) {
        if self.trace.is_on() {
            self.tell_message(n, kind, None, what());
        }
    }

    fn tell_message(&mut self, n: usize, kind: TraceKind, message: Option<&'static str>, text: String) {
        let node = &self.nodes[n];
        let (place, lies, node) = (node.name.clone(), node.lies, Some(node.id.0));
        self.trace.push(TraceLine { at_us: self.now, place, node, lies, kind, message, text });
    }

    /// Tells what happened elsewhere.
    pub(in crate::sim) fn tell_of(&mut self, place: String, kind: TraceKind, text: String) {
        let (at_us, node, lies, message) = (self.now, None, false, None);
        self.trace.push(TraceLine { at_us, place, node, lies, kind, message, text });
    }

    /// Tells that a message leaves a node, and what the network is about to do with it.
    pub(in crate::sim) fn tell_sent(&mut self, from: usize, to: usize, message: &P::Message, fate: Fate) {
        if self.trace.is_on() {
            let end = match fate {
                Fate::Lost(Fault::Isolate) => ", lost: the link is cut",
                Fate::Lost(_) => ", lost",
                Fate::At(_) => "",
                Fate::Twice(..) => ", twice",
            };
            let to = marked(&self.nodes[to].name, self.nodes[to].lies);
            let text = format!("→ {to} {}{end}", P::describe(message));
            self.tell_message(from, TraceKind::Send, Some(message.kind()), text);
        }
    }

    /// A node's name, marked if it lies.
    fn called(&self, id: NodeId) -> String {
        let lies = self.nodes.iter().any(|node| node.id == id && node.lies);
        marked(&format!("n{id}"), lies)
    }

    pub(super) fn tell_event(&mut self, n: usize, event: &Event<P>) {
        let message =
            if let Event::Message { message, .. } = event { Some(message.get().kind()) } else { None };
        let text = match event {
            Event::Message { from, message } => {
                format!("← {} {}", self.called(*from), P::describe(message.get()))
            }
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
            Event::Storage(room) => match room {
                Pressure::Ok => "the disk has room and keeps up".to_owned(),
                Pressure::Slow => "the disk does not keep up".to_owned(),
                Pressure::Full(what) => what.in_words().to_owned(),
            },
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
            Event::TransferLeadership(Some(to)) => format!("is to hand over to n{to}"),
            Event::TransferLeadership(None) => "is to hand over to whom it likes".to_owned(),
        };
        self.tell_message(n, kind_of(event), message, text);
    }
}

fn kind_of<P: Simulated>(event: &Event<P>) -> TraceKind {
    match event {
        Event::Message { .. } => TraceKind::Receive,
        Event::Propose(_) | Event::Read(_) | Event::TransferLeadership(_) => TraceKind::Request,
        Event::Timeout => TraceKind::Timer,
        Event::Durable(_) | Event::Storage(_) => TraceKind::Disk,
        Event::Applied { .. } | Event::Recalled(_) => TraceKind::Store,
        Event::Checkpointed { .. }
        | Event::Saved(_)
        | Event::Piece(_)
        | Event::Install(_)
        | Event::Installed(_) => TraceKind::Snapshot,
    }
}
