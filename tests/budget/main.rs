//! No leaf that is always ready keeps the shard for its task: beside an endless loop of each, another
//! task, a timer, an echo and a signal have their turn, counted and not timed.
//!
//! `ROWS` names the leaf of each row as `tests/tidy` reads it from the sources: a public function that
//! gives something to await has a row here, or a reason in `WITHOUT_A_ROW`.

mod beside;
#[path = "../common/child.rs"]
mod child;
mod fairness;
mod files_rows;
mod handles_rows;
mod io_rows;
mod net_rows;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/standard.rs"]
mod standard;
mod standard_rows;
mod sync_rows;
mod task_rows;

use corering::{Driver, ReceivePolicy, Runtime};

use beside::Beside;
use child::Child;

/// Leaves that have no row, and why.
#[allow(dead_code, reason = "tests/tidy reads it")]
const WITHOUT_A_ROW: &[(&str, &str)] = &[
    ("compat::axum::local::local", "what is in it pays"),
    ("compat::axum::web_socket::recv", "it is looped in tests/compat"),
    ("compat::axum::web_socket::send", "the stream below pays for what is sent"),
    ("compat::tokio::guest::run", "what is in it pays, or is made to by task::cooperative"),
    ("fs::atomic::atomic_write", "it waits for a thread of the pool each time"),
    ("fs::cache::follow::follow_changes", "the row of fs::watch::recv, which it loops over"),
    ("fs::copy::copy", "it waits for a thread of the pool each time"),
    (
        "fs::dir::create_dir_all",
        "it makes the operation of fs::folder::create_dir_all, which has a row",
    ),
    ("fs::dir::create_file", "it makes the operation of fs::file::create, which has a row"),
    ("fs::dir::exists", "it makes the operation of fs::exists, which has a row"),
    ("fs::dir::names::create_dir", "it makes the operation of fs::create_dir, which has a row"),
    (
        "fs::dir::names::hard_link",
        "it makes the operation of fs::names::hard_link, which has a row",
    ),
    ("fs::dir::names::read_link", "it waits for a thread of the pool each time"),
    ("fs::dir::names::remove_dir", "it makes the operation of fs::remove_dir, which has a row"),
    ("fs::dir::names::remove_dir_all", "it waits for a thread of the pool each time"),
    ("fs::dir::names::remove_file", "it makes the operation of fs::remove_file, which has a row"),
    ("fs::dir::names::rename", "it makes the operation of fs::rename, which has a row"),
    ("fs::dir::names::symlink", "it makes the operation of fs::names::symlink, which has a row"),
    ("fs::dir::open", "it makes the operation of fs::file::open, which has a row"),
    ("fs::dir::open_dir", "it makes the operation of fs::file::open, which has a row"),
    ("fs::dir::open_file", "it makes the operation of fs::file::open, which has a row"),
    ("fs::dir::open_with", "it makes the operation of fs::open::open, which has a row"),
    ("fs::dir::read", "it makes the operation of fs::read, which has a row"),
    ("fs::dir::read_dir", "it waits for a thread of the pool each time"),
    ("fs::dir::set_permissions", "it waits for a thread of the pool each time"),
    (
        "fs::dir::symlink_metadata",
        "it makes the operation of fs::symlink_metadata, which has a row",
    ),
    ("fs::dir::write", "it makes the operation of fs::write, which has a row"),
    ("fs::file::room::seek_data", "it waits for a thread of the pool each time"),
    ("fs::file::room::seek_hole", "it waits for a thread of the pool each time"),
    ("fs::folder::metadata", "the row of fs::symlink_metadata, which this is"),
    ("fs::folder::read_dir", "it waits for a thread of the pool each time"),
    ("fs::folder::remove_dir_all", "it waits for a thread of the pool each time"),
    ("fs::names::canonicalize", "it waits for a thread of the pool each time"),
    ("fs::names::read_link", "it waits for a thread of the pool each time"),
    ("fs::temporary::new", "it waits for a thread of the pool each time"),
    ("fs::temporary::new_in", "it waits for a thread of the pool each time"),
    ("fs::temporary::persist", "it waits for a thread of the pool each time"),
    ("fs::temporary::persist_new", "it waits for a thread of the pool each time"),
    ("fs::temporary::tempfile", "it waits for a thread of the pool each time"),
    ("fs::temporary::tempfile_in", "it waits for a thread of the pool each time"),
    ("fs::set_permissions", "it waits for a thread of the pool each time"),
    (
        "fs::watch::watch",
        "it makes the operation of fs::watch::add, which has a row; the kernel ends instances of inotify \
         more slowly than it makes them",
    ),
    ("net::halves::recv", "the row of the stream's, which is this one"),
    ("net::halves::read", "the row of the stream's, which is this one"),
    ("net::halves::read_exact", "the row of the stream's, which is this one"),
    ("net::readiness::readable", "the row of peek, which this is"),
    ("net::halves::write", "the row of the stream's, which is this one"),
    ("net::halves::write_all", "the row of the stream's, which is this one"),
    ("net::halves::send_all", "the row of the stream's, which is this one"),
    ("net::halves::send_file", "the row of the stream's, which is this one"),
    ("net::halves::send_file_after", "the row of the stream's, which is this one"),
    ("net::halves::shutdown", "the row of the stream's, which is this one"),
    (
        "process::command::spawn",
        "it waits for a thread of the pool, as the row of BlockingHandle does",
    ),
    ("process::pool::call", "it waits in a semaphore's line, which pays, and for another process"),
    ("process::pool::shutdown", "the pool has none to wait for any more"),
    ("process::pool::shutdown_now", "the pool has none to wait for any more"),
    ("process::pool::warm_up", "it waits in a semaphore's line, which pays, for each worker"),
    ("runtime::shards::submit_to", "its message is taken in a later round"),
    ("runtime::test_support::nop", "the same as io::nop"),
    ("task::local::scope", "what is in it pays"),
    ("task::cooperative::unconstrained", "it is there to have no limit"),
];

/// Runs rows in a process of their own, since a signal is the process's, on each driver and, on a ring,
/// with each way to receive.
fn in_a_child(test: &str, rows: impl AsyncFn(&Beside)) {
    if !child::is_child() {
        return Child::of(test).passes();
    }
    for driver in corering::test_support::drivers() {
        let policies: &[ReceivePolicy] = match driver {
            Driver::Uring => {
                &[ReceivePolicy::Adaptive, ReceivePolicy::Completion, ReceivePolicy::Notification]
            }
            _ => &[ReceivePolicy::Adaptive],
        };
        for policy in policies {
            let runtime = Runtime::builder().driver(driver).receive_policy(*policy).build();
            let runtime = runtime.expect("the driver was asked for");
            runtime.block_on(async {
                let beside = Beside::new(format!("on {driver}, {policy:?}")).await;
                rows(&beside).await;
                beside.end();
            });
        }
    }
}

#[test]
fn loops_of_channels_and_locks_leave_others_their_turn() {
    in_a_child("loops_of_channels_and_locks_leave_others_their_turn", sync_rows::rows);
}

#[test]
fn loops_of_joins_timers_and_signals_leave_others_their_turn() {
    in_a_child("loops_of_joins_timers_and_signals_leave_others_their_turn", task_rows::rows);
}

#[test]
fn loops_of_sockets_leave_others_their_turn() {
    in_a_child("loops_of_sockets_leave_others_their_turn", net_rows::rows);
}

#[test]
fn loops_of_datagrams_and_listeners_leave_others_their_turn() {
    in_a_child("loops_of_datagrams_and_listeners_leave_others_their_turn", net_rows::more_rows);
}

#[test]
fn loops_of_copies_and_lines_leave_others_their_turn() {
    in_a_child("loops_of_copies_and_lines_leave_others_their_turn", io_rows::rows);
}

#[test]
fn loops_of_children_leave_others_their_turn() {
    in_a_child("loops_of_children_leave_others_their_turn", io_rows::communicates);
}

#[test]
fn loops_of_files_leave_others_their_turn() {
    in_a_child("loops_of_files_leave_others_their_turn", files_rows::rows);
}

#[test]
fn loops_of_changes_to_files_leave_others_their_turn() {
    in_a_child("loops_of_changes_to_files_leave_others_their_turn", handles_rows::rows);
}

#[test]
fn loops_of_standard_streams_leave_others_their_turn() {
    in_a_child("loops_of_standard_streams_leave_others_their_turn", standard_rows::rows);
}
