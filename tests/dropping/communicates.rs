//! Rows of children that are brought to their end: dropped, they leave none.

use std::cell::Cell;
use std::fs;
use std::io;

use corering::io::{PipeWriter, pipe};
use corering::process::{Command, Stdio};
use futures_util::FutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::until;
use crate::processes::has_children;

/// Writes what it reads, and has the two ends of its own: one that it reads, and one that it holds.
fn cat(holds: PipeWriter) -> io::Result<(Command, PipeWriter)> {
    let (reader, writer) = pipe()?;
    let mut command = Command::new("cat");
    command.stdin(reader).stdout(Stdio::piped()).stderr(holds).kill_on_drop(true);
    Ok((command, writer))
}

fn has_ended(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// All rows at one moment.
pub(crate) async fn leave_no_child(world: &World, moment: Moment) -> io::Result<()> {
    for row in
        ["Child::communicate", "Child::wait_with_output", "Command::output", "Command::status"]
    {
        let (mut gone, holds) = pipe()?;
        let (mut command, writer) = cat(holds)?;
        let id = Cell::new(None);
        let future: Boxed<'_, bool> = match row {
            "Command::output" => Box::pin(command.output().map(|it| it.is_ok())),
            "Command::status" => {
                command.stdout(Stdio::null());
                Box::pin(command.status().map(|it| it.is_ok()))
            }
            _ => {
                let child = command.spawn().await?;
                id.set(child.id());
                let ended = match row {
                    "Child::communicate" => child.communicate(""),
                    _ => child.wait_with_output(),
                };
                Box::pin(ended.map(|it| it.is_ok()))
            }
        };
        let writer = Cell::new(Some(writer));
        let end = async || {
            drop(writer.take());
            if let Some(id) = id.get() {
                until(|| has_ended(id)).await;
            }
        };
        let ended = drop_at(world, moment, future, end).await;
        assert!(ended.unwrap_or(true), "{row}, {moment:?}");
        // The command has the pipes, too. A child that is left is killed: it does not see the end of
        // what it reads.
        drop(command);
        assert!(gone.recv().await?.is_empty(), "{row}, {moment:?}");
        until(|| !has_children()).await;
    }
    Ok(())
}
