//! What is dropped, and when: no process that is to be killed goes on, and none stays as a zombie.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::process;
use std::rc::Rc;
use std::time::Duration;

use corering::process::{Child, Command};
use corering::{Runtime, spawn, spawn_blocking, yield_now};
use futures_util::poll;

use crate::{
    alone, alone_in_runtime, children_of, endless, id_of, is_over, is_reaped, reaper_runs, threads,
};
use crate::{net::until, until_now};

fn own_children() -> Vec<u32> {
    children_of(std::process::id())
}

#[test]
fn start_dropped_before_first_poll_starts_nothing() {
    alone_in_runtime("dropped::start_dropped_before_first_poll_starts_nothing", async || {
        let mut command = endless();
        drop(command.spawn());
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!(own_children(), [0; 0]);
        Ok(())
    });
}

#[test]
fn start_dropped_at_any_moment_leaves_no_process() {
    alone_in_runtime("dropped::start_dropped_at_any_moment_leaves_no_process", async || {
        let mut command = endless();
        command.kill_on_drop(true);
        for turns in 0..40 {
            {
                let mut spawn = pin!(command.spawn());
                if poll!(&mut spawn).is_pending() {
                    for _ in 0..turns * 50 {
                        yield_now().await;
                    }
                }
            }
            // The command can be changed and used again meanwhile.
            command.env("TURN", turns.to_string());
        }
        let mut child = command.spawn().await?;
        assert!(!is_over(id_of(&child)));
        child.kill().await
    });
}

#[test]
fn start_dropped_before_thread_begins_starts_nothing() {
    let test = "dropped::start_dropped_before_thread_begins_starts_nothing";
    alone(test, |driver| {
        let runtime = Runtime::builder().driver(driver).blocking_threads(1).build()?;
        runtime.block_on(async {
            let path = std::env::temp_dir().join(format!("corering-start-{}", std::process::id()));
            let (begin, may_begin) = std::sync::mpsc::channel::<()>();
            let busy = spawn_blocking(move || may_begin.recv());
            let mut command = Command::new("touch");
            command.arg(&path);
            {
                let mut start = pin!(command.spawn());
                assert!(poll!(&mut start).is_pending());
            }
            drop(begin);
            drop(busy.await);
            // The only thread has come to the start, and is past it.
            spawn_blocking(|| ()).await.expect("it does not panic");
            until(|| is_reaped(0)).await;
            assert!(!path.exists(), "it was started");
            io::Result::Ok(())
        })
    });
}

/// A program that begins once a byte is written, and is being started until then.
fn held_back() -> io::Result<(Command, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    let mut command = process::Command::new("sleep");
    let null = process::Stdio::null;
    command.arg("1000000").stdout(null()).stderr(null());
    // SAFETY: between fork and exec the closure makes a system call on a descriptor that it owns.
    unsafe { command.pre_exec(move || (&reader).read_exact(&mut [0])) };
    Ok((command.into(), writer))
}

#[test]
fn start_dropped_while_thread_makes_it_is_reaped_by_shard() {
    alone("dropped::start_dropped_while_thread_makes_it_is_reaped_by_shard", |driver| {
        let runtime = Runtime::builder().driver(driver).blocking_threads(1).build()?;
        runtime.block_on(async {
            let (mut command, mut begin) = held_back()?;
            let mut start = Box::pin(command.spawn());
            assert!(poll!(&mut start).is_pending());
            until(|| !own_children().is_empty()).await;
            let before = threads().len();
            drop(start);
            begin.write_all(b"x")?;
            // The only thread has come to this, and is past the start.
            spawn_blocking(|| ()).await.expect("it does not panic");
            assert_eq!(threads().len(), before, "the shard can reap it");
            kill(own_children()[0]);
            until(|| is_reaped(0)).await;
            Ok(())
        })
    });
}

#[test]
fn start_under_way_outlives_its_runtime_and_is_reaped() {
    alone("dropped::start_under_way_outlives_its_runtime_and_is_reaped", |driver| {
        let builder = Runtime::builder().driver(driver).shutdown_timeout(Duration::ZERO);
        let runtime = builder.build()?;
        let begin = runtime.block_on(async {
            let (mut command, begin) = held_back()?;
            command.kill_on_drop(true);
            spawn(async move { command.spawn().await.map(drop) });
            until(|| !own_children().is_empty()).await;
            io::Result::Ok(begin)
        })?;
        drop(runtime);
        (&begin).write_all(b"x")
    });
}

#[test]
fn start_done_and_never_polled_leaves_no_process() {
    alone_in_runtime("dropped::start_done_and_never_polled_leaves_no_process", async || {
        let mut command = endless();
        command.kill_on_drop(true);
        let mut start = Box::pin(command.spawn());
        assert!(poll!(&mut start).is_pending());
        until(|| !own_children().is_empty()).await;
        spawn_blocking(|| ()).await.expect("it does not panic");
        yield_now().await;
        drop(start);
        Ok(())
    });
}

#[test]
fn child_dropped_in_runtime_is_reaped_by_shard() {
    alone_in_runtime("dropped::child_dropped_in_runtime_is_reaped_by_shard", async || {
        let child = endless().spawn().await?;
        let pid = id_of(&child);
        let before = threads().len();
        drop(child);
        yield_now().await;
        assert!(!is_over(pid), "a dropped child goes on");
        assert_eq!(threads().len(), before, "the shard can reap it");
        kill(pid);
        until(|| is_reaped(pid)).await;
        // One that is dropped when it has ended.
        let child = endless().spawn().await?;
        let pid = id_of(&child);
        kill(pid);
        until(|| is_over(pid)).await;
        drop(child);
        assert!(is_reaped(pid), "nothing is left to be waited for");
        // One that is killed.
        let child = endless().kill_on_drop(true).spawn().await?;
        let pid = id_of(&child);
        drop(child);
        until(|| is_reaped(pid)).await;
        Ok(())
    });
}

#[test]
fn child_dropped_with_its_wait_is_reaped_by_shard() {
    alone_in_runtime("dropped::child_dropped_with_its_wait_is_reaped_by_shard", async || {
        for turns in 0..4 {
            let mut child = endless().kill_on_drop(true).spawn().await?;
            let task = spawn(async move { child.wait().await });
            for _ in 0..turns {
                yield_now().await;
            }
            task.abort();
            task.await.expect_err("it was aborted");
        }
        Ok(())
    });
}

#[test]
fn children_of_ended_runtime_are_reaped_by_thread() {
    alone("dropped::children_of_ended_runtime_are_reaped_by_thread", |driver| {
        let runtime = Runtime::builder().driver(driver).build()?;
        let pids = runtime.block_on(async {
            let mut pids = Vec::new();
            // Two that were dropped before, and two that tasks still have.
            for _ in 0..2 {
                let child = endless().spawn().await?;
                pids.push(id_of(&child));
                drop(child);
                let mut child = endless().spawn().await?;
                pids.push(id_of(&child));
                spawn(async move { child.wait().await });
            }
            yield_now().await;
            io::Result::Ok(pids)
        })?;
        assert!(!reaper_runs(), "no runtime has ended yet");
        let report = runtime.shut_down();
        assert_eq!((report.cancelled_tasks, report.leaked_operations), (2, 0));
        until_now(reaper_runs);
        assert!(pids.iter().all(|pid| !is_over(*pid)), "they outlive the runtime");
        for pid in pids {
            kill(pid);
            until_now(|| is_reaped(pid));
        }
        Ok(())
    });
}

#[test]
fn start_under_way_when_runtime_ends_is_reaped() {
    alone("dropped::start_under_way_when_runtime_ends_is_reaped", |driver| {
        for turns in 0..10 {
            let runtime = Runtime::builder().driver(driver).build()?;
            runtime.block_on(async {
                let mut command = endless();
                command.kill_on_drop(true);
                spawn(async move { command.spawn().await.map(drop) });
                for _ in 0..turns * 20 {
                    yield_now().await;
                }
            });
        }
        Ok(())
    });
}

#[test]
fn child_dropped_outside_runtime_is_reaped_by_thread() {
    alone("dropped::child_dropped_outside_runtime_is_reaped_by_thread", |driver| {
        let runtime = Runtime::builder().driver(driver).build()?;
        let start = || runtime.block_on(endless().kill_on_drop(true).spawn());
        // Again and again: the thread ends and is started again.
        for _ in 0..20 {
            let child = start()?;
            let pid = id_of(&child);
            drop(child);
            until_now(|| is_reaped(pid));
        }
        let many: Vec<Child> = (0..50).map(|_| start()).collect::<Result<_, _>>()?;
        drop(many);
        Ok(())
    });
}

#[test]
fn child_dropped_in_another_runtime_is_reaped_there() {
    alone("dropped::child_dropped_in_another_runtime_is_reaped_there", |driver| {
        let first = Runtime::builder().driver(driver).build()?;
        let mut child = first.block_on(endless().kill_on_drop(true).spawn())?;
        // Its descriptor is known to the first.
        first.block_on(async {
            let mut wait = pin!(child.wait());
            assert!(poll!(&mut wait).is_pending());
            yield_now().await;
        });
        let pid = id_of(&child);
        let second = Runtime::builder().driver(driver).build()?;
        second.block_on(async {
            drop(child);
            until(|| is_reaped(pid)).await;
        });
        assert!(!reaper_runs());
        Ok(())
    });
}

#[test]
fn child_kept_outside_outlives_its_runtime() {
    alone("dropped::child_kept_outside_outlives_its_runtime", |driver| {
        let kept = Rc::new(RefCell::new(None));
        let runtime = Runtime::builder().driver(driver).build()?;
        runtime.block_on(async {
            kept.replace(Some(endless().kill_on_drop(true).spawn().await?));
            io::Result::Ok(())
        })?;
        drop(runtime);
        let child: Child = kept.take().expect("it was started");
        assert!(!is_over(id_of(&child)));
        drop(child);
        Ok(())
    });
}

#[test]
fn dropped_child_holds_up_no_runtime_end() {
    alone("dropped::dropped_child_holds_up_no_runtime_end", |driver| {
        let builder = Runtime::builder().driver(driver).drain_timeout(Duration::from_secs(3600));
        let runtime = builder.build()?;
        let pid = runtime.block_on(async {
            let child = endless().spawn().await?;
            yield_now().await;
            io::Result::Ok(id_of(&child))
        })?;
        assert_eq!(runtime.shut_down().cancelled_tasks, 0, "no task of the program is left");
        assert!(!is_over(pid));
        kill(pid);
        Ok(())
    });
}

fn kill(pid: u32) {
    // SAFETY: the call takes numbers, and the process is a child that was not reaped.
    assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
}
