//! The operations on paths, by a folder that is open.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use corering::fs::Dir;

use super::ours::{entries, facts};
use super::outcome::Answer;
use super::step::Step;
use super::theirs::bytes;

/// `None` for what a folder that is open does not do.
pub(crate) async fn answer(root: &Dir, step: &Step) -> Option<io::Result<Answer>> {
    let done = |()| Answer::Nothing;
    Some(match step {
        Step::LookAt { path, follows: true } => root.metadata(path).await.map(facts),
        Step::LookAt { path, .. } => root.symlink_metadata(path).await.map(facts),
        Step::Exists { path } => root.exists(path).await.map(Answer::Truth),
        Step::ReadWhole { path } => root.read(path).await.map(Answer::Bytes),
        Step::WriteWhole { path, len, fill } => {
            let written = root.write(path, bytes(*len, *fill)).await;
            written.map(|_| Answer::Nothing).map_err(io::Error::from)
        }
        Step::Rename { from, to } => root.rename(from, root, to).await.map(done),
        Step::HardLink { from, to } => root.hard_link(from, root, to).await.map(done),
        Step::Symlink { target, path } => root.symlink(target, path).await.map(done),
        Step::ReadLink { path } => root.read_link(path).await.map(Answer::Path),
        Step::SetPermissions { path, mode } => {
            root.set_permissions(path, Permissions::from_mode(*mode)).await.map(done)
        }
        Step::RemoveFile { path } => root.remove_file(path).await.map(done),
        Step::CreateDir { path } => root.create_dir(path).await.map(done),
        Step::CreateDirAll { path } => root.create_dir_all(path).await.map(done),
        Step::RemoveDir { path } => root.remove_dir(path).await.map(done),
        Step::RemoveDirAll { path } => root.remove_dir_all(path).await.map(done),
        Step::ReadDir { path } => match root.read_dir(path).await {
            Ok(reading) => entries(reading).await,
            Err(error) => Err(error),
        },
        _ => return None,
    })
}
