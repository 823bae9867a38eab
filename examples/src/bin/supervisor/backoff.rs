//! How long to wait before a command is started again.

use std::time::Duration;

/// A wait that doubles from one early end to the next, up to a bound.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    /// Early ends in a row.
    early: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Backoff { first: first.min(most), most, early: 0 }
    }

    /// Returns how long to wait after a run that lasted `ran`. A run longer than the longest wait did not end
    /// early, so the waits begin again with the first.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran > self.most {
            self.early = 0;
            return self.first;
        }
        let factor = 2_u32.saturating_pow(self.early);
        self.early = self.early.saturating_add(1);
        self.first.saturating_mul(factor).min(self.most)
    }

    /// Early ends in a row, with the last.
    pub(crate) fn early(&self) -> u32 {
        self.early
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_long_run() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(1_000));
        let waits: Vec<_> = (0..6).map(|_| backoff.after(ms(1_000)).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.early(), 6);
        assert_eq!(backoff.after(ms(1_001)), ms(100));
        assert_eq!(backoff.early(), 0);
        for _ in 0..100 {
            assert!(backoff.after(ms(0)) <= ms(1_000));
        }
        assert_eq!(Backoff::new(ms(9), ms(5)).after(ms(0)), ms(5));
        assert_eq!(Backoff::new(ms(0), ms(5)).after(ms(0)), ms(0));
    }
}
