//! Connections whose other side takes nothing: cut off.
//!
//! In: a listener. Out: the same listener, whose connections fail when bytes have waited too long to
//! be taken.
//!
//! # Invariants
//! - A connection that has nothing to send may be silent for ever; one whose bytes are not taken for
//!   `api.stall_ms` ends, and with it the answer, its buffers and what was read for it.
//!
//! Deliberately unknown here: HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A listener of connections that do not wait for ever.
pub struct Impatient<L> {
    listener: L,
    patience: Duration,
}

impl<L: Listener> Impatient<L> {
    /// Give each connection of a listener so much patience.
    pub fn over(listener: L, patience: Duration) -> Impatient<L> {
        Impatient { listener, patience }
    }
}

impl<L: Listener> Listener for Impatient<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.listener.accept().await;
        (Connection { io, patience: self.patience, waiting: None }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub struct Connection<I> {
    io: I,
    patience: Duration,
    /// Since bytes wait to be taken: when that has been too long.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<I> Connection<I> {
    fn judge<T>(
        &mut self,
        told: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if told.is_ready() {
            self.waiting = None;
            return told;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Connection<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Connection<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let told = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(told, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let told = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.judge(told, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let told = Pin::new(&mut self.io).poll_flush(context);
        self.judge(told, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let told = Pin::new(&mut self.io).poll_shutdown(context);
        self.judge(told, context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Takes nothing, and says nothing.
    struct Stuck;

    impl AsyncRead for Stuck {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_nobody_takes_is_given_up_and_silence_is_not() {
        let mut stuck = Connection { io: Stuck, patience: Duration::from_millis(5), waiting: None };
        let written = poll_fn(|context| Pin::new(&mut stuck).poll_write(context, b"x"));
        let written = tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);

        // Something was taken since: the next wait is a new one.
        poll_fn(|context| Pin::new(&mut stuck).poll_flush(context)).await.unwrap();
        let (mut bytes, mut context) = ([0], Context::from_waker(std::task::Waker::noop()));
        let mut buffer = ReadBuf::new(&mut bytes);
        assert!(Pin::new(&mut stuck).poll_read(&mut context, &mut buffer).is_pending());
        assert!(stuck.waiting.is_none(), "who only listens is not hurried");
    }
}
