//! A client's or peer's connection that can be cut from this side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::authority::Authorities;

/// A connection that ends when the switch that it was made with is turned or dropped. The server runs each connection
/// in a task of its own, which outlives the server; without this a node that was killed within its process would still
/// talk.
pub(super) struct Connection {
    stream: TcpStream,
    authorities: Authorities,
    /// Ends when the connection is to be cut; `None` once it has.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Connection {
    /// Makes `stream` end with the switch.
    pub(super) fn new(stream: TcpStream, mut switch: watch::Receiver<bool>) -> Self {
        let cut = async move {
            // An error says that the switch is gone, and the server with it.
            let _ = switch.wait_for(|cut| *cut).await;
        };
        Self { stream, authorities: Authorities::new(), cut: Some(Box::pin(cut)) }
    }

    /// Looks at the switch, and asks to be woken when it is turned.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(cut) = &mut self.cut {
            if cut.as_mut().poll(context).is_pending() {
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
            ready @ Poll::Ready(_) => ready,
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
