//! A node as a task of the supervisor's own runtime.

use tokio::sync::{mpsc, watch};

use super::{Member, MemberState, Order};
use crate::cluster::{Host, KillSignal, ProcessId};
use crate::node::NodeConfig;
use crate::registry::Entry;

/// Starts a node as a task.
pub fn spawn(entry: &'static Entry, config: NodeConfig) -> Member {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (report, state) = watch::channel(MemberState::Starting);
    tokio::spawn(async move {
        let why = match Host::start(entry, config).await {
            Ok(host) => watch_over(host, inbox, &report).await,
            Err(error) => error.message,
        };
        report.send_replace(MemberState::Ended(why));
    });
    Member { process: ProcessId::current(), orders, state }
}

/// Carries out orders until the node ends; answers why it did.
async fn watch_over(
    mut host: Host,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    report: &watch::Sender<MemberState>,
) -> String {
    report.send_replace(MemberState::Running);
    loop {
        tokio::select! {
            why = host.failed() => {
                host.kill().await;
                return why;
            }
            order = inbox.recv() => match order {
                Some(Order::Pause) => {
                    host.pause();
                    report.send_replace(MemberState::Paused);
                }
                Some(Order::Resume) => {
                    host.resume();
                    report.send_replace(MemberState::Running);
                }
                Some(Order::End(KillSignal::Term)) => {
                    host.resume();
                    host.stop().await;
                    return "stopped".to_owned();
                }
                // The supervisor has let go of it, which is the end of it.
                Some(Order::End(KillSignal::Kill)) | None => {
                    host.kill().await;
                    return "killed".to_owned();
                }
            },
        }
    }
}
