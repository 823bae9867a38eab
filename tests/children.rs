//! What processes and threads that a program starts inherit of what the runtime has changed. Each
//! test runs in a process of its own, and looks at `/proc/self/status` of another.

#[path = "common/child.rs"]
mod child;

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use child::Child;
use corering::{Builder, Runtime};

/// What of a process's status is asked for.
fn fields_of(status: &str) -> (String, String) {
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the kernel has the field").trim().to_owned()
    };
    (field("SigBlk:"), field("Cpus_allowed_list:"))
}

/// This thread's.
fn own_fields() -> (String, String) {
    fields_of(&std::fs::read_to_string("/proc/thread-self/status").expect("it is there"))
}

/// A process that tells its own status.
fn tells() -> Command {
    let mut command = Command::new("cat");
    command.arg("/proc/self/status").stdin(Stdio::null());
    command
}

fn told_by(mut command: Command) -> io::Result<(String, String)> {
    let output = command.output()?;
    Ok(fields_of(&child::text(&output.stdout)))
}

/// Runs a body on a pinned shard of each driver, in a child.
fn on_a_shard<F, Fut>(test: &str, configure: impl Fn(Builder) -> Builder, body: F)
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = io::Result<()>>,
{
    if !child::is_child() {
        return Child::of(test).passes();
    }
    for driver in corering::test_support::drivers() {
        let builder = configure(Runtime::builder().driver(driver));
        let ended = builder.run(|_| body()).expect("the driver was asked for");
        ended.into_iter().for_each(|ended| ended.expect("it is as the program's"));
    }
}

#[test]
fn child_of_spawn_blocking_has_the_mask_and_cpus_of_the_program() {
    let program = own_fields();
    let test = "child_of_spawn_blocking_has_the_mask_and_cpus_of_the_program";
    on_a_shard(
        test,
        |builder| builder,
        || async {
            let told = corering::spawn_blocking(|| told_by(tells())).await;
            assert_eq!(told.expect("it does not panic")?, program);
            let thread = corering::spawn_blocking(|| std::thread::spawn(own_fields).join());
            let thread = thread.await.expect("it does not panic");
            assert_eq!(thread.expect("it does not panic"), program);
            Ok(())
        },
    );
}

#[test]
fn child_of_spawn_blocking_is_ended_by_sigterm() {
    on_a_shard(
        "child_of_spawn_blocking_is_ended_by_sigterm",
        |builder| builder,
        || async {
            let ended = corering::spawn_blocking(|| {
                let mut sleeps = Command::new("sleep").arg("1000").spawn()?;
                // SAFETY: kill takes numbers, and the process is a child that was not waited for.
                assert_eq!(unsafe { libc::kill(sleeps.id() as i32, libc::SIGTERM) }, 0);
                sleeps.wait()
            });
            let ended = ended.await.expect("it does not panic")?;
            assert_eq!(ended.signal(), Some(libc::SIGTERM));
            Ok(())
        },
    );
}

#[test]
fn child_forked_on_a_pinned_shard_has_the_cpus_of_the_program() {
    let program = own_fields();
    let test = "child_forked_on_a_pinned_shard_has_the_cpus_of_the_program";
    on_a_shard(
        test,
        |builder| builder,
        || async {
            let mut forked = tells();
            // SAFETY: the closure does nothing; it lets the standard library fork.
            unsafe { forked.pre_exec(|| Ok(())) };
            assert_eq!(told_by(forked)?, program);
            Ok(())
        },
    );
    if child::is_child() {
        assert_eq!(own_fields(), program);
    }
}

#[test]
fn shards_that_are_not_pinned_leave_the_program_its_cpus() {
    let program = own_fields();
    let test = "shards_that_are_not_pinned_leave_the_program_its_cpus";
    on_a_shard(
        test,
        |builder| builder.pin(false),
        || async {
            assert_eq!(own_fields(), program);
            assert_eq!(told_by(tells())?, program);
            Ok(())
        },
    );
}

#[test]
fn descriptor_limit_is_raised_unless_the_builder_forbids_it() {
    let test = "descriptor_limit_is_raised_unless_the_builder_forbids_it";
    if !child::is_child() {
        return Child::of(test).passes();
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mut soft = |set: Option<u64>| {
        // SAFETY: the pointer leads to an rlimit that outlives the call.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
        if let Some(soft) = set {
            limit.rlim_cur = soft;
            // SAFETY: as above.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        }
        (limit.rlim_cur, limit.rlim_max)
    };
    soft(Some(200));
    drop(Runtime::builder().raise_descriptor_limit(false).build().expect("200 are enough"));
    let (low, hard) = soft(None);
    assert_eq!(low, 200);
    drop(Runtime::builder().build().expect("200 are enough"));
    assert_eq!(soft(None), (hard, hard));
}
