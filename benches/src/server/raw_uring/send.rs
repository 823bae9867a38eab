//! Sends of the ring loop: echoes from the buffers they came in, pages from memory, and parts of a
//! file by a read that is linked to its send.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, squeue, types};

use super::{READ, SEND, Server};
use crate::server::site::Next;

/// A whole send, or an error: the kernel goes on by itself when the socket has room again.
const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
/// Bytes of a head and the part of a file that leave together.
const PAGE_BUFFER_BYTES: usize = 128 * 1024;

impl Server {
    /// Sends the first echo of the connection's queue, unless one is in flight.
    pub(super) fn send_echo(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if connection.is_sending {
            return Ok(());
        }
        let Some(piece) = connection.queue.front() else { return Ok(()) };
        let fd = types::Fd(connection.plain.stream.as_raw_fd());
        let (buffer, from, to) = (piece.buffer, piece.from, piece.to);
        connection.is_sending = true;
        let start = self.buffers.bytes(buffer, to as usize)[from as usize..].as_ptr();
        let entry = opcode::Send::new(fd, start, to - from).flags(FLAGS).build();
        self.push(&entry.user_data(SEND << 32 | index as u64))
    }

    /// Sends what is owed, unless something is in flight.
    pub(super) fn pay(&mut self, index: usize) -> io::Result<()> {
        let pages = self.shop.pages;
        let connection = &mut self.connections[index];
        if connection.is_sending {
            return Ok(());
        }
        let fd = types::Fd(connection.plain.stream.as_raw_fd());
        let user_data = SEND << 32 | index as u64;
        match pages.next(&connection.plain.owed) {
            None => {
                if connection.plain.owed.is_last() {
                    self.end(index)?;
                }
                self.settle(index)
            }
            Some(Next::Bytes(bytes)) => {
                connection.is_sending = true;
                let send = opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32).flags(FLAGS);
                self.push(&send.build().user_data(user_data))
            }
            Some(Next::Head(head)) => self.send_part(index, head, 0, pages.file_bytes()),
            Some(Next::File { offset, length }) => self.send_part(index, b"", offset, length),
        }
    }

    /// Reads a part of the file behind `head`, and sends both.
    fn send_part(
        &mut self,
        index: usize,
        head: &'static [u8],
        offset: u64,
        length: usize,
    ) -> io::Result<()> {
        let spare = self.page_buffers.pop();
        let file = self.shop.file.as_ref().expect("pages of a file have one").as_raw_fd();
        let connection = &mut self.connections[index];
        let buffer = connection.page_buffer.get_or_insert_with(|| {
            spare.unwrap_or_else(|| vec![0; PAGE_BUFFER_BYTES].into_boxed_slice())
        });
        buffer[..head.len()].copy_from_slice(head);
        let length = length.min(buffer.len() - head.len());
        let (start, end) = (buffer.as_mut_ptr(), head.len() + length);
        let fd = types::Fd(connection.plain.stream.as_raw_fd());
        connection.is_sending = true;
        connection.reading_bytes = length;
        let read = buffer[head.len()..].as_mut_ptr();
        let read = opcode::Read::new(types::Fd(file), read, length as u32)
            .offset(offset)
            .build()
            .flags(squeue::Flags::IO_LINK)
            .user_data(READ << 32 | index as u64);
        let send = opcode::Send::new(fd, start, end as u32).flags(FLAGS).build();
        self.push_linked(&[read, send.user_data(SEND << 32 | index as u64)])
    }

    /// A part of the file was read. When it is short the send is cancelled, which ends the
    /// connection: the file has become shorter than its page says.
    pub(super) fn read(&mut self, index: usize, result: i32) {
        let wanted = self.connections[index].reading_bytes;
        if usize::try_from(result) != Ok(wanted) {
            eprintln!("corering-bench: a read of {wanted} bytes of the file returned {result}");
        }
    }

    pub(super) fn sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        let pages = self.shop.pages;
        let connection = &mut self.connections[index];
        connection.is_sending = false;
        let page_buffer = connection.page_buffer.take();
        self.page_buffers.extend(page_buffer);
        let connection = &mut self.connections[index];
        if result <= 0 {
            self.end(index)?;
            return self.settle(index);
        }
        let Some(piece) = connection.queue.front_mut() else {
            pages.sent(&mut connection.plain.owed, result as usize);
            return self.pay(index);
        };
        piece.from += result.cast_unsigned();
        if piece.from < piece.to {
            return self.send_echo(index);
        }
        let buffer = piece.buffer;
        connection.queue.pop_front();
        self.give(buffer)?;
        self.send_echo(index)?;
        self.settle(index)
    }
}
