//! TLS by `tokio_rustls`, over streams of corering's, and given back to what takes streams of corering's.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, OnceLock};

use corering::compat::{FromTokio, Tokio};
use corering::io::{Lend, OwnedRead, OwnedWrite, PollWrite, copy_bidirectional, duplex, lines};
use corering::net::{ByteStream, Family};
use corering::{join, spawn, try_join};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::net::{TOO_MUCH, pattern};
use crate::over_each_family;

/// A client and a server, over a certificate that was made for `localhost`.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn configs() -> &'static Configs {
    static CONFIGS: OnceLock<Configs> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let rcgen::CertifiedKey { cert, signing_key } = made.expect("the name is one");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = signing_key.serialize_der().try_into().expect("it is a key");
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("they belong to the provider")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key is the certificate's");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("it is a certificate");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("they belong to the provider")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Configs { client: client.into(), server: server.into() }
    })
}

/// A connection on which both sides have shaken hands.
pub(crate) async fn handshake<F: Family>(
    one: ByteStream<F>,
    other: ByteStream<F>,
) -> io::Result<(client::TlsStream<Tokio<ByteStream<F>>>, server::TlsStream<Tokio<ByteStream<F>>>)>
{
    let name = ServerName::try_from("localhost").expect("it is a name");
    let connect = TlsConnector::from(configs().client.clone()).connect(name, Tokio::new(one));
    let accept = TlsAcceptor::from(configs().server.clone()).accept(Tokio::new(other));
    try_join!(connect, accept)
}

over_each_family! {
    async fn tls_brings_every_byte_in_both_directions(one, other) {
        let (client, server) = handshake(one, other).await?;
        let echo = spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(server);
            let count = tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await?;
            Ok::<u64, io::Error>(count)
        });
        let (mut reader, mut writer) = tokio::io::split(client);
        let sent = pattern(TOO_MUCH / 4);
        let send = async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        };
        let mut received = Vec::new();
        let (sent_all, count) = join!(send, reader.read_to_end(&mut received));
        sent_all?;
        assert_eq!(count?, sent.len());
        assert!(received == sent, "what came back is not what was sent");
        assert_eq!(echo.await.expect("no panic")?, sent.len() as u64);
        Ok(())
    }

    async fn tls_side_that_has_ended_still_receives(one, other) {
        let (mut client, mut server) = handshake(one, other).await?;
        client.write_all(b"question").await?;
        client.shutdown().await?;
        let mut text = String::new();
        server.read_to_string(&mut text).await?;
        assert_eq!(text, "question");
        server.write_all(b"answer").await?;
        server.shutdown().await?;
        text.clear();
        client.read_to_string(&mut text).await?;
        assert_eq!(text, "answer");
        Ok(())
    }

    async fn tls_stream_that_is_cut_off_is_an_error(one, other) {
        let (mut client, mut server) = handshake(one, other).await?;
        client.write_all(b"the first half").await?;
        client.flush().await?;
        // The connection ends in order, and TLS is not told.
        client.get_mut().0.shutdown().await?;
        let mut received = Vec::new();
        let error = server.read_to_end(&mut received).await.expect_err("it was cut off");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(received, b"the first half");
        Ok(())
    }

    async fn server_that_is_not_trusted_is_refused(one, other) {
        let name = ServerName::try_from("elsewhere").expect("it is a name");
        let connect = TlsConnector::from(configs().client.clone()).connect(name, Tokio::new(one));
        let accept = TlsAcceptor::from(configs().server.clone()).accept(Tokio::new(other));
        let (connected, accepted) = join!(connect, accept);
        let error = connected.expect_err("the certificate has another name");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(accepted.is_err(), "the client has told");
        Ok(())
    }

    async fn tls_is_a_stream_of_ours_again(one, other) {
        let (client, server) = handshake(one, other).await?;
        let (mut client, mut server) = (FromTokio::new(client), FromTokio::new(server));
        let sent = pattern(300_000);
        let send = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let count = poll_fn(|cx| client.poll_write(cx, rest)).await?;
                rest = &rest[count..];
            }
            poll_fn(|cx| client.poll_flush(cx)).await?;
            poll_fn(|cx| client.poll_shutdown(cx)).await
        };
        let receive = async {
            let mut received = Vec::new();
            loop {
                let bytes = server.lend().await?;
                if bytes.is_empty() {
                    return Ok::<_, io::Error>(received);
                }
                received.extend_from_slice(&bytes);
            }
        };
        let (sent_all, received) = join!(send, receive);
        sent_all?;
        assert!(received? == sent, "other bytes came");
        Ok(())
    }

    async fn tls_is_ended_by_a_proxy_of_ours(one, other) {
        // client - TLS - proxy - plain - service
        let (client, server) = handshake(one, other).await?;
        let (near, mut service) = duplex(1000);
        let proxy = spawn(async move {
            let (mut server, mut near) = (FromTokio::new(server), near);
            copy_bidirectional(&mut server, &mut near).await
        });
        let (mut reader, mut writer) = tokio::io::split(client);
        let sent = pattern(300_000);
        let send = async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        };
        let answer = async {
            let mut count = 0;
            loop {
                let bytes = service.lend().await?;
                if bytes.is_empty() {
                    break;
                }
                count += bytes.len();
            }
            service.write_all(format!("{count} bytes")).await?;
            service.shutdown().await
        };
        let mut answered = String::new();
        let receive = async { reader.read_to_string(&mut answered).await.map(drop) };
        try_join!(send, answer, receive)?;
        assert_eq!(answered, "300000 bytes");
        assert_eq!(proxy.await.expect("no panic")?, (300_000, 12));
        Ok(())
    }

    async fn owned_buffers_and_lines_go_over_tls(one, other) {
        let (client, server) = handshake(one, other).await?;
        let (mut client, mut server) = (FromTokio::new(client), FromTokio::new(server));
        client.write_all("head first line\nsecond line").await?;
        client.flush().await?;
        client.shutdown().await?;
        let head = server.read_exact(Vec::with_capacity(5), 5).await?;
        assert_eq!(head, b"head ");
        let mut lines = lines(server);
        assert_eq!(lines.next_line().await?.as_deref(), Some("first line"));
        assert_eq!(lines.next_line().await?.as_deref(), Some("second line"));
        assert_eq!(lines.next_line().await?, None);
        Ok(())
    }
}
