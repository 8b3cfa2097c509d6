//! The replicas of a real cluster: [`ClientLinks`] as the driver wants them.

use std::time::Duration;

use tokio::time::sleep;

use super::driver::Replicas;
use crate::consensus::NodeId;
use crate::transport::{ClientLinks, Wire};

/// How often is looked for replicas that have been reached, while calls wait for that: little against the time that it
/// takes to have one command ordered.
const LOOK: Duration = Duration::from_millis(2);

impl<P: Wire> Replicas<P> for ClientLinks<P> {
    fn send(&self, to: NodeId, message: P::Message) {
        self.send(to, message);
    }

    fn reached(&self) -> usize {
        self.connected().len()
    }

    async fn changed(&self) {
        sleep(LOOK).await;
    }

    async fn drained(&self) {
        // Once more at the end, for what the streams have taken to be written.
        while self.is_sending() {
            sleep(LOOK).await;
        }
        sleep(LOOK).await;
    }
}
