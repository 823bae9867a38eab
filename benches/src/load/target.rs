//! What to load, as it is written on a command line.

use std::fmt;
use std::net::ToSocketAddrs;
use std::str::FromStr;

use super::plan::Protocol;
use crate::address::Address;
use crate::outcome::Failure;

/// A server and what it speaks: `http://HOST:PORT/PATH`, `echo://HOST:PORT`, `line://HOST:PORT`.
/// An address alone is an echo server; `unix:PATH` stands for `HOST:PORT`. In HTTP a colon may follow
/// it with what to ask for, since a path has no end of its own: `http://unix:/tmp/socket:/page`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    text: String,
    /// What it speaks.
    pub protocol: Protocol,
    authority: String,
}

impl Target {
    /// The name that a request calls the server by.
    pub fn host(&self) -> String {
        // A socket's path is not a valid host name (RFC 9110, section 7.2).
        if self.authority.starts_with(UNIX) {
            "localhost".to_owned()
        } else {
            self.authority.clone()
        }
    }

    /// Looks the host up. An IPv4 address is preferred, since more servers have one.
    pub fn resolve(&self) -> Result<Address, Failure> {
        if self.authority.starts_with(UNIX) {
            return self.authority.parse().map_err(Failure::Usage);
        }
        let is_http = matches!(self.protocol, Protocol::Http { .. });
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        let with_port = match (has_port, is_http) {
            (false, true) => format!("{}:80", self.authority),
            (false, false) => {
                let text = format!("{self} names no port: write {self}:PORT");
                return Err(Failure::Usage(text));
            }
            (true, _) => self.authority.clone(),
        };
        let addresses: Vec<_> = with_port
            .to_socket_addrs()
            .map_err(|error| Failure::environment(format!("{self}: the host is unknown"), error))?
            .collect();
        let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        address
            .map(|address| Address::Tcp(*address))
            .ok_or_else(|| Failure::Environment(format!("{self}: the host has no address")))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("echo", text));
        let (authority, protocol) = match scheme {
            "http" => {
                let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
                let (authority, path) = split_http(rest);
                let slash = if path.starts_with('/') { "" } else { "/" };
                (authority, Protocol::Http { path: format!("{slash}{path}") })
            }
            "echo" => (rest, Protocol::Echo),
            "line" => (rest, Protocol::Line),
            "https" => return Err("https is not spoken here: ask a server without TLS".to_owned()),
            other => return Err(format!("`{other}` is none of http, echo and line")),
        };
        let is_unix = authority.starts_with(UNIX);
        // Bytes that would begin another line of a request.
        let is_odd = |byte: u8| byte.is_ascii_control() || byte == b' ';
        if matches!(authority, "" | UNIX)
            || text.bytes().any(is_odd)
            || !is_unix && authority.contains(['/', '@'])
        {
            return Err(format!(
                "`{text}` is no target such as http://127.0.0.1:8080/, echo://127.0.0.1:7000 or \
                 line://127.0.0.1:7000"
            ));
        }
        Ok(Target { text: text.to_owned(), protocol, authority: authority.to_owned() })
    }
}

/// What an address on a Unix socket begins with.
const UNIX: &str = "unix:";

/// Who is asked, and for what.
fn split_http(rest: &str) -> (&str, &str) {
    if let Some(path) = rest.strip_prefix(UNIX) {
        let end = path.find(":/").map_or(rest.len(), |end| UNIX.len() + end);
        return (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    }
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;
    use crate::load::plan::Protocol;

    fn http(path: &str) -> Protocol {
        Protocol::Http { path: path.to_owned() }
    }

    #[test]
    fn a_target_names_a_protocol_and_an_address() {
        for (text, protocol, address) in [
            ("http://127.0.0.1:8080/a?b=c#d", http("/a?b=c"), "127.0.0.1:8080"),
            ("http://127.0.0.1:8080?b", http("/?b"), "127.0.0.1:8080"),
            ("http://127.0.0.1", http("/"), "127.0.0.1:80"),
            ("echo://[::1]:7000", Protocol::Echo, "[::1]:7000"),
            ("line://127.0.0.1:7000", Protocol::Line, "127.0.0.1:7000"),
            ("127.0.0.1:7000", Protocol::Echo, "127.0.0.1:7000"),
            ("unix:/tmp/echo", Protocol::Echo, "unix:/tmp/echo"),
            ("line://unix:/tmp/log", Protocol::Line, "unix:/tmp/log"),
            ("http://unix:/tmp/page", http("/"), "unix:/tmp/page"),
            ("http://unix:/tmp/page:/a?b=c#d", http("/a?b=c"), "unix:/tmp/page"),
            ("http://unix:page:/", http("/"), "unix:page"),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.protocol, protocol, "{text}");
            assert_eq!(target.resolve().expect(text).to_string(), address);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_an_example() {
        for text in ["", "http://", "http://a b/", "echo://a/b", "http://unix:", "unix:", "ftp://x"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        let message = "https://x/".parse::<Target>().expect_err("there is no TLS");
        assert!(message.contains("without TLS"), "{message}");
    }
}
