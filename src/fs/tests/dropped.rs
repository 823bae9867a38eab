//! What the drop of a future leaves, at each moment of its operation.

use std::fmt::Debug;
use std::fs::Permissions;
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::time::UNIX_EPOCH;

use super::limits::{nothing_is_in_flight, pipe};
use super::{Folder, opened};
use crate::fs::{self, Advice, File, FileTimes};
use crate::{metrics, yield_now};

/// Where an operation is when its future is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    NotBegun,
    InFlight,
    Done,
}

const MOMENTS: [Moment; 3] = [Moment::NotBegun, Moment::InFlight, Moment::Done];

impl Moment {
    async fn drop<F: Future + Unpin>(self, mut future: F) {
        if self != Moment::NotBegun {
            let _ = futures_util::poll!(Pin::new(&mut future));
        }
        while self == Moment::Done && metrics().operations_in_flight > 0 {
            yield_now().await;
        }
        drop(future);
        nothing_is_in_flight().await;
    }

    /// What is left is what was there `before`, or what is `after` the operation, and which of them
    /// is known if it was not begun or is done.
    fn leaves<T: PartialEq + Debug>(self, left: T, before: T, after: T) {
        let is_allowed = match self {
            Moment::NotBegun => left == before,
            Moment::InFlight => left == before || left == after,
            Moment::Done => left == after,
        };
        assert!(is_allowed, "{self:?}: {left:?}");
    }
}

#[corering::test]
async fn dropped_write_is_in_its_file_or_not() -> io::Result<()> {
    let folder = Folder::new();
    for moment in MOMENTS {
        let path = folder.file("file", b"before");
        moment.drop(opened(&path).await.write_at("after", 0)).await;
        moment.leaves(&*std::fs::read(&path)?, b"before", b"aftere");
        let path = folder.file("file", b"before");
        moment.drop(opened(&path).await.write_vectored_at(vec!["af", "ter"], 0)).await;
        moment.leaves(&*std::fs::read(&path)?, b"before", b"aftere");
    }
    Ok(())
}

#[corering::test]
async fn dropped_write_of_whole_file_leaves_first_part() -> io::Result<()> {
    let folder = Folder::new();
    for rounds in 0..8 {
        let path = folder.file("file", b"before");
        let mut writing = Box::pin(fs::write(&path, vec![1; 1 << 20]));
        for _ in 0..rounds {
            if futures_util::poll!(&mut writing).is_ready() {
                break;
            }
            yield_now().await;
        }
        drop(writing);
        nothing_is_in_flight().await;
        let left = std::fs::read(&path)?;
        let is_first_part = left.len() <= 1 << 20 && left.iter().all(|&byte| byte == 1);
        assert!(left == b"before" || is_first_part, "{rounds} rounds");
        assert!(rounds > 0 || left == b"before");
    }
    Ok(())
}

#[corering::test]
async fn dropped_change_of_names_is_made_or_not() -> io::Result<()> {
    let folder = Folder::new();
    let (file, new) = (folder.join("file"), folder.join("new"));
    for moment in MOMENTS {
        let there = || (file.exists(), new.exists());
        folder.file("file", b"");
        moment.drop(fs::rename(&file, &new)).await;
        moment.leaves(there(), (true, false), (false, true));
        let _ = std::fs::remove_file(&new);

        folder.file("file", b"");
        moment.drop(fs::remove_file(&file)).await;
        moment.leaves(there(), (true, false), (false, false));

        moment.drop(fs::create_dir(&new)).await;
        moment.leaves(new.exists(), false, true);
        let _ = std::fs::create_dir(&new);
        moment.drop(fs::remove_dir(&new)).await;
        moment.leaves(new.exists(), true, false);
        let _ = std::fs::remove_dir(&new);
    }
    Ok(())
}

#[corering::test]
async fn dropped_change_of_length_is_made_or_not() -> io::Result<()> {
    let folder = Folder::new();
    for moment in MOMENTS {
        let path = folder.file("file", b"before");
        let len = || std::fs::metadata(&path).expect("it is there").len();
        moment.drop(opened(&path).await.set_len(2)).await;
        moment.leaves(len(), 6, 2);
        folder.file("file", b"before");
        moment.drop(opened(&path).await.allocate(0, 5000)).await;
        moment.leaves(len(), 6, 5000);
        folder.file("file", b"before");
        moment.drop(File::create(&path)).await;
        moment.leaves(len(), 6, 0);
    }
    Ok(())
}

#[corering::test]
async fn dropped_change_of_attributes_is_made_or_not() -> io::Result<()> {
    let folder = Folder::new();
    for moment in MOMENTS {
        let path = folder.file("file", b"text");
        let known = || std::fs::metadata(&path).expect("it is there");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        moment.drop(opened(&path).await.set_permissions(Permissions::from_mode(0o600))).await;
        moment.leaves(known().permissions().mode() & 0o777, 0o644, 0o600);
        let before = known().modified()?;
        moment.drop(opened(&path).await.set_modified(UNIX_EPOCH)).await;
        moment.leaves(known().modified()?, before, UNIX_EPOCH);
        let before = known().accessed()?;
        let times = FileTimes::new().set_accessed(UNIX_EPOCH);
        moment.drop(fs::set_times(&path, times)).await;
        moment.leaves(known().accessed()?, before, UNIX_EPOCH);
        let after = opened(&path).await;
        moment.drop(after.set_times(FileTimes::new().set_modified(before))).await;
        moment.drop(after.punch_hole(0, 2)).await;
        moment.leaves(&*std::fs::read(&path)?, b"text", b"\0\0xt");
        // Nothing of it is left to keep the descriptor.
        after.close().await?;
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

#[corering::test]
async fn dropped_questions_and_syncs_change_nothing() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    for moment in MOMENTS {
        let file = opened(&path).await;
        moment.drop(file.read_at(vec![0; 9], 0)).await;
        moment.drop(file.read_vectored_at(vec![vec![0; 9]], 0)).await;
        moment.drop(Box::pin(file.read_exact_at(vec![0; 9], 4, 0))).await;
        moment.drop(Box::pin(file.read_to_end())).await;
        moment.drop(Box::pin(fs::read(&path))).await;
        moment.drop(file.metadata()).await;
        moment.drop(fs::metadata(&path)).await;
        moment.drop(fs::symlink_metadata(&path)).await;
        moment.drop(fs::exists(&path)).await;
        moment.drop(file.sync_all()).await;
        moment.drop(file.sync_data()).await;
        moment.drop(file.prefetch(0, 4)).await;
        moment.drop(file.advise(0, 4, Advice::DontNeed)).await;
        moment.drop(file.sync_range(0, 4)).await;
        // Nothing of it is left to keep the descriptor.
        file.close().await?;
        assert_eq!(std::fs::read(&path)?, b"text");
    }
    Ok(())
}

#[corering::test]
async fn dropped_close_has_closed() {
    for moment in MOMENTS {
        let (file, mut writer) = pipe();
        moment.drop(file.close()).await;
        let error = writer.write_all(b"x").expect_err("the reader is closed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{moment:?}");
    }
}
