//! Input and output at the same time, limits, and what is left of a child that reaches one.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;

use corering::io::pipe;
use corering::process::{Child, Command, CommunicateError, CommunicateErrorKind, Stdio, shell};
use corering::time::{Duration, timeout};

/// A child of the shell with all three pipes.
async fn piped(line: &str) -> io::Result<Child> {
    let mut command = shell(line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().await
}

/// Bytes that differ from place to place.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn is_time_limit(error: &CommunicateError) -> bool {
    matches!(error.kind, CommunicateErrorKind::TimeLimit(_))
}

#[corering::test]
async fn communicate_passes_bytes_both_ways() -> io::Result<()> {
    let child = piped("cat").await?;
    let output = child.communicate(pattern(3_000_000)).await?;
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(output.stdout == pattern(3_000_000), "{} bytes came back", output.stdout.len());
    Ok(())
}

#[corering::test]
async fn communicate_goes_on_whichever_pipe_fills() -> io::Result<()> {
    // Each of the three pipes is full before the child looks at the next.
    let child =
        piped("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; cat; cat >&2").await?;
    let output = child.communicate(pattern(1_000_000)).await?;
    assert!(output.status.success());
    assert!(output.stdout == [vec![0; 1_000_000], pattern(1_000_000)].concat());
    assert!(output.stderr == [0; 1_000_000]);
    Ok(())
}

#[corering::test]
async fn communicate_takes_standard_error_alone() -> io::Result<()> {
    let child = piped("exec head -c 100000000 /dev/zero >&2").await?;
    let output = child.communicate("").await?;
    assert_eq!((output.stdout.len(), output.stderr.len()), (0, 100_000_000));
    assert!(output.status.success());
    Ok(())
}

#[corering::test]
async fn communicate_without_input_is_the_end_of_input() -> io::Result<()> {
    let output = piped("cat").await?.communicate("").await?;
    assert!(output.status.success() && output.stdout.is_empty());
    let output = piped("cat").await?.wait_with_output().await?;
    assert!(output.status.success() && output.stdout.is_empty());
    Ok(())
}

#[corering::test]
async fn child_that_closes_its_input_is_no_error() -> io::Result<()> {
    let child = piped("exec 0<&-; echo done").await?;
    let output = child.communicate(pattern(1_000_000)).await?;
    assert!(output.status.success());
    assert_eq!(output.stdout, b"done\n");
    Ok(())
}

#[corering::test]
async fn child_that_ends_immediately_is_no_error() -> io::Result<()> {
    for _ in 0..20 {
        let output = piped("exit 7").await?.communicate(pattern(1_000_000)).await?;
        assert_eq!(output.status.code(), Some(7));
    }
    Ok(())
}

#[corering::test]
async fn child_that_never_reads_ends_at_its_limit() -> io::Result<()> {
    let child = piped("echo begun; exec sleep 1000").await?;
    let limit = Duration::from_millis(300);
    let error = child.communicate(pattern(1_000_000)).time_limit(limit).await.unwrap_err();
    assert!(is_time_limit(&error), "{error}");
    assert_eq!(error.status.and_then(|status| status.signal()), Some(libc::SIGKILL));
    assert!(b"begun\n".starts_with(&error.stdout), "{error:?}");
    assert_eq!(io::Error::from(error).kind(), ErrorKind::TimedOut);
    Ok(())
}

#[corering::test]
async fn pipe_that_outlives_its_child_ends_at_the_limit() -> io::Result<()> {
    let (reader, writer) = pipe()?;
    let mut command = shell("exec 3<&0; echo begun; cat <&3 & exit 3");
    let mut child = command.stdin(Stdio::from(reader)).stdout(Stdio::piped()).spawn().await?;
    assert_eq!(child.wait().await?.code(), Some(3));
    // `cat` has the pipe, as long as `writer` is open.
    let limit = Duration::from_millis(10);
    let error = child.communicate("").time_limit(limit).await.unwrap_err();
    assert!(is_time_limit(&error), "{error}");
    assert_eq!(error.status.and_then(|status| status.code()), Some(3));
    assert_eq!(error.stdout, b"begun\n");
    drop(writer);
    Ok(())
}

#[corering::test]
async fn limit_kills_the_group_that_its_child_leads() -> io::Result<()> {
    let (mut gone, holds) = pipe()?;
    let mut command = shell("sleep 1000 & sleep 1000 & wait");
    command.stderr(holds).process_group(0);
    let error = command.output().time_limit(Duration::from_millis(20)).await.unwrap_err();
    assert!(is_time_limit(&error), "{error}");
    drop(command);
    assert!(gone.recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn output_without_end_ends_at_its_limit_in_time() -> io::Result<()> {
    let limit = Duration::from_millis(10);
    let error = Command::new("yes").output().time_limit(limit).await.unwrap_err();
    assert!(is_time_limit(&error), "{error}");
    assert_eq!(error.status.and_then(|status| status.signal()), Some(libc::SIGKILL));
    Ok(())
}

#[corering::test]
async fn output_may_reach_its_limit_and_not_pass_it() -> io::Result<()> {
    let mut command = shell("printf 1234; printf 5678 >&2");
    let output = command.output().max_output(8).await?;
    assert_eq!((&*output.stdout, &*output.stderr), (&b"1234"[..], &b"5678"[..]));

    let error = command.output().max_output(7).await.unwrap_err();
    assert!(matches!(error.kind, CommunicateErrorKind::OutputLimit(7)), "{error}");
    assert_eq!(error.stdout.len() + error.stderr.len(), 7);
    assert!(error.status.is_some());
    assert_eq!(io::Error::from(error).kind(), ErrorKind::FileTooLarge);
    Ok(())
}

#[corering::test]
async fn child_without_end_is_killed_at_its_output_limit() -> io::Result<()> {
    let error = Command::new("yes").output().max_output(100_000).await.unwrap_err();
    assert!(error.stdout == b"y\n".repeat(50_000), "{} bytes", error.stdout.len());
    assert_eq!(error.status.and_then(|status| status.signal()), Some(libc::SIGKILL));
    Ok(())
}

#[corering::test]
async fn child_that_is_killed_has_its_signal_and_its_output() -> io::Result<()> {
    let output = shell("echo begun; kill -9 $$").output().await?;
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));
    assert_eq!(output.stdout, b"begun\n");
    Ok(())
}

#[corering::test]
async fn input_without_a_pipe_is_an_error() -> io::Result<()> {
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().await?;
    let error = child.communicate("lost").await.unwrap_err();
    assert_eq!(error.status.and_then(|status| status.signal()), Some(libc::SIGKILL));
    let error = io::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("Stdio::piped()"), "{error}");

    let child = Command::new("true").stdin(Stdio::null()).spawn().await?;
    assert!(child.communicate("").await?.status.success());
    Ok(())
}

#[corering::test]
async fn dropped_communicate_ends_its_child() -> io::Result<()> {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    // The other end of a third pipe says when the child is gone.
    for begun in [false, true] {
        let (mut reader, writer) = pipe()?;
        let child = command.stderr(Stdio::from(writer)).spawn().await?;
        // Without its replacement the command would keep the pipe.
        command.stderr(Stdio::null());
        let mut communicate = child.communicate(vec![7; 10_000_000]).max_output(usize::MAX);
        if begun {
            let polled = timeout(Duration::from_millis(1), &mut communicate).await;
            assert!(polled.is_err() || polled.is_ok_and(|ended| ended.is_ok()));
        }
        drop(communicate);
        assert!(reader.recv().await?.is_empty());
    }
    Ok(())
}

#[corering::test]
async fn output_leaves_no_input_to_its_child() -> io::Result<()> {
    let output = Command::new("cat").output().await?;
    assert!(output.status.success() && output.stdout.is_empty());
    // What was set stays.
    let output = shell("cat; echo out; echo err >&2").stderr(Stdio::null()).output().await?;
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b""[..]));
    Ok(())
}

#[corering::test]
async fn output_leaves_its_command_as_it_was() -> io::Result<()> {
    let mut command = Command::new("true");
    command.output().await?;
    let mut child = command.spawn().await?;
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    assert!(child.wait().await?.success());
    Ok(())
}

#[corering::test]
async fn status_is_that_of_the_end() -> io::Result<()> {
    assert!(Command::new("true").status().await?.success());
    assert_eq!(shell("exit 3").status().await?.code(), Some(3));
    assert_eq!(shell("kill -TERM $$").status().await?.signal(), Some(libc::SIGTERM));
    Ok(())
}

#[corering::test]
async fn children_communicate_at_the_same_time() -> io::Result<()> {
    let children = (0..20).map(async |number| {
        let input = pattern(100_000 + number);
        let output = piped("cat; exec cat >&2").await?.communicate(input.clone()).await?;
        assert!(output.stdout == input && output.stderr.is_empty());
        io::Result::Ok(())
    });
    futures_util::future::try_join_all(children).await?;
    Ok(())
}
