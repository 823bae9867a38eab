//! The outputs of this program, in which the lines of all commands meet.

use std::rc::Rc;

use corering::io::{Lend, OwnedWrite, Stderr, Stdout, stderr, stdout};
use corering::sync::Mutex;
use corering::task::CancelToken;
use corering::{select_biased, yield_now};
use futures_util::FutureExt;
use std::future::poll_fn;

use crate::lines::Lines;

/// Both outputs. One writer at a time has one, so that lines stay whole.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: Mutex<Stdout>,
    pub(crate) stderr: Mutex<Stderr>,
    /// Cancelled when one cannot be written any more.
    pub(crate) failed: CancelToken,
}

impl Output {
    pub(crate) fn new() -> Self {
        Output {
            stdout: Mutex::new(stdout()),
            stderr: Mutex::new(stderr()),
            failed: CancelToken::new(),
        }
    }

    /// Writes a message of this program.
    pub(crate) async fn say(self: Rc<Self>, message: String) {
        self.write(&self.stderr, format!("supervisor: {message}\n").into_bytes()).await;
    }

    async fn write<W: OwnedWrite>(&self, writer: &Mutex<W>, lines: Vec<u8>) {
        if !lines.is_empty() && writer.lock().await.write_all(lines).await.is_err() {
            self.failed.cancel();
        }
    }

    /// Passes on what a command writes, each line with its name, up to the end; or, once `ended` is
    /// cancelled, as much as has come: what the command has started may hold the pipe open for longer.
    pub(crate) async fn drain<R: Lend, W: OwnedWrite>(
        &self,
        name: &str,
        mut reader: R,
        writer: &Mutex<W>,
        ended: CancelToken,
    ) {
        let mut lines = Lines::new(name);
        let mut has_ended = false;
        loop {
            let mut receive = poll_fn(|cx| reader.poll_lend(cx)).fuse();
            let received = if has_ended {
                // Bytes that have already come are received at the first poll of a turn.
                yield_now().await;
                receive.now_or_never()
            } else {
                select_biased! {
                    received = receive => Some(received),
                    () = ended.cancelled().fuse() => None,
                }
            };
            match received {
                Some(Ok(bytes)) if !bytes.is_empty() => {
                    self.write(writer, lines.push(&bytes)).await
                }
                None if !has_ended => has_ended = true,
                _ => break,
            }
        }
        self.write(writer, lines.finish()).await;
    }
}
