//! Answers each line in capitals, and keeps it in a file, until Ctrl-C or SIGTERM. The page
//! `docs/getting-started.md` shows it.

use std::env;
use std::io;
use std::rc::Rc;

use corering::fs::OpenOptions;
use corering::io::lines;
use corering::net::{TcpListener, TcpStream};
use corering::task::CancelToken;
use corering::time::{Duration, timeout};
use corering::{Runtime, fs, signal};

/// How long a connection may be silent.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long an end waits for the connections.
const DRAIN_MAX: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    let runtime = Runtime::builder().drain_timeout(DRAIN_MAX).build()?;
    runtime.block_on(serve())?;
    let report = runtime.shut_down();
    println!("ended, {} connections cut off", report.cancelled_tasks);
    Ok(())
}

async fn serve() -> io::Result<()> {
    let log = OpenOptions::new().append(true).create(true).open("lines.log").await?;
    let log = Rc::new(log);
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);

    // The token is cancelled by the first signal.
    let stop = CancelToken::new();
    let stopped = signal::shutdown();
    corering::spawn({
        let stop = stop.clone();
        async move {
            // Without a handler for signals the server runs until it is killed.
            if stopped.await.is_ok() {
                stop.cancel();
            }
        }
    });

    while let Ok(stream) = stop.run(listener.accept()).await {
        let (stream, log, stop) = (stream?, log.clone(), stop.clone());
        corering::spawn(async move {
            if let Err(error) = answer(stream, &log, &stop).await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Ok(())
}

async fn answer(stream: TcpStream, log: &fs::File, stop: &CancelToken) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = lines(reader);
    // The wait for a line ends early. An answer that has begun is sent to its end.
    while let Ok(line) = stop.run(timeout(IDLE_MAX, lines.next_line())).await {
        let Some(mut line) = line?? else { break };
        line.push('\n');
        let line = log.write_all_at(line, 0).await?;
        writer.write_all(line.to_uppercase()).await?;
    }
    writer.close().await
}
