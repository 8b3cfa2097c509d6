//! A client's or peer's connection that can be cut from this side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::authority::Authorities;
use super::seats::Seat;

/// How long a connection may be silent that has not become HTTP/2: after that, HTTP/2's own pings find out whether anyone is
/// there.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection that ends when the switch that it was made with is turned or dropped. The server runs each connection
/// in a task of its own, which outlives the server; without this a node that was killed within its process would still
/// talk. It ends as well when it has to make way for another one, and when nothing comes of it.
pub(super) struct Connection {
    stream: TcpStream,
    seat: Seat,
    /// When the silence has lasted too long; `None` once the connection is HTTP/2.
    silence: Option<Pin<Box<Sleep>>>,
    authorities: Authorities,
    /// Ends when the connection is to be cut; `None` once it has.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Connection {
    /// Makes `stream` end with the switch.
    pub(super) fn new(stream: TcpStream, seat: Seat, mut switch: watch::Receiver<bool>) -> Self {
        let evicted = seat.evicted();
        let cut = async move {
            tokio::select! {
                // An error says that the switch is gone, and the server with it.
                _ = switch.wait_for(|cut| *cut) => {}
                () = evicted => {}
            }
        };
        let silence = Some(Box::pin(tokio::time::sleep(SILENCE)));
        Self { stream, seat, silence, authorities: Authorities::new(), cut: Some(Box::pin(cut)) }
    }

    /// Looks at the switch, and asks to be woken when it is turned.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_silent =
            self.silence.as_mut().is_some_and(|silence| silence.as_mut().poll(context).is_ready());
        if let Some(cut) = &mut self.cut {
            if !is_silent && cut.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.cut = None;
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl AsyncRead for Connection {
    /// The switch is looked at only when there is nothing to read: what arrives in bulk pays nothing for it, and every
    /// connection comes to a pause.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, authorities, .. } = &mut *self;
        match authorities.poll_read(stream, context, buf) {
            Poll::Pending => self.poll_cut(context),
            ready @ Poll::Ready(_) => {
                self.seat.heard();
                if self.authorities.is_http2() {
                    self.silence = None;
                } else if let Some(silence) = &mut self.silence {
                    silence.as_mut().reset(Instant::now() + SILENCE);
                }
                ready
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
