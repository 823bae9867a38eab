//! Connections with a session, which sends and receives for itself: what the client does for them.

use super::client::{Client, Next};
use super::http2::Stopped;
use super::trouble::{Trouble, closed, lost};

impl Client {
    /// Lets a session send the last `count` of the requests in flight, as far as it can.
    pub(super) fn send_in_session(&mut self, index: usize, count: usize) -> Result<(), Trouble> {
        let connection = &mut self.connections[index];
        let Some(session) = &mut connection.session else { return Ok(()) };
        let known = connection.starts.len() - count;
        let sent = session.send(connection.starts.iter().skip(known).copied());
        if !sent.map_err(|stopped| self.stopped(index, stopped))? {
            self.unsettled.push(index);
        }
        Ok(())
    }

    /// Lets a session send what it can, and takes what has arrived.
    pub(super) fn settle(&mut self, index: usize, next: Next) -> Result<(), Trouble> {
        let connection = &mut self.connections[index];
        let Some(session) = &mut connection.session else { return Ok(()) };
        let mut answered = std::mem::take(&mut self.answered_starts);
        let settled = session.settle(&mut answered);
        connection.progress.arrived = session.arrived();
        let is_last = settled.map_err(|stopped| self.stopped(index, stopped))?;
        let connection = &mut self.connections[index];
        connection.bring_forward(&answered);
        let answers = answered.len();
        if is_last || self.plan.is_churn && answers > 0 {
            connection.close();
        }
        answered.clear();
        self.answered_starts = answered;
        self.finish(index, answers, next)
    }

    /// What became of a connection with a session.
    fn stopped(&self, index: usize, stopped: Stopped) -> Trouble {
        match stopped {
            Stopped::Refused((reason, what)) => Trouble::server(reason, index, what),
            Stopped::Failed(error) => lost(&self.plan, index, &error),
            Stopped::Closed => closed(index, &self.connections[index]),
        }
    }
}
