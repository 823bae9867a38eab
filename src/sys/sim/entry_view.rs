//! What the kernel sees of a submission queue entry.
//!
//! The fields of `io_uring::squeue::Entry` are private to its crate, since only a kernel reads
//! them. Here is one, so it has the layout of `struct io_uring_sqe` of its own, proven against the
//! crate's opcodes by the tests below.

use io_uring::squeue::Entry;

/// `struct io_uring_sqe`, each union under the name that this kernel uses.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct EntryView {
    pub(super) opcode: u8,
    /// `IOSQE_*`.
    pub(super) flags: u8,
    /// `IORING_RECV_MULTISHOT`, `IORING_ACCEPT_MULTISHOT` and their like.
    pub(super) ioprio: u16,
    /// A descriptor; the domain for a socket.
    pub(super) fd: i32,
    /// The length's address for an accept, the address length for a connect, the type for a
    /// socket, the count for a timeout.
    pub(super) offset: u64,
    /// Buffer, message header, socket address, timespec, or the user data to cancel.
    pub(super) addr: u64,
    pub(super) len: u32,
    /// The operation's own flags: `MSG_*`, poll events, accept flags, cancel flags.
    pub(super) operation_flags: u32,
    pub(super) user_data: u64,
    pub(super) buffer_group: u16,
    personality: u16,
    pub(super) file_index: u32,
    address_three: u64,
    padding: u64,
}

const _: () = assert!(size_of::<EntryView>() == 64 && size_of::<Entry>() == 64);
const _: () = assert!(align_of::<EntryView>() <= align_of::<Entry>());

impl EntryView {
    pub(super) fn of(entry: &Entry) -> Self {
        // SAFETY: both are 64 bytes of plain integers, every byte of an entry is initialised (the
        // crate starts from zeroes), and the view asks for no stricter alignment.
        unsafe { std::ptr::from_ref(entry).cast::<EntryView>().read() }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn has_priority(&self, flag: u16) -> bool {
        self.ioprio & flag != 0
    }

    pub(super) fn has_operation_flag(&self, flag: u32) -> bool {
        self.operation_flags & flag != 0
    }
}

// The kernel's own numbers, from include/uapi/linux/io_uring.h.
pub(super) const SQE_FIXED_FILE: u8 = 1 << 0;
pub(super) const SQE_DRAIN: u8 = 1 << 1;
pub(super) const SQE_LINK: u8 = 1 << 2;
pub(super) const SQE_HARDLINK: u8 = 1 << 3;
pub(super) const SQE_BUFFER_SELECT: u8 = 1 << 5;
pub(super) const SQE_SKIP_SUCCESS: u8 = 1 << 6;

pub(super) const CQE_F_BUFFER: u32 = 1 << 0;
pub(super) const CQE_F_MORE: u32 = 1 << 1;
pub(super) const CQE_F_SOCK_NONEMPTY: u32 = 1 << 2;
pub(super) const CQE_BUFFER_SHIFT: u32 = 16;

pub(super) const RECVSEND_POLL_FIRST: u16 = 1 << 0;
pub(super) const RECV_MULTISHOT: u16 = 1 << 1;
pub(super) const ACCEPT_MULTISHOT: u16 = 1 << 0;
pub(super) const POLL_ADD_MULTI: u32 = 1 << 0;

pub(super) const CANCEL_ALL: u32 = 1 << 0;
pub(super) const CANCEL_FD: u32 = 1 << 1;
pub(super) const CANCEL_ANY: u32 = 1 << 2;
pub(super) const CANCEL_USERDATA: u32 = 1 << 4;

#[cfg(test)]
mod tests {
    use super::*;
    use io_uring::{opcode, squeue, types};
    use std::ptr;

    #[test]
    fn receive_is_read_as_the_crate_built_it() {
        let buffer = ptr::without_provenance_mut::<u8>(0x1234_5678_9abc);
        let entry = opcode::Recv::new(types::Fd(7), buffer, 99)
            .flags(0x40)
            .buf_group(513)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(0xfeed_face_cafe_beef);
        let view = EntryView::of(&entry);
        assert_eq!(view.opcode, opcode::Recv::CODE);
        assert!(view.has(SQE_BUFFER_SELECT) && !view.has(SQE_LINK));
        assert_eq!((view.fd, view.addr, view.len), (7, 0x1234_5678_9abc, 99));
        assert_eq!((view.operation_flags, view.buffer_group), (0x40, 513));
        assert_eq!(view.user_data, 0xfeed_face_cafe_beef);
    }

    #[test]
    fn multishots_are_read_as_the_crate_built_them() {
        let receive = EntryView::of(&opcode::RecvMulti::new(types::Fd(3), 9).build());
        assert!(receive.has(SQE_BUFFER_SELECT) && receive.has_priority(RECV_MULTISHOT));
        assert_eq!(receive.buffer_group, 9);
        let accept = EntryView::of(&opcode::AcceptMulti::new(types::Fd(4)).build());
        assert_eq!(accept.opcode, opcode::Accept::CODE);
        assert!(accept.has_priority(ACCEPT_MULTISHOT));
        let poll = opcode::PollAdd::new(types::Fd(5), 0x2001).multi(true).build();
        let poll = EntryView::of(&poll);
        assert_eq!((poll.fd, poll.len, poll.operation_flags), (5, POLL_ADD_MULTI, 0x2001));
    }

    #[test]
    fn addresses_are_read_as_the_crate_built_them() {
        let address = ptr::without_provenance_mut::<libc::sockaddr>(0x1000);
        let length = ptr::without_provenance_mut::<libc::socklen_t>(0x2000);
        let accept = opcode::Accept::new(types::Fd(1), address, length).flags(5).build();
        let accept = EntryView::of(&accept);
        assert_eq!((accept.addr, accept.offset, accept.operation_flags), (0x1000, 0x2000, 5));
        let connect = EntryView::of(&opcode::Connect::new(types::Fd(2), address, 16).build());
        assert_eq!((connect.fd, connect.addr, connect.offset), (2, 0x1000, 16));
        let socket = EntryView::of(&opcode::Socket::new(2, 1, 6).build());
        assert_eq!((socket.fd, socket.offset, socket.len), (2, 1, 6));
    }

    #[test]
    fn cancels_are_read_as_the_crate_built_them() {
        let plain = EntryView::of(&opcode::AsyncCancel::new(42).build());
        assert_eq!((plain.fd, plain.addr, plain.operation_flags), (-1, 42, 0));
        let builder = types::CancelBuilder::fd(types::Fd(8)).all();
        let by_descriptor = EntryView::of(&opcode::AsyncCancel2::new(builder).build());
        assert_eq!(by_descriptor.fd, 8);
        assert_eq!(by_descriptor.operation_flags, CANCEL_FD | CANCEL_ALL);
        let any = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        assert_eq!(EntryView::of(&any).operation_flags, CANCEL_ANY);
    }

    #[test]
    fn fixed_files_and_skipped_completions_are_seen() {
        let entry = opcode::Shutdown::new(types::Fixed(3), 1).build();
        assert!(EntryView::of(&entry).has(SQE_FIXED_FILE));
        let close = EntryView::of(&opcode::Close::new(types::Fixed(3)).build());
        assert_eq!(close.file_index, 4);
        let nop = opcode::Nop::new().build().flags(squeue::Flags::SKIP_SUCCESS);
        assert!(EntryView::of(&nop).has(SQE_SKIP_SUCCESS));
    }
}
