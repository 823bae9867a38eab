//! The standard streams of processes, and who holds which end.

use std::io;
use std::time::Duration;

use corering::process::{Command, Stdio};
use corering::spawn;
use corering::time::timeout;

use crate::net::until;
use crate::{alone_in_runtime, children_of, id_of, is_over, is_reaped, shell};

fn piped(script: &str) -> Command {
    let mut command = shell(script);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[corering::test]
async fn streams_carry_what_is_written_and_printed() -> io::Result<()> {
    let mut child = piped("cat; echo done >&2").spawn().await?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = child.stdout.take().expect("it is piped");
    // More than two pipes hold.
    let sent = vec![7; 1 << 20];
    let expected = sent.clone();
    let writes = spawn(async move { stdin.write_all(sent).await.map(drop) });
    let (count, printed) =
        stdout.read_exact(vec![0; 1 << 20], 1 << 20).await.map(|buf| (buf.len(), buf))?;
    assert_eq!((count, printed == expected), (1 << 20, true));
    writes.await.expect("it does not panic")?;
    assert!(stdout.recv().await?.is_empty());
    assert_eq!(child.stderr.as_mut().expect("it is piped").recv().await?, "done\n");
    assert!(child.wait().await?.success());
    Ok(())
}

#[corering::test]
async fn wait_ends_what_the_process_reads() -> io::Result<()> {
    let mut child = piped("cat >/dev/null; exit 9").spawn().await?;
    assert_eq!(child.wait().await?.code(), Some(9));
    assert!(child.stdin.is_none());
    Ok(())
}

#[corering::test]
async fn process_that_closes_its_streams_goes_on() -> io::Result<()> {
    let script = "exec 0<&- 1>&- 2>&-; exec sleep 1000000";
    let mut child = piped(script).kill_on_drop(true).spawn().await?;
    assert!(child.stdout.as_mut().expect("it is piped").recv().await?.is_empty());
    assert!(child.stderr.as_mut().expect("it is piped").recv().await?.is_empty());
    let mut stdin = child.stdin.take().expect("it is piped");
    let failed = stdin.write_all("x").await.expect_err("no reader is left");
    assert_eq!(failed.error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(child.try_wait()?, None);
    child.kill().await
}

#[test]
fn pipe_that_grandchild_keeps_holds_up_no_wait() {
    alone_in_runtime("streams::pipe_that_grandchild_keeps_holds_up_no_wait", async || {
        let mut child = piped("sleep 1000000 & exit 2").process_group(0).spawn().await?;
        let group = id_of(&child) as i32;
        let mut stdout = child.stdout.take().expect("it is piped");
        assert_eq!(child.wait().await?.code(), Some(2));
        // The grandchild has the other end still.
        timeout(Duration::from_millis(5), stdout.recv()).await.expect_err("nothing ends it");
        // SAFETY: the call takes numbers; the group is there as long as the grandchild.
        assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0);
        assert!(stdout.recv().await?.is_empty());
        Ok(())
    });
}

#[test]
fn process_of_dropped_child_sees_its_streams_closed() {
    alone_in_runtime("streams::process_of_dropped_child_sees_its_streams_closed", async || {
        let child = piped("cat").spawn().await?;
        let pid = id_of(&child);
        drop(child);
        until(|| is_reaped(pid)).await;
        assert!(is_over(pid));
        assert_eq!(children_of(std::process::id()), [0; 0]);
        Ok(())
    });
}
