//! Gateways on the stage.

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Stage;
use crate::client::Options;
use crate::cluster::{self, Error, gateway_door, serve_gateway};
use crate::config::ClusterConfig;
use crate::scenario::Failure;
use crate::scenario::load::Caller;

/// A gateway to the cluster, in this process. It ends when this is dropped.
pub struct Gateway {
    address: String,
    _serving: JoinSet<()>,
}

impl Stage {
    /// Opens a gateway, with a key of its own.
    pub async fn open_gateway(&self) -> Result<Gateway, Failure> {
        self.say("opening a gateway");
        self.serve_gateway().await.map_err(|error| Failure::new("a gateway can be opened", error.to_string()))
    }

    async fn serve_gateway(&self) -> cluster::Result<Gateway> {
        let dir = self.cluster.dir();
        let (door, claim) = gateway_door(&ClusterConfig::load(&dir.config())?, Some(dir))?;
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|error| Error::io("cannot listen", &error))?;
        let address = listener.local_addr().map_err(|error| Error::io("cannot listen", &error))?.to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _claim = claim;
            let served = serve_gateway(&door, Options::default(), listener, std::future::pending()).await;
            if let Err(error) = served {
                tracing::error!(%error, "a gateway ended");
            }
        });
        Ok(Gateway { address, _serving: serving })
    }

    /// Several callers of a gateway at once, each of which writes one key so many times. Says how often that was written in
    /// the end.
    pub async fn write_through(
        &mut self,
        gateway: &Gateway,
        callers: u64,
        (key, times): (&'static str, u64),
    ) -> Result<i64, Failure> {
        self.say(&format!("{callers} callers of a gateway write {key} {times} times each"));
        let failed = |why: String| Failure::new(format!("callers of a gateway write {key}"), why);
        let mut writing = JoinSet::new();
        for _ in 0..callers {
            self.next_caller += 1;
            let caller = Caller::of_gateway(self.next_caller, &gateway.address, &self.journal).await;
            let caller = caller.map_err(|error| failed(error.to_string()))?;
            writing.spawn(super::write_times(caller, key, times));
        }
        let mut version = 0;
        while let Some(written) = writing.join_next().await {
            let written = written.map_err(|error| failed(error.to_string()))?;
            version = version.max(written.map_err(|error| failed(error.to_string()))?);
        }
        Ok(version)
    }
}
