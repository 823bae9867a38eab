//! CPUs: which this thread may run on, pinning it to one, and how much of them the cgroup grants.

use std::cell::Cell;
use std::path::Path;
use std::{fs, io, mem};

/// One word of a CPU mask, as the kernel lays it out.
type Word = libc::c_ulong;
const WORD_BITS: usize = Word::BITS as usize;

/// A mask of 1,024 CPUs, which is what the C library's own type has room for.
const MASK_WORDS_FIRST: usize = 1024 / WORD_BITS;
/// A mask of 2^20 CPUs. No kernel is built for that many.
const MASK_WORDS_MAX: usize = (1 << 20) / WORD_BITS;

/// The CPUs this thread may run on, in ascending order. Never empty.
///
/// # Errors
/// What `sched_getaffinity(2)` reports, except that the mask is too small: that one grows.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mut mask: Vec<Word> = vec![0; MASK_WORDS_FIRST];
    loop {
        let bytes = mem::size_of_val(mask.as_slice());
        // SAFETY: the pointer and the length in bytes describe the mask, which outlives the call.
        let failed = unsafe { libc::sched_getaffinity(0, bytes, mask.as_mut_ptr().cast()) } != 0;
        if !failed {
            return Ok(cpus_of(&mask));
        }
        let error = io::Error::last_os_error();
        // EINVAL: the kernel has more CPUs than the mask has bits.
        if error.raw_os_error() != Some(libc::EINVAL) || mask.len() >= MASK_WORDS_MAX {
            return Err(error);
        }
        mask.resize(mask.len() * 2, 0);
    }
}

/// Pins this thread to one CPU.
///
/// # Errors
/// `EINVAL` where the CPU does not exist or the cpuset does not allow it.
pub(crate) fn pin_to(cpu: usize) -> io::Result<()> {
    let before = allowed_cpus()?;
    allow(&[cpu])?;
    let mut mask = [0; MASK_WORDS_FIRST];
    // A child's mask is a courtesy: CPUs beyond the first 1,024 are left out of it.
    for cpu in before.into_iter().filter(|cpu| cpu / WORD_BITS < MASK_WORDS_FIRST) {
        mask[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
    }
    BEFORE.set(mask);
    Ok(())
}

/// Finds out whether this thread may be pinned, by giving it the CPUs that it has.
///
/// # Errors
/// What `sched_setaffinity(2)` reports: a filter may refuse it and let the question for CPUs pass.
pub(crate) fn check_pinning(allowed: Vec<usize>) -> io::Result<Vec<usize>> {
    allow(&allowed)?;
    Ok(allowed)
}

/// The CPUs that a thread had, to be given to it again, or to another thread.
pub(crate) struct Cpus {
    cpus: Vec<usize>,
}

impl Cpus {
    pub(crate) fn of_this_thread() -> Self {
        // Where they cannot be read, nothing can be pinned either.
        Cpus { cpus: allowed_cpus().unwrap_or_default() }
    }

    /// Those of this thread; if it is pinned, those that it had before.
    pub(crate) fn of_this_thread_unpinned() -> Self {
        let before = BEFORE.get();
        if before == [0; MASK_WORDS_FIRST] {
            return Cpus::of_this_thread();
        }
        Cpus { cpus: cpus_of(&before) }
    }

    pub(crate) fn count(&self) -> usize {
        self.cpus.len()
    }

    /// Lets this thread run on all of them.
    pub(crate) fn give_to_this_thread(&self) {
        BEFORE.set([0; MASK_WORDS_FIRST]);
        if !self.cpus.is_empty() {
            let _ = allow(&self.cpus);
        }
    }
}

thread_local! {
    /// The CPUs that this thread had before it was pinned, all zero while it is not. Without a
    /// destructor and in place, so that a child that was just forked can read it.
    static BEFORE: Cell<[Word; MASK_WORDS_FIRST]> = const { Cell::new([0; MASK_WORDS_FIRST]) };
}

/// How many CPUs the program may use at a time: this thread's, or those it had before it was pinned, and
/// no more than the cgroup grants.
#[cfg(feature = "process-pool")]
pub(crate) fn parallelism() -> usize {
    let before = BEFORE.get().iter().map(|word| word.count_ones() as usize).sum();
    if before == 0 {
        return std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    }
    cpu_quota().map_or(before, |quota| before.min(quota.ceil().max(1.0) as usize))
}

/// Gives a child that was forked on a pinned thread the CPUs that the thread had before. Makes one
/// system call and nothing else, as it must between fork and exec.
pub(crate) fn unpin_forked_child() {
    let before = BEFORE.get();
    if before != [0; MASK_WORDS_FIRST] {
        // SAFETY: the pointer and the length in bytes describe the mask, which outlives the call.
        unsafe { libc::sched_setaffinity(0, mem::size_of_val(&before), before.as_ptr().cast()) };
    }
}

/// Gives this thread back the CPUs that it had, when dropped.
pub(crate) struct Restore(Cpus);

impl Restore {
    pub(crate) fn of_this_thread() -> Self {
        Restore(Cpus::of_this_thread())
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        self.0.give_to_this_thread();
    }
}

/// Lets this thread run on these CPUs and no others.
fn allow(cpus: &[usize]) -> io::Result<()> {
    let last = cpus.iter().copied().max().unwrap_or(0);
    let mut mask: Vec<Word> = vec![0; (last / WORD_BITS + 1).max(MASK_WORDS_FIRST)];
    for cpu in cpus {
        mask[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
    }
    let bytes = mem::size_of_val(mask.as_slice());
    // SAFETY: the pointer and the length in bytes describe the mask, which outlives the call.
    if unsafe { libc::sched_setaffinity(0, bytes, mask.as_ptr().cast()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// How many CPUs' worth of time the cgroup of this process grants: the least of its own quota and its
/// ancestors'. `None` means without a quota, or that none could be read.
///
/// It is for a warning only: threads are placed by [`allowed_cpus`].
pub(crate) fn cpu_quota() -> Option<f64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    quota_of(&membership, Path::new("/sys/fs/cgroup"))
}

fn cpus_of(mask: &[Word]) -> Vec<usize> {
    let bits = (0..mask.len() * WORD_BITS).filter(|&cpu| is_set(mask, cpu));
    bits.collect()
}

fn is_set(mask: &[Word], cpu: usize) -> bool {
    mask[cpu / WORD_BITS] & (1 << (cpu % WORD_BITS)) != 0
}

/// `membership` has lines `hierarchy:controllers:path`; version 2 is the one without controllers.
fn quota_of(membership: &str, mount: &Path) -> Option<f64> {
    let quotas = membership.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        if controllers.is_empty() {
            return least(mount, path, quota_v2);
        }
        controllers.split(',').any(|controller| controller == "cpu").then_some(())?;
        least(&mount.join("cpu"), path, quota_v1)
    });
    quotas.min_by(f64::total_cmp)
}

/// The least quota on the way from a group up to the root of its hierarchy. In a container the path is
/// often the host's and does not exist below the mount; the way up leads to what does.
fn least(mount: &Path, path: &str, quota: fn(&Path) -> Option<f64>) -> Option<f64> {
    let group = Path::new(path.trim_start_matches('/'));
    group.ancestors().filter_map(|group| quota(&mount.join(group))).min_by(f64::total_cmp)
}

fn quota_v2(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    // A group without a quota says `max`, which is no number.
    ratio(quota, period)
}

fn quota_v1(group: &Path) -> Option<f64> {
    let quota = fs::read_to_string(group.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?;
    // A group without a quota says -1.
    ratio(&quota, &period)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let quota: u64 = quota.trim().parse().ok()?;
    let period: u64 = period.trim().parse().ok()?;
    (period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::thread;

    #[test]
    fn a_thread_pinned_to_a_cpu_may_run_only_there() {
        let allowed = allowed_cpus().expect("the mask can be read");
        let last = *allowed.last().expect("a running thread has a CPU");
        // A thread of its own: the harness's threads stay where they are.
        let pinned = thread::spawn(move || {
            pin_to(last).expect("an allowed CPU may be chosen");
            allowed_cpus().expect("the mask can be read")
        });
        assert_eq!(pinned.join().expect("the thread ends"), [last]);
        assert_eq!(allowed_cpus().expect("the mask can be read"), allowed);
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error_beyond_1024_too() {
        for cpu in [1023, 5000] {
            let error = pin_to(cpu).expect_err("no machine of the tests has that many");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn every_bit_of_a_mask_is_a_cpu() {
        let mut mask = vec![0; 40];
        mask[0] = 0b101;
        mask[39] = 1 << 63;
        assert_eq!(cpus_of(&mask), [0, 2, 40 * 64 - 1]);
    }

    #[test]
    fn the_least_quota_of_the_ancestors_holds() {
        let root = Folder::new("v2");
        root.write("cpu.max", "400000 100000\n");
        root.write("a/cpu.max", "150000 100000\n");
        root.write("a/b/cpu.max", "max 100000\n");
        assert_eq!(quota_of("0::/a/b\n", &root.0), Some(1.5));
        assert_eq!(quota_of("0::/elsewhere\n", &root.0), Some(4.0));
    }

    #[test]
    fn version_1_has_its_quota_in_two_files() {
        let root = Folder::new("v1");
        root.write("cpu/a/cpu.cfs_quota_us", "50000\n");
        root.write("cpu/a/cpu.cfs_period_us", "100000\n");
        root.write("cpu/cpu.cfs_quota_us", "-1\n");
        root.write("cpu/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota_of("4:memory:/a\n3:cpu,cpuacct:/a\n", &root.0), Some(0.5));
        assert_eq!(quota_of("3:cpuset:/a\n", &root.0), None);
    }

    #[test]
    fn no_quota_is_none() {
        let root = Folder::new("none");
        assert_eq!(quota_of("0::/\n", &root.0), None);
        assert_eq!(quota_of("nonsense", &root.0), None);
    }

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("corering-affinity-{name}-{}", std::process::id());
            Folder(std::env::temp_dir().join(name))
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folder made");
            fs::write(path, text).expect("file written");
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
