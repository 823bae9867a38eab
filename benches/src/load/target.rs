//! What to load, as it is written on a command line.

use std::fmt;
use std::net::ToSocketAddrs;
use std::str::FromStr;

use super::plan::Protocol;
use crate::address::Address;
use crate::outcome::Failure;

/// A server and what it speaks: `http://HOST:PORT/PATH`, `echo://HOST:PORT`, `line://HOST:PORT`.
/// An address alone is an echo server; `unix:PATH` stands for `HOST:PORT` anywhere but in HTTP.
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
        self.authority.clone()
    }

    /// Looks the host up. An IPv4 address is preferred, since more servers have one.
    pub fn resolve(&self) -> Result<Address, Failure> {
        if self.authority.starts_with("unix:") {
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
                let slash = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(slash);
                let slash = if path.starts_with('/') { "" } else { "/" };
                (authority, Protocol::Http { path: format!("{slash}{path}") })
            }
            "echo" => (rest, Protocol::Echo),
            "line" => (rest, Protocol::Line),
            "https" => return Err("https is not spoken here: ask a server without TLS".to_owned()),
            other => return Err(format!("`{other}` is none of http, echo and line")),
        };
        let is_unix = authority.starts_with("unix:");
        // Bytes that would begin another line of a request.
        let is_odd = |byte: u8| byte.is_ascii_control() || byte == b' ';
        if authority.is_empty()
            || text.bytes().any(is_odd)
            || !is_unix && authority.contains(['/', '@'])
            || is_unix && matches!(protocol, Protocol::Http { .. })
        {
            return Err(format!(
                "`{text}` is no target such as http://127.0.0.1:8080/, echo://127.0.0.1:7000 or \
                 line://127.0.0.1:7000"
            ));
        }
        Ok(Target { text: text.to_owned(), protocol, authority: authority.to_owned() })
    }
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
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.protocol, protocol, "{text}");
            assert_eq!(target.resolve().expect(text).to_string(), address);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_an_example() {
        for text in ["", "http://", "http://a b/", "echo://a/b", "http://unix:/tmp/x", "ftp://x"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        let message = "https://x/".parse::<Target>().expect_err("there is no TLS");
        assert!(message.contains("without TLS"), "{message}");
    }
}
