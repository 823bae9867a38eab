//! How processes end, and signals to them.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::time::Duration;

use corering::time::timeout;
use corering::{Runtime, test_support, yield_now};
use futures_util::poll;

use crate::{becomes_zombie, endless, id_of, is_over, is_reaped, shell};

/// None of those that a program in the background may have been started to ignore.
const SIGNALS: [i32; 4] = [libc::SIGTERM, libc::SIGUSR1, libc::SIGALRM, libc::SIGKILL];

#[corering::test]
async fn exit_code_and_signal_are_told_apart() -> io::Result<()> {
    for code in [0, 1, 42, 255] {
        let status = shell(&format!("exit {code}")).spawn().await?.wait().await?;
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }
    for signal in SIGNALS {
        let mut child = endless().spawn().await?;
        child.send_signal(signal)?;
        let status = child.wait().await?;
        assert_eq!((status.code(), status.signal()), (None, Some(signal)));
    }
    // A code that looks like a signal's.
    let status = shell("exit 137").spawn().await?.wait().await?;
    assert_eq!((status.code(), status.signal()), (Some(137), None));
    Ok(())
}

#[corering::test]
async fn exit_status_stays_when_asked_again() -> io::Result<()> {
    let mut child = shell("exit 7").spawn().await?;
    let pid = id_of(&child);
    let status = child.wait().await?;
    assert_eq!(child.wait().await?, status);
    assert_eq!(child.try_wait()?, Some(status));
    assert_eq!(child.id(), None);
    assert!(is_reaped(pid));
    Ok(())
}

#[corering::test]
async fn look_without_wait_reaps_what_has_ended() -> io::Result<()> {
    let mut child = endless().spawn().await?;
    let pid = id_of(&child);
    assert_eq!(child.try_wait()?, None);
    child.terminate()?;
    becomes_zombie(pid);
    let status = child.try_wait()?.expect("it has ended");
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    assert!(is_reaped(pid));
    Ok(())
}

#[corering::test]
async fn dropped_wait_leaves_end_to_next() -> io::Result<()> {
    for turns in 0..5 {
        let mut child = endless().spawn().await?;
        {
            let mut wait = pin!(child.wait());
            for _ in 0..turns {
                assert!(poll!(&mut wait).is_pending());
                yield_now().await;
            }
        }
        child.start_kill()?;
        // One that is dropped after the end, and before it has told of it.
        if turns > 0 {
            let mut child_wait = Box::pin(child.wait());
            let _ = poll!(&mut child_wait);
        }
        assert_eq!(child.wait().await?.signal(), Some(libc::SIGKILL));
    }
    Ok(())
}

#[test]
fn forgotten_wait_leaves_end_to_next() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let waited = runtime.block_on(async {
            let mut child = shell("exit 5").spawn().await?;
            let mut wait = Box::pin(child.wait());
            let _ = poll!(&mut wait);
            std::mem::forget(wait);
            child.wait().await
        });
        assert_eq!(waited.expect("it ends").code(), Some(5), "on {driver}");
    }
}

#[corering::test]
async fn limit_in_time_leaves_process_alone() -> io::Result<()> {
    let mut child = endless().spawn().await?;
    timeout(Duration::from_millis(5), child.wait()).await.expect_err("it goes on");
    assert!(!is_over(id_of(&child)));
    child.kill().await
}

#[corering::test]
async fn ended_child_takes_signals_until_waited() -> io::Result<()> {
    let mut child = shell("exit 3").spawn().await?;
    becomes_zombie(id_of(&child));
    child.terminate()?;
    child.start_kill()?;
    assert_eq!(child.wait().await?.code(), Some(3), "it had ended before");
    for refused in [child.start_kill(), child.terminate(), child.send_signal(0), child.kill().await]
    {
        let error = refused.expect_err("the number is free");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("has ended and was waited for"), "{error}");
    }
    let error = child.signal_group(libc::SIGTERM).expect_err("the number is free");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    Ok(())
}

#[corering::test]
async fn stopped_child_has_not_ended() -> io::Result<()> {
    let mut child = endless().spawn().await?;
    child.send_signal(libc::SIGSTOP)?;
    timeout(Duration::from_millis(5), child.wait()).await.expect_err("it is stopped");
    assert_eq!(child.try_wait()?, None);
    child.send_signal(libc::SIGCONT)?;
    assert_eq!(child.try_wait()?, None);
    child.kill().await
}

#[corering::test]
async fn command_goes_to_another_runtime() -> io::Result<()> {
    let mut command = shell("exit 6");
    drop(command.spawn().await?);
    let elsewhere = std::thread::spawn(move || {
        corering::block_on(async { command.spawn().await?.wait().await })
    });
    assert_eq!(elsewhere.join().expect("it does not panic")?.code(), Some(6));
    Ok(())
}

#[corering::test]
async fn number_that_is_no_signal_is_invalid() -> io::Result<()> {
    let mut child = endless().process_group(0).spawn().await?;
    for number in [-1, 65, 1000, i32::MIN, i32::MAX] {
        let error = child.send_signal(number).expect_err("it is none");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
        let error = child.signal_group(number).expect_err("it is none");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number}");
    }
    // Whether it may be signalled.
    child.send_signal(0)?;
    child.kill().await
}

#[corering::test]
async fn signal_to_group_reaches_grandchildren() -> io::Result<()> {
    let mut child = shell("sleep 1000000 & echo $! >&2; wait").process_group(0).spawn().await?;
    let pid = id_of(&child);
    let grandchild = grandchild_of(pid).await;
    child.signal_group(libc::SIGKILL)?;
    assert_eq!(child.wait().await?.signal(), Some(libc::SIGKILL));
    crate::net::until(|| is_over(grandchild)).await;
    Ok(())
}

#[corering::test]
async fn kill_leaves_grandchildren() -> io::Result<()> {
    let mut child = shell("sleep 1000000 & wait").process_group(0).spawn().await?;
    let grandchild = grandchild_of(id_of(&child)).await;
    child.start_kill()?;
    becomes_zombie(id_of(&child));
    assert!(!is_over(grandchild));
    // The group is there as long as its leader was not waited for.
    child.signal_group(libc::SIGKILL)?;
    child.wait().await?;
    crate::net::until(|| is_over(grandchild)).await;
    Ok(())
}

#[corering::test]
async fn group_that_child_does_not_lead_is_not_signalled() -> io::Result<()> {
    let mut child = endless().spawn().await?;
    let error = child.signal_group(libc::SIGKILL).expect_err("it is this program's group");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("process_group(0)"), "{error}");
    child.kill().await
}

#[corering::test]
async fn new_session_has_its_own_group() -> io::Result<()> {
    let mut child = endless().new_session().new_session().spawn().await?;
    let pid = id_of(&child) as i32;
    // SAFETY: the calls take numbers.
    assert_eq!(unsafe { (libc::getsid(pid), libc::getpgid(pid)) }, (pid, pid));
    child.signal_group(libc::SIGTERM)?;
    assert_eq!(child.wait().await?.signal(), Some(libc::SIGTERM));
    let error = endless().new_session().process_group(0).spawn().await.expect_err("both");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    Ok(())
}

#[corering::test]
async fn missing_program_leaves_command_usable() -> io::Result<()> {
    let mut command = corering::process::Command::new("./no-such-program");
    for _ in 0..2 {
        let error = command.spawn().await.expect_err("there is no such program");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
    let error = corering::process::Command::new("/etc/passwd").spawn().await.expect_err("a text");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    Ok(())
}

#[test]
fn child_of_ended_runtime_is_awaited_in_another() {
    for driver in test_support::drivers() {
        let built = || Runtime::builder().driver(driver).build().expect("the driver is there");
        let first = built();
        let mut child = first.block_on(endless().spawn()).expect("it can be started");
        first.block_on(async {
            let mut wait = pin!(child.wait());
            assert!(poll!(&mut wait).is_pending());
        });
        drop(first);
        child.start_kill().expect("signals need no runtime");
        let second = built();
        let status = second.block_on(child.wait()).expect("the second runtime can wait");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "on {driver}");
    }
}

#[test]
fn start_and_wait_need_runtime() {
    let mut child = corering::block_on(endless().spawn()).expect("it can be started");
    let mut command = endless();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut spawn = pin!(command.spawn());
    let std::task::Poll::Ready(Err(error)) = spawn.as_mut().poll(&mut cx) else {
        panic!("there is none")
    };
    assert!(error.to_string().contains("no corering runtime"), "{error}");
    let mut wait = Box::pin(child.wait());
    let std::task::Poll::Ready(Err(error)) = wait.as_mut().poll(&mut cx) else {
        panic!("there is none")
    };
    assert!(error.to_string().contains("no corering runtime"), "{error}");
    drop(wait);
    corering::block_on(child.kill()).expect("it goes on in another");
}

/// The process that a shell has started, once it is there.
async fn grandchild_of(pid: u32) -> u32 {
    let mut found = None;
    crate::net::until(|| {
        found = crate::children_of(pid).into_iter().find(|pid| {
            // Before exec it is a shell.
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "sleep")
        });
        found.is_some()
    })
    .await;
    found.expect("it was found")
}
