//! The supervisor's socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::files::remove_if_there;
use super::wire::{Call, VERSION};
use super::{ClusterDir, Error, Reply, Request, Result, Supervisor};

/// The longest request: a partition of the largest cluster is far shorter.
const MAX_REQUEST_BYTES: u64 = 64 << 10;

/// How long to wait after the system refused a client, and how often the log is told.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const COMPLAINT: Duration = Duration::from_secs(10);

/// A socket at a path, which is removed with it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`, in place of what a supervisor that was killed left there. The caller holds the lock.
    pub(super) fn bind(path: &Path) -> Result<Self> {
        remove_if_there(path)?;
        let doing = |error: std::io::Error| Error::io(format!("cannot listen on {}", path.display()), &error);
        let listener = UnixListener::bind(path).map_err(doing)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(doing)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers clients, for ever. `down` becomes true when the cluster is down.
    pub(super) async fn serve(&self, supervisor: &Arc<Supervisor>, down: &watch::Receiver<bool>) {
        let mut told = None;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(answer(stream, Arc::clone(supervisor), down.clone()));
                }
                Err(error) => {
                    if told.is_none_or(|told: Instant| told.elapsed() >= COMPLAINT) {
                        tracing::warn!("cannot accept clients: {error}");
                        told = Some(Instant::now());
                    }
                    // Out of file descriptors, most likely: others must close some first.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, supervisor: Arc<Supervisor>, down: watch::Receiver<bool>) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let read = BufReader::new(read.take(MAX_REQUEST_BYTES)).read_line(&mut line).await;
    if !read.is_ok_and(|length| length > 0) {
        return;
    }
    let (replies, outbox) = mpsc::unbounded_channel();
    // Apart from the connection: what was begun is carried through though the client goes away.
    tokio::spawn(async move {
        let done = match parse(&line, &supervisor.setup.dir) {
            Ok(request) => carry_out(&supervisor, request, &replies, down).await,
            Err(error) => Err(error),
        };
        let _ = replies.send(match done {
            Ok(()) => Reply::Done { info: supervisor.info() },
            Err(error) => Reply::Failed { error },
        });
    });
    write_all(outbox, &mut write).await;
}

async fn write_all(mut outbox: mpsc::UnboundedReceiver<Reply>, write: &mut OwnedWriteHalf) {
    while let Some(reply) = outbox.recv().await {
        let mut text = serde_json::to_string(&reply).unwrap_or_default();
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn parse(line: &str, dir: &ClusterDir) -> Result<Request> {
    let wrong = |error: serde_json::Error| Error::usage(format!("not a request to a supervisor: {error}"));
    let call: Call = serde_json::from_str(line).map_err(wrong)?;
    if call.version != VERSION {
        let versions =
            format!("the supervisor speaks version {VERSION} and this program version {}", call.version);
        let down = dir.command("cluster down");
        return Err(Error::failed(versions)
            .hint(format!("take the cluster down with the program that brought it up: {down}")));
    }
    serde_json::from_value(call.request).map_err(wrong)
}

async fn carry_out(
    supervisor: &Arc<Supervisor>,
    request: Request,
    replies: &mpsc::UnboundedSender<Reply>,
    mut down: watch::Receiver<bool>,
) -> Result<()> {
    match request {
        Request::Info => Ok(()),
        Request::Down => {
            supervisor.stop();
            // An error means that the supervisor has ended, and all with it.
            let _ = down.wait_for(|down| *down).await;
            Ok(())
        }
        change => {
            tracing::info!(request = ?change, "asked");
            let progress = |text: String| {
                let _ = replies.send(Reply::Progress { text });
            };
            supervisor.change(change, &progress).await
        }
    }
}
