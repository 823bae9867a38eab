//! Terminals as standard streams.

use super::*;

#[test]
fn terminal_is_left_as_another_program_needs_it() {
    in_a_child("terminals::terminal_is_left_as_another_program_needs_it", async || {
        let (mut keyboard, terminal) = pty()?;
        let watch = Watch::new(terminal.try_clone()?, false);
        let (own, shared) = (terminal.try_clone()?, terminal);
        let _stdin = Exchanged::new(0, own.try_clone()?);
        let _stdout = Exchanged::new(1, own);
        // Ours waits, while another program reads and writes the same terminal by blocking calls.
        let mut waiting = stdin();
        let mut read = Box::pin(waiting.recv());
        assert!(poll_once(&mut read).await.is_pending());
        turns().await?;
        drop(read);
        let mut cat = Command::new("sh");
        cat.args(["-c", "read line; echo got $line"]);
        let mut cat = cat.stdin(shared.try_clone()?).stdout(shared).spawn()?;
        keyboard.write_all(b"their line\n")?;
        assert!(cat.wait()?.success(), "it was not refused with EAGAIN");
        keyboard.write_all(b"our line\n")?;
        assert_eq!(waiting.recv().await?, "our line\n");
        stdout().write_all("answer").await?;
        let mut shown = vec![0; 12 + 16 + 10 + 6];
        keyboard.read_exact(&mut shown)?;
        assert!(shown.ends_with(b"answer"), "{:?}", String::from_utf8_lossy(&shown));
        watch.end();
        Ok(())
    });
}

#[test]
fn terminal_that_hangs_up_is_at_its_end() {
    in_a_child("terminals::terminal_that_hangs_up_is_at_its_end", async || {
        let (keyboard, terminal) = pty()?;
        let _stdin = Exchanged::new(0, terminal.try_clone()?);
        let _stdout = Exchanged::new(1, terminal);
        let waiting = corering::spawn(async { stdin().recv().await.map(Vec::from) });
        turns().await?;
        drop(keyboard);
        assert_eq!(waiting.await.expect("it does not panic")?, b"");
        assert_eq!(all().await?, b"", "also for those who come later");
        let failed = stdout().write_all("text").await.expect_err("it has hung up");
        assert_eq!(failed.error.raw_os_error(), Some(libc::EIO));
        Ok(())
    });
}

/// As after `su`: descriptors stay, and the path is another's.
#[test]
fn terminal_that_cannot_be_opened_again_is_read_and_written() {
    const TEST: &str = "terminals::terminal_that_cannot_be_opened_again_is_read_and_written";
    if !child::is_child() {
        return Child::of(TEST).without_capabilities().passes();
    }
    corering::test_support::run(TEST, None, || async {
        let (mut keyboard, terminal) = pty()?;
        standard::forbid(&terminal)?;
        let watch = Watch::new(terminal.try_clone()?, false);
        let _stdin = Exchanged::new(0, terminal.try_clone()?);
        let _stdout = Exchanged::new(1, terminal);
        // Dropped while it waits, which takes no line away.
        drop_in_flight(Box::pin(async { stdin().recv().await.map(drop) })).await;
        let read = corering::spawn(async { stdin().recv().await.map(Vec::from) });
        turns().await?;
        keyboard.write_all(b"line\n")?;
        assert_eq!(read.await.expect("it does not panic")?, b"line\n");
        stdout().write_all("answer").await?;
        let mut shown = [0; 12];
        keyboard.read_exact(&mut shown)?;
        assert_eq!(&shown, b"line\r\nanswer");
        nothing_is_in_flight().await;
        watch.end();
        io::Result::Ok(())
    });
}
