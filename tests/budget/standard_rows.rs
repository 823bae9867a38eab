//! Standard streams that are always ready, and FIFOs that have both ends.

use std::fs::File;

use corering::io::{PipeReader, PipeWriter, lines, stderr, stdin, stdout};

use crate::beside::Beside;
use crate::standard::{Exchanged, Fifo};

pub(crate) async fn rows(beside: &Beside) {
    let null = || File::options().write(true).open("/dev/null").expect("it is there");
    let _stdin = Exchanged::new(0, File::open("/dev/zero").expect("it is there"));
    reads(beside).await;
    {
        let _stdout = Exchanged::new(1, null());
        let _stderr = Exchanged::new(2, null());
        writes(beside).await;
    }
    opens(beside).await;
}

async fn reads(beside: &Beside) {
    let mut zeroes = stdin();
    beside
        .endless("io::standard::recv", async move || {
            assert!(!zeroes.recv().await.expect("it has no end").is_empty());
        })
        .await;
    let mut zeroes = stdin();
    beside
        .endless("io::standard::read", async move || {
            assert_eq!(zeroes.read(Vec::with_capacity(8)).await.expect("it has no end").0, 8);
        })
        .await;
    let mut zeroes = stdin();
    beside
        .endless("io::standard::read_exact", async move || {
            zeroes.read_exact(Vec::with_capacity(8), 8).await.expect("it has no end");
        })
        .await;
    beside
        .endless("a new io::stdin each time", async || {
            stdin().read(Vec::with_capacity(8)).await.expect("it has no end");
        })
        .await;
    let mut lines = lines(stdin());
    beside
        .endless("io::lines of an io::stdin", async move || {
            lines.next_line().await.expect_err("it has no end");
        })
        .await;
}

async fn writes(beside: &Beside) {
    let mut null = stdout();
    beside
        .endless("io::standard::write", async move || {
            assert_eq!(null.write("some").await.expect("it takes all").0, 4);
        })
        .await;
    let mut null = stderr();
    beside
        .endless("io::standard::write_all", async move || {
            null.write_all("some").await.expect("it takes all");
        })
        .await;
}

async fn opens(beside: &Beside) {
    let fifo = Fifo::new();
    let path = fifo.path().to_owned();
    beside
        .endless("io::pipe::fifo::open", async move || {
            let _reader = PipeReader::open(&path).await.expect("it is there");
            PipeWriter::open(&path).await.expect("it has a reader");
        })
        .await;
}
