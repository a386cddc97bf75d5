//! Bytes that nobody looks at: one buffer a thread, so that a tunnel's memory is its sockets alone.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;

/// Bytes moved at once.
const ROOM: usize = 256 * 1024;

static SENT: [u8; ROOM] = [b'.'; ROOM];

thread_local! {
    static TAKEN: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
}

/// Reads so many bytes, and forgets them.
pub(crate) async fn take<S: AsyncRead + Unpin>(stream: &mut S, mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let read = std::future::poll_fn(|context| {
            TAKEN.with_borrow_mut(|room| {
                let most = room.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
                let mut room = ReadBuf::new(room.get_mut(..most).unwrap_or_default());
                ready!(Pin::new(&mut *stream).poll_read(context, &mut room))?;
                std::task::Poll::Ready(io::Result::Ok(room.filled().len()))
            })
        });
        match read.await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes -= read as u64,
        }
    }
    Ok(())
}

/// Writes so many bytes.
pub(crate) async fn give<S: AsyncWrite + Unpin>(stream: &mut S, mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let most = ROOM.min(usize::try_from(bytes).unwrap_or(usize::MAX));
        stream.write_all(SENT.get(..most).unwrap_or_default()).await?;
        bytes -= most as u64;
    }
    Ok(())
}
