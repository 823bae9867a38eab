//! Talks in the chat room, on both drivers, by the sockets of Python.

mod common;
#[path = "../../benches/tests/common/programs.rs"]
mod programs;

use std::process::Command;

use common::Example;
use programs::is_left_out;
use rustix::process::Signal;

on_both_drivers! {
    all_hear_what_one_says,
    what_is_no_line_is_refused_and_the_talk_goes_on,
    who_does_not_listen_is_told_what_was_missed,
}

/// What each test in Python begins with: one who has connected, and said a name.
const ONE: &str = r#"
import socket, sys

class One:
    def __init__(self, name):
        self.socket = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
        self.lines = self.socket.makefile("r", newline="\n")
        self.hears("* what is your name?")
        self.says(name)
        self.hears(f"* {name} is here")

    def says(self, line, end="\n"):
        self.socket.sendall((line + end).encode())

    def hears(self, line):
        heard = self.lines.readline()
        assert heard == line + "\n", (heard, line)
"#;

/// Runs a test in Python beside the room.
fn with_room(driver: &str, test: &str) {
    if is_left_out("python3") {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command.args(["--driver", driver, "--addr", "127.0.0.1:0", "--shards", "2"]);
    let mut room = Example::start(command);
    let port = room.address().port().to_string();
    let mut python = Command::new("python3");
    let output = python.args(["-c", &format!("{ONE}{test}"), &port]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    room.signal(Signal::TERM);
    assert_eq!(room.wait().code(), Some(0));
}

fn all_hear_what_one_says(driver: &str) {
    let test = r#"
a = One("Ada")
others = []
for name in ["Bob", "Cleo", "Dan", "Eve"]:
    others.append(One(name))
    for one in [a, *others[:-1]]:
        one.hears(f"* {name} is here")
everyone = [a, *others]
a.says("hello", end="\r\n")
others[0].says("hällo " * 100)
for one in everyone:
    heard = {one.lines.readline(), one.lines.readline()}
    assert heard == {"Ada: hello\n", "Bob: " + "hällo " * 100 + "\n"}, heard
# A line in pieces is one, and one that comes with others is heard behind them.
for piece in ["in ", "pie", "ces\nan", "d more"]:
    a.says(piece, end="")
others[2].hears("Ada: in pieces")
others[3].says("what?")
others[2].hears("Eve: what?")
a.socket.shutdown(socket.SHUT_WR)
others[2].hears("Ada: and more")
others[2].hears("* Ada has left")
"#;
    with_room(driver, test);
}

fn what_is_no_line_is_refused_and_the_talk_goes_on(driver: &str) {
    let test = r#"
a, refused = One("Ada"), "* that is no line of text, or too long"
a.socket.sendall(b"\xff\xfe\n")
a.hears(refused)
a.socket.sendall(b"x" * 1_000_000 + b"\nshort\n")
a.hears(refused)
a.hears("Ada: short")
a.says("y" * 1024)
a.hears("Ada: " + "y" * 1024)
"#;
    with_room(driver, test);
}

fn who_does_not_listen_is_told_what_was_missed(driver: &str) {
    let test = r#"
a, b = One("Ada"), One("Bob")
a.hears("* Bob is here")
# More than the sockets of Bob hold.
for number in range(10_000):
    line = f"{number} " + "z" * 1000
    a.says(line)
    a.hears(f"Ada: {line}")
missed = 0
for number in range(10_000):
    line = b.lines.readline()
    if line.startswith("* you have missed "):
        missed += int(line.split()[4])
    elif line.startswith("Ada: 9999 "):
        break
assert missed > 0 and number + missed >= 9_999, (missed, number)
"#;
    with_room(driver, test);
}
