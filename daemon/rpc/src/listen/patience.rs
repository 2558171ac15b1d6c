//! A connection whose other side is waited for, but not for ever: until it has said what it speaks, and while it takes nothing
//! of what is sent. hyper does either for HTTP/1, and the first for HTTP/2 too, without an end.
//!
//! Slow is not still: a reader that takes a byte has as long again for the next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// HTTP/2's greeting (RFC 9113 §3.4); HTTP/1 sends as much in any request.
const GREETING_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

#[derive(Debug)]
pub(super) struct Patient<IO> {
    io: IO,
    missing_bytes: usize,
    greeting: Pin<Box<Sleep>>,
    reading: Duration,
    /// Runs while something waits to be sent that the other side does not take.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<IO> Patient<IO> {
    /// `greeting` is for the first bytes together, `reading` for each time that the other side takes nothing.
    pub(super) fn new(io: IO, greeting: Duration, reading: Duration) -> Self {
        let greeting = Box::pin(tokio::time::sleep(greeting));
        Self { io, missing_bytes: GREETING_BYTES, greeting, reading, stuck: None }
    }

    /// What became of sending, or that it takes too long.
    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stuck = None;
            return sent;
        }
        let reading = self.reading;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(reading)));
        match stuck.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Patient<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, to);
        if self.missing_bytes > 0 {
            self.missing_bytes = self.missing_bytes.saturating_sub(to.filled().len() - before);
            if self.missing_bytes > 0 && read.is_pending() && self.greeting.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Patient<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.sent(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_flush(cx);
        self.sent(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_shutdown(cx);
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const HOUR: Duration = Duration::from_secs(3600);
    const AT_ONCE: Duration = Duration::ZERO;

    /// The error that comes of waiting; one that does not come is a failed test, and not one that never ends.
    async fn given_up<T: std::fmt::Debug>(waiting: impl Future<Output = io::Result<T>>) -> io::ErrorKind {
        let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        waited.expect("the other side is waited for without an end").unwrap_err().kind()
    }

    #[tokio::test]
    async fn who_takes_nothing_is_not_waited_for() {
        let (ours, _theirs) = tokio::io::duplex(4);
        let mut patient = Patient::new(ours, HOUR, AT_ONCE);
        assert_eq!(patient.write(b"123456").await.unwrap(), 4, "there is room for so much");
        assert_eq!(given_up(patient.write(b"56")).await, io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_something_has_as_long_again() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut patient = Patient::new(ours, HOUR, HOUR);
        let reading = async {
            let mut byte = [0];
            for _ in 0..64 {
                theirs.read_exact(&mut byte).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let sending = async {
            for _ in 0..16 {
                patient.write_all(b"1234").await.unwrap();
            }
            // What was taken stopped the clock each time.
            patient.stuck.is_none()
        };
        let (is_free, ()) = tokio::join!(sending, reading);
        assert!(is_free);
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for_either() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut patient = Patient::new(ours, AT_ONCE, HOUR);
        theirs.write_all(b"PRI").await.unwrap();
        let mut bytes = [0; 64];
        assert_eq!(patient.read(&mut bytes).await.unwrap(), 3);
        assert_eq!(given_up(patient.read(&mut bytes)).await, io::ErrorKind::TimedOut);
    }
}
