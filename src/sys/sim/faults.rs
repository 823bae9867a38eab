//! Failures that a test asks for.

/// Makes one operation fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The opcode, for instance `io_uring::opcode::Accept::CODE`.
    pub(crate) operation: u8,
    /// Which one: 1 is the next operation of this opcode that would give a result. Each result of
    /// a multishot counts, and so does each direct call of the same name.
    pub(crate) nth: u64,
    /// The error, positive, for instance `libc::EMFILE`.
    pub(crate) errno: i32,
}

#[derive(Default)]
pub(super) struct Faults {
    told: Vec<Fault>,
    /// Of 1,000 enters, how many fail.
    pub(super) enters_per_mille: usize,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        assert!(fault.nth > 0, "the next operation is number 1");
        assert!(fault.errno > 0, "an errno is positive");
        self.told.push(fault);
    }

    /// An operation of this opcode is about to give a result. Returns the error if it must not.
    pub(super) fn strike(&mut self, operation: u8) -> Result<(), i32> {
        let mut struck = Ok(());
        self.told.retain_mut(|fault| {
            if fault.operation != operation {
                return true;
            }
            fault.nth -= 1;
            if fault.nth == 0 {
                struck = Err(fault.errno);
            }
            fault.nth > 0
        });
        struck
    }
}
