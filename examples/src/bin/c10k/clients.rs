//! The clients: a process of one shard, with a task for each.
//!
//! Each question is due at a set time. A client whose last answer is late asks late, but the time of the
//! answer counts from when the question was due: a server that stands still is charged for all questions
//! that were due meanwhile, not only for those that were on their way.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use corering::io::{Lines, lines};
use corering::net::{TcpStream, UnixReadHalf, UnixStream};
use corering::select_biased;
use corering::task::JoinSet;
use corering::time::{now, sleep_until, timeout, timeout_at};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::Arguments;

/// Clients that connect at a time: fewer than the backlog of any listener.
const CONNECTING_MAX: usize = 64;

/// How long a client may take to connect and have its first answer.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// An answer that has not come after this many times the deadline is lost, and with it the client.
const LOST_AFTER_DEADLINES: u32 = 10;

/// What the clients tell the process of the server, each as a line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The process runs.
    Started,
    /// The number of clients that are connected at the same time; each has had an answer.
    Connected(usize),
    /// All questions have been asked.
    Answered(Answers),
    /// Why it cannot go on.
    Failed(String),
}

/// What became of the questions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answers {
    /// Right answers that came.
    right: u64,
    /// Right answers that came after the deadline.
    late: u64,
    /// Answers that were not those to the question.
    wrong: u64,
    /// Questions without an answer.
    lost: u64,
    /// Why the first of those was lost.
    reason: Option<String>,
    /// From when a question was due to its answer.
    p50: Duration,
    p99: Duration,
    most: Duration,
    /// The longest that a question was asked after it was due because the clients had other things to do.
    behind: Duration,
    /// From the first question to the last answer.
    elapsed: Duration,
}

/// Carries out what the server's process orders, until it ends.
pub(crate) async fn run(arguments: &Arguments) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (reader, mut replies) = socket.into_split();
    let mut orders = Orders(lines(reader));
    let mut reply = async |message: Message| {
        let line = serde_json::to_string(&message).map_err(io::Error::other)? + "\n";
        replies.write_all(line).await?;
        io::Result::Ok(())
    };

    reply(Message::Started).await?;
    if !orders.next().await? {
        return Ok(());
    }
    let streams = match orders.unless_ended(connect(arguments)).await? {
        None => return Ok(()),
        Some(Ok(streams)) => streams,
        Some(Err(reason)) => return reply(Message::Failed(reason)).await,
    };
    reply(Message::Connected(streams.len())).await?;
    if !orders.next().await? {
        return Ok(());
    }
    if let Some(answers) = orders.unless_ended(ask(arguments, streams)).await? {
        reply(Message::Answered(answers)).await?;
    }
    Ok(())
}

/// What comes from the server's process. Its end is that of the process.
struct Orders(Lines<UnixReadHalf>);

impl Orders {
    /// Waits for the next order; false when there is none any more.
    async fn next(&mut self) -> io::Result<bool> {
        Ok(self.0.next_line().await?.is_some())
    }

    /// Awaits `work`, unless the server's process ends before.
    async fn unless_ended<T>(&mut self, work: impl Future<Output = T>) -> io::Result<Option<T>> {
        select_biased! {
            ordered = Box::pin(self.next()).fuse() => match ordered? {
                true => Err(io::Error::other("an order came out of turn")),
                false => Ok(None),
            },
            done = Box::pin(work).fuse() => Ok(Some(done)),
        }
    }
}

/// Connects all clients, each of which has had an answer when this ends.
async fn connect(arguments: &Arguments) -> Result<Vec<TcpStream>, String> {
    let addresses = &arguments.as_clients;
    let connect = async |client: usize| {
        let address = addresses[client % addresses.len()];
        let attempt = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            match exchange(&mut stream, client, 0).await? {
                true => Ok(stream),
                false => Err(io::Error::other("its first answer is wrong")),
            }
        };
        match timeout(CONNECT_MAX, attempt).await {
            Ok(connected) => {
                connected.map_err(|error| format!("client {client} at {address}: {error}"))
            }
            Err(_) => Err(format!("client {client} at {address}: no answer in {CONNECT_MAX:?}")),
        }
    };
    let all = stream::iter(0..arguments.clients).map(connect).buffer_unordered(CONNECTING_MAX);
    all.try_collect().await
}

/// Asks a question, and returns whether the answer is right.
async fn exchange(stream: &mut TcpStream, client: usize, question: u32) -> io::Result<bool> {
    let asked = stream.write_all(format!("client {client} asks {question}\n")).await?;
    let mut is_right = true;
    let mut rest = asked.as_bytes();
    while !rest.is_empty() {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (expected, behind) = rest.split_at(received.len().min(rest.len()));
        is_right &= received == expected.to_ascii_uppercase();
        rest = behind;
    }
    Ok(is_right)
}

/// Lets every client ask its questions, each at its times.
async fn ask(arguments: &Arguments, streams: Vec<TcpStream>) -> Answers {
    let begin = now();
    let mut clients = JoinSet::new();
    let count = streams.len();
    for (client, stream) in streams.into_iter().enumerate() {
        let first = begin + arguments.every().mul_f64(client as f64 / count as f64);
        clients.spawn(ask_in_time(arguments.clone(), client, stream, first));
    }
    let asked = clients.join_all().await;
    summary(asked.iter().map(|(_, asked)| asked), now() - begin, arguments.deadline())
}

/// What one client has seen.
#[derive(Default)]
struct Asked {
    /// Of the right answers, from when the question was due.
    latencies: Vec<Duration>,
    wrong: u64,
    lost: u64,
    reason: Option<String>,
    behind: Duration,
}

/// Asks in time. The stream comes back, so that all are connected until the last has been answered.
async fn ask_in_time(
    arguments: Arguments,
    client: usize,
    mut stream: TcpStream,
    first: Instant,
) -> (TcpStream, Asked) {
    let mut asked = Asked::default();
    for question in 1..=arguments.questions {
        let due = first + arguments.every() * (question - 1);
        let free = now();
        sleep_until(due).await;
        // What the server delays is in the time of the answer only.
        asked.behind = asked.behind.max(now() - due.max(free));
        let limit = due + arguments.deadline() * LOST_AFTER_DEADLINES;
        let failure = match timeout_at(limit, exchange(&mut stream, client, question)).await {
            Ok(Ok(true)) => {
                asked.latencies.push(now() - due);
                continue;
            }
            Ok(Ok(false)) => {
                asked.wrong += 1;
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer after {LOST_AFTER_DEADLINES} times the deadline"),
        };
        asked.lost = u64::from(arguments.questions - question + 1);
        asked.reason = Some(format!("client {client}: {failure}"));
        break;
    }
    (stream, asked)
}

fn summary<'a>(
    asked: impl Iterator<Item = &'a Asked> + Clone,
    elapsed: Duration,
    deadline: Duration,
) -> Answers {
    let mut latencies: Vec<Duration> =
        asked.clone().flat_map(|client| client.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    Answers {
        right: latencies.len() as u64,
        late: latencies.iter().filter(|latency| **latency > deadline).count() as u64,
        wrong: asked.clone().map(|client| client.wrong).sum(),
        lost: asked.clone().map(|client| client.lost).sum(),
        reason: asked.clone().find_map(|client| client.reason.clone()),
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
        most: quantile(&latencies, 1.0),
        behind: asked.map(|client| client.behind).max().unwrap_or_default(),
        elapsed,
    }
}

/// The smallest of the sorted values that the share `share` of them does not exceed.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

impl Answers {
    /// Whether every question was answered rightly and in time.
    ///
    /// # Errors
    ///
    /// A sentence that says how many were not.
    pub(crate) fn verdict(&self, asked: u64) -> Result<(), String> {
        let Answers { right, late, wrong, lost, reason, .. } = self;
        if (*right, *late, *wrong) == (asked, 0, 0) {
            return Ok(());
        }
        let why = reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
        Err(format!(
            "of {asked} questions {late} were answered late, {wrong} wrongly and {lost} not at all{why}"
        ))
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answers { right, late, wrong, lost, p50, p99, most, behind, elapsed, .. } = self;
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        let seconds = elapsed.as_secs_f64();
        writeln!(
            f,
            "answers: {right} right in {seconds:.2} s, {late} of them late; {wrong} wrong, {lost} lost"
        )?;
        write!(
            f,
            "time of an answer since its question was due: p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms; \
             in it up to {:.2} ms for which the clients were busy themselves",
            ms(p50),
            ms(p99),
            ms(most),
            ms(behind)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Asked, quantile, summary};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn late_wrong_and_lost_answers_are_each_a_failure() {
        let judge = |last: Asked| {
            let all = [Asked { latencies: vec![3 * MS; 7], ..Asked::default() }, last];
            summary(all.iter(), MS, 3 * MS).verdict(8)
        };
        let good = Asked { latencies: vec![2 * MS], ..Asked::default() };
        assert_eq!(judge(good), Ok(()));
        let late = Asked { latencies: vec![4 * MS], ..Asked::default() };
        let wrong = Asked { wrong: 1, ..Asked::default() };
        let lost = Asked { lost: 1, reason: Some("a reset".to_owned()), ..Asked::default() };
        let failures = [
            (late, "1 were answered late, 0 wrongly and 0 not at all"),
            (wrong, "0 were answered late, 1 wrongly and 0 not at all"),
            (lost, "0 were answered late, 0 wrongly and 1 not at all; a reset"),
        ];
        for (last, sentence) in failures {
            assert_eq!(judge(last), Err(format!("of 8 questions {sentence}")));
        }
    }

    #[test]
    fn quantiles_are_values_that_came() {
        let sorted: Vec<Duration> = (1..=200).map(|count| count * MS).collect();
        let found = [0.5, 0.99, 1.0].map(|share| quantile(&sorted, share));
        assert_eq!(found, [100 * MS, 198 * MS, 200 * MS]);
        assert_eq!(quantile(&sorted[..1], 0.5), MS);
        assert_eq!(quantile(&[], 0.99), Duration::ZERO);
    }
}
