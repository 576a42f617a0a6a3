//! A connection whose peer must read: one that leaves an answer in the kernel's buffers for too long is closed.
//!
//! Without this a client that asks and does not read, or one that follows the log and is stopped, would hold its place for
//! ever. Knows no HTTP. Entry type: [`Patient`]. Invariant: a time runs only while the peer takes nothing, and begins anew with
//! whatever it takes; a stream that has nothing to say waits as long as it likes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::limits;

/// A stream with a bound on how long each write waits.
pub(super) struct Patient<S> {
    stream: S,
    longest: Duration,
    /// Runs while the peer takes nothing.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, longest: Duration) -> Self {
        Self {
            stream,
            longest,
            waiting: None,
        }
    }

    /// What became of a write, if it may go on waiting.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let longest = self.longest;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + longest)));
        match waiting.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                limits::hit("limits.admin.write_ms");
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read (limits.admin.write_ms)",
                )))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have nothing to flush, so this says nothing of what the peer has read.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LONGEST: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn who_reads_nothing_is_left() {
        let (near, _far) = duplex(16);
        let mut near = Patient::new(near, LONGEST);
        let began = Instant::now();
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= LONGEST);
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_all_of_it() {
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, LONGEST);
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 16];
            for _ in 0..8 {
                tokio::time::sleep(LONGEST / 4).await;
                far.read_exact(&mut buffer).await.unwrap();
            }
            far
        });
        // Longer in all than a single write may wait.
        near.write_all(&[7; 128]).await.unwrap();
        let mut far = reader.await.unwrap();
        // One who has nothing to write waits for ever.
        tokio::time::sleep(LONGEST * 2).await;
        near.write_all(b"on").await.unwrap();
        let mut buffer = [0; 2];
        far.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"on");
    }
}
