//! Rows of processes: starts, waits and kills.

use std::cell::Cell;
use std::io;
use std::os::unix::process::ExitStatusExt;

use corering::process::{Child, Command};

use crate::moments::{Moment, World, drop_at};
use crate::net::until;

fn endless() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000000").kill_on_drop(true);
    command
}

/// Whether this process has children, or their zombies.
pub(crate) fn has_children() -> bool {
    // SAFETY: an all-zero siginfo is one, and the pointer leads to it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        libc::waitid(libc::P_ALL, 0, &mut info, options) == 0
    }
}

fn signal(child: u32, number: i32) {
    // SAFETY: the call takes numbers, and the child was not reaped.
    assert_eq!(unsafe { libc::kill(child as i32, number) }, 0);
}

/// The rows at one moment.
pub(crate) async fn are_reaped(world: &World, moment: Moment) -> io::Result<()> {
    let mut command = endless();
    for row in ["Command::spawn"] {
        let spawn = Box::pin(command.spawn());
        let child = drop_at(world, moment, spawn, async || until(has_children).await).await;
        drop(child.transpose()?);
        until(|| !has_children()).await;
        // The command is as it was.
        let mut child = command.spawn().await?;
        assert_eq!(child.try_wait()?, None, "{row}, {moment:?}");
    }
    for row in ["Child::wait", "Child::kill"] {
        let mut child = endless().spawn().await?;
        let pid = child.id().expect("it goes on");
        let signalled = Cell::new(false);
        let kills = row == "Child::kill";
        let wait = wait_or_kill(&mut child, kills);
        let provoke = async || {
            signal(pid, libc::SIGTERM);
            signalled.set(true);
        };
        drop_at(world, moment, Box::pin(wait), provoke).await.transpose()?;
        if !signalled.get() && (moment == Moment::NotBegun || !kills) {
            assert_eq!(child.try_wait()?, None, "{row}, {moment:?}: the process goes on");
            child.terminate()?;
        }
        let ended = child.wait().await?.signal();
        let expected =
            if kills && moment != Moment::NotBegun { libc::SIGKILL } else { libc::SIGTERM };
        assert_eq!(ended, Some(expected), "{row}, {moment:?}");
    }
    until(|| !has_children()).await;
    Ok(())
}

async fn wait_or_kill(child: &mut Child, kills: bool) -> io::Result<()> {
    if kills { child.kill().await } else { child.wait().await.map(drop) }
}
