//! The bytes of one answer on their way into a partial. While one batch is hashed and written, on a thread for that, the
//! next one arrives, so that a transfer takes as long as the slower of the two and not as both. Two buffers take turns
//! from the first byte to the last: memory that is asked for anew comes as pages that the system clears one by one.

use crate::error::SyncError;
use crate::throttle::{Owed, Throttle};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use paintbox_hub::HubError;
use paintbox_store::{Partial, StoreError};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Bytes gathered before they are hashed and written; a transfer holds two of these.
const WRITE_BATCH_BYTES: usize = 1 << 20;
/// Room for the end of the piece that fills a batch: as much as an HTTP connection reads at once (hyper's limit of its
/// buffer is 408 KiB).
const OVERHANG_BYTES: usize = 448 << 10;
/// What a file is recognised by; more is never needed.
const SNIFFED_BYTES: usize = 512;

/// An answer's body that is being read.
pub(crate) struct Transfer {
    body: BoxStream<'static, Result<Bytes, HubError>>,
    throttles: Vec<Arc<Throttle>>,
    cancel: CancellationToken,
    /// Read, and not yet handed on.
    batch: Vec<u8>,
    /// Read since somebody asked.
    received_bytes: u64,
    ended: bool,
    /// What was read last from each of the buckets; nothing more is read before it is paid for.
    owed: Vec<Owed>,
}

/// Why no more bytes come.
pub(crate) enum Broken {
    Hub(HubError),
    Cancelled,
}

impl Broken {
    pub(crate) fn for_file(self, name: &str) -> SyncError {
        match self {
            Self::Hub(source) => SyncError::Fetch { file: name.to_owned(), source },
            Self::Cancelled => SyncError::Cancelled,
        }
    }
}

impl Transfer {
    pub(crate) fn new(
        body: BoxStream<'static, Result<Bytes, HubError>>,
        throttles: Vec<Arc<Throttle>>,
        cancel: CancellationToken,
    ) -> Self {
        Self { body, throttles, cancel, batch: new_buffer(), received_bytes: 0, ended: false, owed: Vec::new() }
    }

    /// The first bytes, as many as tell what the file is.
    pub(crate) async fn head(&mut self) -> Result<&[u8], Broken> {
        while self.batch.len() < SNIFFED_BYTES && !self.ended {
            self.read().await?;
        }
        Ok(&self.batch)
    }

    /// What came since this was asked last.
    pub(crate) fn received_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.received_bytes)
    }

    /// Writes the rest of the body, and what was read of it already, to the end of `partial`. `tell` hears what came
    /// since it heard last, and what is written now. What arrived before a break is written before the break is told,
    /// so that the next attempt goes on from there.
    pub(crate) async fn write_into(
        mut self,
        partial: Partial,
        name: &str,
        mut tell: impl FnMut(u64, u64),
    ) -> Result<Partial, SyncError> {
        let kept = |source: StoreError| SyncError::Store { file: name.to_owned(), source };
        let mut pen = Pen::Idle(Box::new(partial), new_buffer());
        let mut broken = None;
        loop {
            pen = match pen {
                Pen::Idle(partial, other) => {
                    tell(self.received_bytes(), partial.len());
                    let stopped = self.ended || broken.is_some();
                    if stopped && self.batch.is_empty() {
                        return match broken {
                            None => Ok(*partial),
                            Some(broken) => Err(Broken::for_file(broken, name)),
                        };
                    }
                    if stopped || self.batch.len() >= WRITE_BATCH_BYTES {
                        Pen::Busy(write(partial, std::mem::replace(&mut self.batch, other)))
                    } else {
                        broken = self.read().await.err();
                        Pen::Idle(partial, other)
                    }
                }
                Pen::Busy(mut writing) => {
                    let reads = !self.ended && broken.is_none() && self.batch.len() < WRITE_BATCH_BYTES;
                    tokio::select! {
                        written = &mut writing => {
                            let (partial, other) = written.map_err(|_| SyncError::WorkerLost)?.map_err(kept)?;
                            Pen::Idle(partial, other)
                        }
                        read = self.read(), if reads => {
                            broken = read.err();
                            Pen::Busy(writing)
                        }
                    }
                }
            };
        }
    }

    /// Reads one piece of the body, once those before it are paid for. Dropping this loses nothing.
    async fn read(&mut self) -> Result<(), Broken> {
        let Self { body, throttles, owed, cancel, .. } = self;
        let next = async {
            for (throttle, owed) in throttles.iter().zip(owed.iter()) {
                throttle.paid(owed).await;
            }
            body.next().await
        };
        let next = tokio::select! {
            next = next => next,
            () = cancel.cancelled() => return Err(Broken::Cancelled),
        };
        match next {
            Some(Ok(chunk)) => {
                let bytes = chunk.len() as u64;
                self.received_bytes += bytes;
                self.owed.clear();
                self.owed.extend(self.throttles.iter().map(|throttle| throttle.take(bytes)));
                self.batch.extend_from_slice(&chunk);
            }
            Some(Err(error)) => return Err(Broken::Hub(error)),
            None => self.ended = true,
        }
        Ok(())
    }
}

type Written = (Box<Partial>, Vec<u8>);

/// Who has the partial, and the buffer that is not being filled.
enum Pen {
    Idle(Box<Partial>, Vec<u8>),
    Busy(JoinHandle<Result<Written, StoreError>>),
}

/// Writes a batch, and gives its buffer back empty.
fn write(mut partial: Box<Partial>, mut batch: Vec<u8>) -> JoinHandle<Result<Written, StoreError>> {
    tokio::task::spawn_blocking(move || {
        partial.append(&batch)?;
        batch.clear();
        Ok((partial, batch))
    })
}

fn new_buffer() -> Vec<u8> {
    Vec::with_capacity(WRITE_BATCH_BYTES + OVERHANG_BYTES)
}
