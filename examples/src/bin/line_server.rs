//! Answers each line in capitals, and keeps it in a file, until Ctrl-C or SIGTERM. The page
//! `docs/getting-started.md` shows it.

use std::env;
use std::io;
use std::rc::Rc;

use corering::fs::{File, OpenOptions};
use corering::io::lines;
use corering::net::{self, TcpListener, TcpStream};
use corering::signal;
use corering::task::CancelToken;
use corering::time::{Duration, timeout};

/// How long a connection may be silent.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long an end waits for answers that have begun.
const GRACE: Duration = Duration::from_secs(5);

#[corering::main]
async fn main() -> io::Result<()> {
    let log = OpenOptions::new().append(true).create(true).open("lines.log").await?;
    let log = Rc::new(log);
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);

    let server = net::serve(listener, move |stream, stop| answer(stream, stop, log.clone()));
    let report = server.until(signal::shutdown()).grace(GRACE).await?;
    println!("{report}");
    Ok(())
}

async fn answer(stream: TcpStream, stop: CancelToken, log: Rc<File>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = lines(reader);
    // The end of the server ends the wait for a line. An answer that has begun is sent to its end.
    while let Ok(line) = stop.run(timeout(IDLE_MAX, lines.next_line())).await {
        let Some(mut line) = line?? else { break };
        line.push('\n');
        let line = log.write_all_at(line, 0).await?;
        writer.write_all(line.to_uppercase()).await?;
    }
    writer.close().await
}
