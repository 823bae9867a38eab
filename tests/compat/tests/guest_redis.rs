//! A client of a database in tasks of corering's, by a guest; the server is a small one over corering's
//! own streams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use corering::compat::Tokio;
use corering::compat::tokio::Guest;
use corering::net::{TcpListener, TcpStream};
use corering::spawn;
use futures_util::future::join_all;
use redis::{AsyncCommands, Client, Pipeline, RedisError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

type Values = Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>>;

/// Answers commands until the client leaves, or asks it to end.
async fn serve(stream: TcpStream, values: Values) -> io::Result<()> {
    let mut stream = Tokio::new(stream);
    while let Some(command) = read_command(&mut stream).await? {
        if command[0] == b"QUIT" {
            break;
        }
        stream.write_all(&answer(&command, &values)).await?;
    }
    stream.shutdown().await
}

/// An array of strings: `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`. `None` at the end.
async fn read_command(stream: &mut Tokio<TcpStream>) -> io::Result<Option<Vec<Vec<u8>>>> {
    let Some(count) = read_number(stream, '*').await? else { return Ok(None) };
    let mut command = Vec::new();
    for _ in 0..count {
        let len = read_number(stream, '$').await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut argument = vec![0; len + 2];
        stream.read_exact(&mut argument).await?;
        argument.truncate(len);
        command.push(argument);
    }
    Ok(Some(command))
}

async fn read_number(stream: &mut Tokio<TcpStream>, sign: char) -> io::Result<Option<usize>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let number = line.strip_prefix(sign).and_then(|number| number.trim_end().parse().ok());
    number.map(Some).ok_or_else(|| io::Error::other(format!("`{line}` has no number")))
}

fn answer(command: &[Vec<u8>], values: &Values) -> Vec<u8> {
    let mut values = values.borrow_mut();
    let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
    match words[..] {
        [b"PING"] => b"+PONG\r\n".to_vec(),
        [b"CLIENT", ..] => b"+OK\r\n".to_vec(),
        [b"SET", key, value] => {
            values.insert(key.to_vec(), value.to_vec());
            b"+OK\r\n".to_vec()
        }
        [b"GET", key] => match values.get(key) {
            Some(value) => {
                [b"$", value.len().to_string().as_bytes(), b"\r\n", value, b"\r\n"].concat()
            }
            None => b"$-1\r\n".to_vec(),
        },
        [b"INCRBY", key, by] => {
            let number = |bytes: &[u8]| -> i64 {
                std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
            };
            let value = values.entry(key.to_vec()).or_default();
            let sum = number(value) + number(by);
            *value = sum.to_string().into_bytes();
            format!(":{sum}\r\n").into_bytes()
        }
        _ => b"-ERR unknown command\r\n".to_vec(),
    }
}

/// Runs a client beside a server, which ends with the client's last connection.
async fn beside_server<F>(client: impl FnOnce(SocketAddr) -> F) -> io::Result<()>
where
    F: Future<Output = Result<(), RedisError>>,
{
    let guest = Guest::new()?;
    let _tokio = guest.enter();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = spawn(async move {
        let values = Values::default();
        loop {
            let stream = listener.accept().await?;
            drop(spawn(serve(stream, values.clone())));
        }
        #[allow(unreachable_code)]
        Ok::<(), io::Error>(())
    });
    client(address).await.map_err(io::Error::other)?;
    server.abort();
    Ok(())
}

#[corering::test]
async fn tasks_share_one_connection_to_a_database() -> io::Result<()> {
    beside_server(async |address| {
        let client = Client::open(format!("redis://{address}/"))?;
        let connection = client.get_multiplexed_async_connection().await?;
        let tasks = (0..20).map(|number| {
            let mut connection = connection.clone();
            spawn(async move {
                let key = format!("key {number}");
                for round in 0..20 {
                    connection.set::<_, _, ()>(&key, round).await?;
                    assert_eq!(connection.get::<_, i64>(&key).await?, round);
                    connection.incr::<_, _, i64>("sum", 1).await?;
                }
                Ok::<(), RedisError>(())
            })
        });
        for task in join_all(tasks).await {
            task.expect("no panic")?;
        }
        let mut connection = connection;
        assert_eq!(connection.get::<_, i64>("sum").await?, 400);
        assert_eq!(connection.get::<_, Option<String>>("none").await?, None);
        let large = "x".repeat(300_000);
        let pipeline = Pipeline::new().set("large", &large).ignore().get("large").to_owned();
        let (answer,): (String,) = pipeline.query_async(&mut connection).await?;
        assert!(answer == large, "the value is another");
        Ok(())
    })
    .await
}

#[corering::test]
async fn database_that_goes_away_is_an_error_of_its_client() -> io::Result<()> {
    beside_server(async |address| {
        let client = Client::open(format!("redis://{address}/"))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        assert_eq!(connection.ping::<String>().await?, "PONG");
        let ended = redis::cmd("QUIT").query_async::<()>(&mut connection).await;
        assert!(ended.expect_err("no answer comes").is_io_error());
        // Another connection works.
        let mut another = client.get_multiplexed_async_connection().await?;
        assert_eq!(another.ping::<String>().await?, "PONG");
        Ok(())
    })
    .await
}
