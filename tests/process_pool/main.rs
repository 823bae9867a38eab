//! `process::Pool`. Its workers are this program again, so it has a `main` of its own: what was started as
//! a worker serves, and all else runs tests, each in a process of its own, since they count what is left
//! of processes, threads and descriptors.

mod calls;
mod ends;
mod functions;
mod parents;
mod processes;
mod runner;
mod starts;

use std::process::ExitCode;
use std::time::Duration;

use corering::process;

use functions::{FUNCTIONS, OTHER_FUNCTIONS};
use runner::{Test, test};

/// Says what a process that was started as a worker does instead of serving.
const INSTEAD: &str = "CORERING_TEST_INSTEAD";

const TESTS: &[Test] = &[
    test("calls_run_beside_each_other_in_other_processes", calls::run_beside_each_other),
    test("calls_have_their_turn_in_order_of_arrival", calls::have_their_turn_in_order),
    test("panic_is_an_error_and_its_worker_lives_on", calls::panic_is_an_error),
    test("function_that_is_not_in_the_table_is_named", calls::unknown_function_is_named),
    test("what_cannot_be_serialized_fails_its_call_alone", calls::unserializable_fails_alone),
    test("messages_of_64_mib_go_both_ways", calls::large_messages_go_both_ways),
    test("message_beyond_its_limit_fails_its_call_alone", calls::too_large_fails_alone),
    test("printed_text_is_the_programs_and_harms_no_answer", calls::printed_text_is_the_programs),
    test("calls_of_another_runtime_start_workers_again", calls::pool_outlives_runtime),
    test("worker_that_ends_fails_its_call_and_is_replaced", ends::crash_fails_its_call),
    test("time_limit_kills_the_worker", ends::time_limit_kills),
    test("memory_limit_ends_the_worker_that_exceeds_it", ends::memory_limit_ends),
    test("worker_that_died_idle_fails_no_call", ends::death_while_idle_fails_no_call),
    test("request_that_no_worker_read_goes_to_another", ends::unread_request_goes_to_another),
    test("dropped_call_kills_its_worker", ends::dropped_call_kills),
    test("dropped_pool_leaves_no_process", ends::dropped_pool_leaves_nothing),
    test("shutdown_waits_for_calls_that_came_before", ends::shutdown_waits),
    test("dropped_shutdown_is_gone_on_with", ends::dropped_shutdown_goes_on),
    test("shutdown_now_kills", ends::shutdown_now_kills),
    test("worker_is_replaced_after_its_calls", ends::worker_is_replaced_after_its_calls),
    test("kills_under_load_mix_up_no_answers", ends::kills_under_load),
    test("interrupt_leaves_workers_alone", ends::interrupt_is_ignored),
    test("warm_up_starts_all_workers", starts::warm_up_starts_all),
    test("dropped_warm_up_kills_what_it_started", starts::dropped_warm_up_kills),
    test("pool_works_after_its_threads_have_ended", starts::works_after_threads_ended),
    test("workers_own_children_inherit_no_descriptor", starts::children_inherit_nothing),
    test("function_of_a_worker_has_no_pool", starts::no_pool_in_a_worker),
    test("child_that_ends_is_no_worker", starts::child_ends).instead("end"),
    test("child_that_says_nothing_is_no_worker", starts::child_is_silent).instead("wait"),
    test("child_that_makes_a_pool_is_no_worker", starts::child_makes_a_pool).instead("pool"),
    test("worker_of_other_functions_is_refused", starts::other_functions).instead("others"),
    test("parent_killed_while_workers_loop_leaves_no_process", parents::killed),
    test("parent_ended_by_sigterm_leaves_no_process", parents::terminated),
    test("parent_that_handles_sigterm_has_its_answers", parents::handles_sigterm),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == "--corering-worker") {
        match std::env::var(INSTEAD).as_deref() {
            Ok("end") => return ExitCode::from(9),
            Ok("wait") => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
            Ok("pool") => {
                let error = process::Pool::new(FUNCTIONS).expect_err("it is no worker's to have");
                let told = error.to_string().contains("`main` did not begin with");
                return ExitCode::from(if told { 11 } else { 12 });
            }
            Ok("others") => process::worker(OTHER_FUNCTIONS),
            _ => {}
        }
    }
    process::worker(FUNCTIONS);
    runner::main(TESTS)
}
