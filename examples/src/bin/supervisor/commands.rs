//! Which commands are kept running.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A command, and what its lines are marked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

/// The commands of a command line, with `--` between two, and of a file, a line each.
///
/// # Errors
///
/// A sentence, if there is none, or one is empty.
pub(crate) fn services(words: &[OsString], file: &str) -> Result<Vec<Service>, String> {
    let mut services = Vec::new();
    if !words.is_empty() {
        for command in words.split(|word| word == "--") {
            let [program, arguments @ ..] = command else {
                return Err("a command is missing beside a `--`".to_owned());
            };
            services.push(Service::new(base_name(program), program, arguments));
        }
    }
    for line in
        file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let program = line.split_whitespace().next().expect("the line is not empty");
        let arguments = ["-c".into(), line.into()];
        services.push(Service::new(base_name(program.as_ref()), "sh".as_ref(), &arguments));
    }
    if services.is_empty() {
        return Err("there is no command: name one behind `--`, or in a file".to_owned());
    }
    tell_apart(&mut services);
    Ok(services)
}

impl Service {
    fn new(name: String, program: &OsStr, arguments: &[OsString]) -> Self {
        Service { name, program: program.to_owned(), arguments: arguments.to_owned() }
    }
}

fn base_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

/// Numbers the commands of the same name.
fn tell_apart(services: &mut [Service]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for service in &*services {
        *counts.entry(service.name.clone()).or_default() += 1;
    }
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for service in services.iter_mut().filter(|service| counts[&service.name] > 1) {
        let number = numbers.entry(service.name.clone()).or_default();
        *number += 1;
        service.name += &format!(".{number}");
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Service, services};

    fn read(line: &str, file: &str) -> Result<Vec<(String, Vec<OsString>)>, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let parts = |service: Service| {
            let Service { name, program, arguments } = service;
            (name, [vec![program], arguments].concat())
        };
        Ok(services(&words, file)?.into_iter().map(parts).collect())
    }

    fn service(name: &str, words: &[&str]) -> (String, Vec<OsString>) {
        (name.to_owned(), words.iter().map(OsString::from).collect())
    }

    #[test]
    fn commands_come_from_the_line_and_from_a_file() {
        let file = "# two\n\n  sleep 5 | cat  \n./bin/serve --fast\n";
        let expected = [
            service("sleep.1", &["/bin/sleep", "1"]),
            service("cat", &["cat"]),
            service("sleep.2", &["sh", "-c", "sleep 5 | cat"]),
            service("serve", &["sh", "-c", "./bin/serve --fast"]),
        ];
        assert_eq!(read("/bin/sleep 1 -- cat", file), Ok(expected.to_vec()));
        assert!(read("", "# nothing\n").is_err());
        assert!(read("a -- -- b", "").is_err());
        assert!(read("a --", "").is_err());
    }
}
