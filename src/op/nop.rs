//! Nothing: a trip to the kernel and back.
//!
//! `IORING_OP_NOP`, kernel 5.1; without a ring `getppid(2)`, which does as little.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Operation, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Nop;

// SAFETY: no pointer is passed.
unsafe impl Call for Nop {
    fn waits(&self) -> Waits<'_> {
        Waits::Nothing
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(libc::SYS_getppid, [])
    }
}

// SAFETY: as above.
unsafe impl Operation for Nop {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(opcode::Nop::new().build())
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_sockets::{drop_in_flight, nothing_is_in_flight};

    #[corering::test]
    async fn a_trip_to_the_kernel_comes_back() -> io::Result<()> {
        submit(Nop).await
    }

    #[corering::test(driver = "uring")]
    async fn dropped_in_flight_it_frees_its_slot() {
        drop_in_flight(submit(Nop)).await;
        nothing_is_in_flight().await;
        assert_eq!(crate::metrics().abandoned, 1);
    }
}
