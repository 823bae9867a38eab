//! The life of one command: its runs, and the waits between them.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;

use corering::io::Watched;
use corering::process::{Child, Command};
use corering::select_biased;
use corering::signal::SignalKind;
use corering::sync::channel::Receiver;
use corering::task::{CancelToken, JoinSet};
use corering::time::{Duration, now, sleep};
use futures_util::FutureExt;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::backoff::Backoff;
use crate::commands::Service;
use crate::output::Output;

/// What a command's keeper is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Pass a signal on.
    Pass(SignalKind),
    /// Ask the command to end, and do not start it again.
    End,
    /// As `End`, without asking.
    Kill,
}

/// Keeps one command running.
pub(crate) struct Keeper {
    service: Service,
    backoff: Backoff,
    early_max: u32,
    orders: Receiver<Order>,
    output: Rc<Output>,
    is_ending: bool,
}

impl Keeper {
    pub(crate) fn new(
        service: Service,
        backoff: Backoff,
        early_max: Option<u32>,
        orders: Receiver<Order>,
        output: Rc<Output>,
    ) -> Self {
        let early_max = early_max.unwrap_or(u32::MAX);
        Keeper { service, backoff, early_max, orders, output, is_ending: false }
    }

    /// Runs the command until it is to end. False if it cannot be kept.
    pub(crate) async fn keep(mut self) -> bool {
        let mut has_run = false;
        loop {
            let begun = now();
            let ended = self.run().await;
            let ran = now() - begun;
            let is_startable = ended.is_ok() || has_run;
            while let Ok(order) = self.orders.try_recv() {
                self.note(Some(order));
            }
            let end = match ended {
                Ok(status) => format!("ended with {status} after {:.3} s", ran.as_secs_f64()),
                Err(error) => format!("cannot be started: {error}"),
            };
            if self.is_ending {
                self.say(end).await;
                return true;
            }
            let wait = self.backoff.after(ran);
            if !is_startable {
                self.say(end).await;
                return false;
            }
            let early = self.backoff.early();
            if early >= self.early_max {
                self.say(format!("{end}: early ends in a row: {early}; it is given up")).await;
                return false;
            }
            self.say(format!("{end}; it is started again in {:.3} s", wait.as_secs_f64())).await;
            has_run = true;
            self.pause(wait).await;
            if self.is_ending {
                return true;
            }
        }
    }

    async fn say(&self, message: String) {
        self.output.clone().say(format!("{} {message}", self.service.name)).await;
    }

    /// Runs the command once, with all that it starts in its process group.
    async fn run(&mut self) -> io::Result<ExitStatus> {
        let mut child = self.start().await?;
        let ended = CancelToken::new();
        let mut drains = self.drain(&mut child, &ended);
        let watched = self.until_end(&child).await;
        // Before the wait, up to which the number of the group belongs to no other.
        signal(&child, SIGKILL);
        watched?;
        let status = child.wait().await?;
        ended.cancel();
        while drains.join_next().await.is_some() {}
        Ok(status)
    }

    /// Obeys orders until the child has ended, and leaves it to be waited for.
    async fn until_end(&mut self, child: &Child) -> io::Result<()> {
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let process = pidfd_open(id.expect("it was not waited for"), PidfdFlags::empty())?;
        let process = Watched::new(process);
        loop {
            select_biased! {
                order = Box::pin(self.orders.recv()).fuse() => self.obey(order, child),
                ended = Box::pin(process.readable()).fuse() => return ended,
            }
        }
    }

    async fn start(&self) -> io::Result<Child> {
        let Service { program, arguments, .. } = &self.service;
        let mut command = Command::new(program);
        command.args(arguments).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().await
    }

    /// Passes on what it writes.
    fn drain(&self, child: &mut Child, ended: &CancelToken) -> JoinSet<()> {
        let mut drains = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            let (name, output, ended) =
                (self.service.name.clone(), self.output.clone(), ended.clone());
            drains.spawn(async move { output.drain(&name, stdout, &output.stdout, ended).await });
        }
        if let Some(stderr) = child.stderr.take() {
            let (name, output, ended) =
                (self.service.name.clone(), self.output.clone(), ended.clone());
            drains.spawn(async move { output.drain(&name, stderr, &output.stderr, ended).await });
        }
        drains
    }

    fn obey(&mut self, order: Option<Order>, child: &Child) {
        self.note(order);
        match order {
            Some(Order::Pass(kind)) => signal(child, kind.as_raw_value()),
            Some(Order::End) => signal(child, SIGTERM),
            Some(Order::Kill) | None => signal(child, SIGKILL),
        }
    }

    /// Waits, unless it is to end before.
    async fn pause(&mut self, wait: Duration) {
        let mut passed = sleep(wait).fuse();
        while !self.is_ending {
            select_biased! {
                order = Box::pin(self.orders.recv()).fuse() => self.note(order),
                () = passed => return,
            }
        }
    }

    /// Notes that the command is not to run any more, if that is the order. Without anyone who gives orders
    /// it is, too.
    fn note(&mut self, order: Option<Order>) {
        self.is_ending |= !matches!(order, Some(Order::Pass(_)));
    }
}

/// Signals the group of a child that was not waited for.
fn signal(child: &Child, number: i32) {
    // One that has ended by now needs no signal, and one of another user may not be sent any.
    let _ = child.signal_group(number);
}

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
